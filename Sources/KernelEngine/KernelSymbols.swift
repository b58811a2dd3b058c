import LinuxProcess

/// /proc/kallsyms
enum KernelSymbols {
    /// The address of a symbol; nil if there is none, or addresses are hidden from us.
    static func address(of name: String) -> UInt64? { addresses(of: [name])[name]?.first }

    /// All addresses of each of these names.
    static func addresses(of names: Set<String>) -> [String: [UInt64]] {
        guard let bytes = try? WholeFile.bytes("/proc/kallsyms") else { return [:] }
        var found: [String: [UInt64]] = [:]
        let lengths = Set(names.map(\.utf8.count))
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            // "ffffffff81000000 T name" or "… T name\t[module]"
            guard line.count > 19 else { continue }
            let end = line.firstIndex(of: UInt8(ascii: "\t")) ?? line.endIndex
            guard lengths.contains(end - line.startIndex - 19) else { continue }
            let name = String(decoding: line[(line.startIndex + 19)..<end], as: UTF8.self)
            guard names.contains(name),
                let address = UInt64(String(decoding: line[..<(line.startIndex + 16)], as: UTF8.self), radix: 16),
                address != 0
            else { continue }
            found[name, default: []].append(address)
        }
        return found
    }
}
