/// When a program runs.
package enum ProgramKind: String, Sendable, CaseIterable {
    /// `BPF_TRACE_FSESSION`: at entry and at exit.
    case session = "fsession"
    /// `BPF_TRACE_FENTRY`.
    case fentry = "fentry"
    /// `BPF_TRACE_FEXIT`.
    case fexit = "fexit"
    /// `BPF_MODIFY_RETURN`: at entry; a result other than 0 takes the function's place.
    case fmodRet = "fmod_ret"
}

/// What the section of a program says: when it runs and at which functions.
package struct ProgramSection: Hashable, Sendable {
    package let kind: ProgramKind
    /// ".s": may sleep. It makes no difference in a process.
    package let sleepable: Bool
    /// A path, a file name or "exe", maybe with `*`; nil for any module.
    package let module: String?
    /// A name, maybe with `*`; empty where the section names no target.
    package let function: String
    /// The section's whole name.
    package let name: String

    /// Takes "fsession.s/libz:deflate*" apart; nil if no program kind has that name.
    package init?(name: String) {
        let slash = name.firstIndex(of: "/")
        var kind = name[..<(slash ?? name.endIndex)]
        sleepable = kind.hasSuffix(".s")
        if sleepable { kind = kind.dropLast(2) }
        guard let found = ProgramKind(rawValue: String(kind)) else { return nil }
        self.kind = found
        self.name = name
        let target = slash.map { name[name.index(after: $0)...] } ?? ""
        guard let colon = Self.separator(target) else {
            (module, function) = (nil, String(target))
            return
        }
        (module, function) = (String(target[..<colon]), String(target[target.index(after: colon)...]))
    }

    /// The first colon that is not half of a "::", which belongs to the names of C++ and Rust.
    private static func separator(_ target: Substring) -> Substring.Index? {
        var index = target.startIndex
        while let colon = target[index...].firstIndex(of: ":") {
            let end = target[colon...].firstIndex { $0 != ":" } ?? target.endIndex
            // An odd run is a separator with "::" behind it: "exe:::f".
            if target.distance(from: colon, to: end) % 2 == 1 { return colon }
            index = end
        }
        return nil
    }
}
