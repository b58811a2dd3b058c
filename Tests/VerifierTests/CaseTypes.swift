/// `subprog global use(ctx, mem 16, nonnull 16, int): int`
struct GlobalFunction: Sendable {
    enum Parameter: Hashable, Sendable {
        /// Any number.
        case int
        /// A pointer to so many bytes, or null.
        case memory(size: UInt32)
        /// The same with the tag "arg:nonnull".
        case memoryNotNull(size: UInt32)
        /// The same with a tag that has no meaning in a process, "arg:trusted".
        case memoryTrusted(size: UInt32)
        /// `u64 *` with the tag "arg:ctx".
        case context

        var tag: String? {
            switch self {
            case .int, .memory: nil
            case .memoryNotNull: "arg:nonnull"
            case .memoryTrusted: "arg:trusted"
            case .context: "arg:ctx"
            }
        }
    }

    let name: String
    let parameters: [Parameter]

    init(_ line: Substring) throws(CaseError) {
        let parts = line.split { " (),:".contains($0) }
        guard parts.count >= 4, parts[0] == "subprog", parts[1] == "global", parts.last == "int" else {
            throw CaseError("'\(line)': subprog global NAME(PARAMETERS): int")
        }
        name = String(parts[2])
        var words = parts[3..<parts.count - 1]
        var parameters: [Parameter] = []
        while let word = words.popFirst() {
            switch word {
            case "int": parameters.append(.int)
            case "ctx": parameters.append(.context)
            case "mem", "nonnull", "trusted":
                guard let size = words.popFirst().flatMap({ UInt32($0) }), size % 8 == 0 else {
                    throw CaseError("'\(line)': \(word) and a multiple of 8")
                }
                parameters.append(
                    word == "mem" ? .memory(size: size) : word == "nonnull" ? .memoryNotNull(size: size) : .memoryTrusted(size: size))
            default: throw CaseError("'\(line)': '\(word)' is no parameter")
            }
        }
        self.parameters = parameters
    }
}

/// The types of global functions, as clang writes them into `.BTF`.
struct CaseTypes {
    private(set) var functionIDs: [UInt32] = []
    private var types: [UInt8] = []
    private var strings: [UInt8] = [0]
    private var count: UInt32 = 0

    init(_ functions: [GlobalFunction]) {
        let int = add("int", kind: 1, 4, [1 << 24 | 32])
        let word = add("unsigned long", kind: 1, 8, [64])
        for function in functions {
            let parameters = function.parameters.map { parameter in
                switch parameter {
                case .int: int
                case .context: add("", kind: 2, word)
                case .memory(let size), .memoryNotNull(let size), .memoryTrusted(let size):
                    add("", kind: 2, record(size, of: word))
                }
            }
            var list: [UInt32] = []
            for (index, type) in parameters.enumerated() { list += [string("p\(index)"), type] }
            let prototype = add("", kind: 13, count: parameters.count, int, list)
            // BTF_FUNC_GLOBAL
            let id = add(function.name, kind: 12, count: 1, prototype)
            for (index, parameter) in function.parameters.enumerated() {
                if let tag = parameter.tag { _ = add(tag, kind: 17, id, [UInt32(index)]) }
            }
            functionIDs.append(id)
        }
    }

    var bytes: [UInt8] {
        let header: [UInt32] = [24, 0, UInt32(types.count), UInt32(types.count), UInt32(strings.count)]
        return [0x9f, 0xeb, 1, 0] + header.flatMap(Self.bytes) + types + strings
    }

    private mutating func record(_ size: UInt32, of word: UInt32) -> UInt32 {
        var members: [UInt32] = []
        for index in 0..<size / 8 { members += [string("m\(index)"), word, index * 64] }
        return add("record", kind: 4, count: Int(size / 8), size, members)
    }

    private mutating func add(
        _ name: String, kind: UInt32, count: Int = 0, _ sizeOrType: UInt32, _ more: [UInt32] = []
    ) -> UInt32 {
        types += ([string(name), kind << 24 | UInt32(count), sizeOrType] + more).flatMap(Self.bytes)
        self.count += 1
        return self.count
    }

    private mutating func string(_ text: String) -> UInt32 {
        if text.isEmpty { return 0 }
        defer { strings += Array(text.utf8) + [0] }
        return UInt32(strings.count)
    }

    private static func bytes(_ word: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
}
