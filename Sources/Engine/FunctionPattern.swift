import BPF
import Glibc

/// Which functions are meant: `FUNCTION` (in any module) or `MODULE:FUNCTION`, with globs in both.
///
/// MODULE is a path, a file name (`libz.so.1`), its stem (`libz`), a SONAME, or `exe`. A `::` belongs
/// to a C++ or Rust name and separates nothing, nor does a `:` in brackets: `f[abi:cxx11]`, Swift's `f(x: Int)`.
package struct FunctionPattern: Sendable, Hashable, CustomStringConvertible {
    package var module: Glob?
    package var function: Glob

    package init(module: String?, function: String) {
        self.module = module.map { Glob($0) }
        self.function = Glob(function)
    }

    /// Reads `FUNCTION` or `MODULE:FUNCTION`.
    package init(_ text: String) throws(EngineError) {
        let bytes = Array(text.utf8)
        let separator = Self.separator(in: bytes)
        let module = separator.map { String(decoding: bytes[..<$0], as: UTF8.self) }
        let function = String(decoding: bytes[(separator.map { $0 + 1 } ?? 0)...], as: UTF8.self)
        guard !function.isEmpty, module != "" else {
            throw .request("'\(text)' names no function; write FUNCTION or MODULE:FUNCTION, as in 'libz:deflate*'")
        }
        self.init(module: module, function: function)
    }

    private static func separator(in bytes: [UInt8]) -> Int? {
        // Brackets that are open, by what closes them. Angle brackets are operators, too, and hold no single ":".
        var open: [UInt8] = []
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "("): open.append(UInt8(ascii: ")"))
            case UInt8(ascii: "["): open.append(UInt8(ascii: "]"))
            case open.last: open.removeLast()
            case UInt8(ascii: ":") where index + 1 < bytes.count && bytes[index + 1] == UInt8(ascii: ":"): index += 1
            case UInt8(ascii: ":") where open.isEmpty: return index
            default: break
            }
            index += 1
        }
        return nil
    }

    package var description: String {
        module.map { "\($0.text):\(function.text)" } ?? function.text
    }
}

/// A shell pattern (`*`, `?`, `[…]`), as fnmatch(3) reads it.
package struct Glob: Sendable, Hashable {
    package let text: String
    /// Whether the text holds a pattern at all; a plain name is looked up instead.
    package let isPattern: Bool
    package let matchesEverything: Bool
    /// Whether it may stand for a readable C++, Rust or Swift name: not the mangled form of one, nor a C name
    /// with an underscore in front.
    package let mayBeReadable: Bool

    package init(_ text: String) {
        self.text = text
        isPattern = text.utf8.contains { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "[") }
        matchesEverything = text == "*"
        mayBeReadable = isPattern || !text.hasPrefix("_") || text.contains { ":.( <".contains($0) }
    }

    package func matches(_ name: String) -> Bool {
        if matchesEverything || name == text { return true }
        return isPattern && fnmatch(text, name, 0) == 0
    }
}

/// The names nearest to a misspelt one.
package enum NearestNames {
    /// At most `count` of `candidates`: those that are it but for what it belongs to (`ns::f` for `f`), else by edit distance,
    /// within a third of the name's length.
    package static func of(_ name: String, in candidates: some Sequence<String>, count: Int = 3) -> [String] {
        let end = "::" + name
        let qualified = Set(candidates.lazy.filter { $0.hasSuffix(end) })
        if !qualified.isEmpty { return Array(qualified.sorted().prefix(count)) }
        let wanted = Array(name.utf8)
        guard !wanted.isEmpty, wanted.count <= 200 else { return [] }
        let limit = max(1, wanted.count / 3)
        var found: [String: Int] = [:]
        for candidate in candidates where abs(candidate.utf8.count - wanted.count) <= limit {
            let distance = distance(wanted, Array(candidate.utf8), limit: limit)
            if distance <= limit { found[candidate] = distance }
        }
        return found.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(count).map(\.key)
    }

    private static func distance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int {
        var previous = Array(0...b.count)
        var current = previous
        for i in 0..<a.count {
            current[0] = i + 1
            var best = current[0]
            for j in 0..<b.count {
                let replace = previous[j] + (a[i] == b[j] ? 0 : 1)
                current[j + 1] = min(replace, previous[j + 1] + 1, current[j] + 1)
                best = min(best, current[j + 1])
            }
            if best > limit { return limit + 1 }
            swap(&previous, &current)
        }
        return previous[b.count]
    }
}

extension FunctionPattern {
    /// The functions that a program's section names; nil if it names none.
    package init?(_ section: ProgramSection) {
        guard !section.function.isEmpty else { return nil }
        self.init(module: section.module, function: section.function)
    }
}
