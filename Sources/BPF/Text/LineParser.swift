/// One line of assembly.
struct LineParser {
    enum Statement {
        case slots([Instruction])
        case jump(String, long: Bool)
        case mayGoto(String)
        case branch(Condition, Width, Register, Operand, String)
        case call(String)
        case function(Register, String)
    }

    private enum Target {
        case distance(Int32)
        case label(String)
    }

    private var rest: Substring.UTF8View
    private let number: Int

    init(_ line: Substring, number: Int) {
        self.number = number
        var line = line.utf8
        if let comment = line.firstIndex(of: UInt8(ascii: ";")) { line = line[..<comment] }
        var index = line.startIndex
        while let slash = line[index...].firstIndex(of: UInt8(ascii: "/")) {
            let next = line.index(after: slash)
            if next < line.endIndex, line[next] == UInt8(ascii: "/") {
                line = line[..<slash]
                break
            }
            index = next
        }
        rest = line
        skipSpace()
    }

    var isAtEnd: Bool { rest.isEmpty }

    func expectEnd() throws(AssemblyError) {
        guard isAtEnd else { throw error("unexpected '\(Substring(rest))'") }
    }

    /// `12: (b7) `, as the log has it before each instruction.
    mutating func skipLogPrefix() {
        let start = rest
        guard unsignedNumber() != nil, accept(":") else {
            rest = start
            return
        }
        let afterNumber = rest
        guard accept("("), let digits = word(), digits.utf8.count == 2, accept(")") else {
            rest = afterNumber
            return
        }
    }

    /// `name:`
    mutating func labelDefinition() -> String? {
        let start = rest
        guard let name = word(), accept(":") else {
            rest = start
            return nil
        }
        return name
    }

    mutating func statement() throws(AssemblyError) -> Statement {
        if accept("*") {
            let (type, base, offset) = try place()
            guard !type.isSigned else { throw error("a store has no sign: write u\(type.byteCount * 8)") }
            try expect("=")
            return .slots([.store(type, try operand(.bits64), to: base, offset: offset)])
        }
        if accept(".quad") {
            guard let value = unsignedNumber() else { throw expected("a 64-bit number") }
            return .slots([Instruction(encoded: value.value)])
        }
        let start = rest
        guard let word = word() else { throw expected("an instruction") }
        switch word {
        case "exit": return .slots([.exit])
        case "goto", "gotol":
            let long = word == "gotol"
            switch try target() {
            case .label(let name): return .jump(name, long: long)
            case .distance(let distance):
                if long { return .slots([.jumpLong(distance)]) }
                return .slots([.jump(try short(distance))])
            }
        case "may_goto":
            switch try target() {
            case .label(let name): return .mayGoto(name)
            case .distance(let distance): return .slots([.mayGoto(try short(distance))])
            }
        case "call": return try call()
        case "if": return try branch()
        case "lock": return .slots([try lockedAtomic()])
        default:
            rest = start
            guard let (destination, width) = register() else { throw error("'\(word)' is no instruction") }
            return try assignment(destination, width)
        }
    }

    // MARK: - Statements

    private mutating func call() throws(AssemblyError) -> Statement {
        let start = rest
        // kernel-function has a dash in it.
        if accept("kernel-function#") {
            guard let index = signedNumber(), let index = Int32(exactly: index) else { throw expected("an index") }
            return .slots([.call(.external(index))])
        }
        if let name = word(), accept("#") {
            guard let id = signedNumber(), let id = Int32(exactly: id) else { throw expected("a helper's number") }
            let raw = UInt32(bitPattern: id)
            guard name == "unknown" || Helper(rawValue: raw)?.name == name else {
                throw error("the helper \(raw) is not \(name)")
            }
            return .slots([.call(.helper(raw))])
        }
        rest = start
        if let name = word(), let helper = Helper(name: name) { return .slots([.call(helper)]) }
        rest = start
        switch try target() {
        case .label(let name): return .call(name)
        case .distance(let distance): return .slots([.call(.subprogram(distance))])
        }
    }

    private mutating func branch() throws(AssemblyError) -> Statement {
        guard let (left, width) = register() else { throw expected("a register") }
        guard let condition = condition() else { throw expected("a comparison") }
        let right = try operand(width)
        guard word() == "goto" else { throw expected("goto") }
        switch try target() {
        case .label(let name): return .branch(condition, width, left, right, name)
        case .distance(let distance): return .slots([.branch(condition, width, left, right, try short(distance))])
        }
    }

    private mutating func lockedAtomic() throws(AssemblyError) -> Instruction {
        try expect("*")
        let (type, base, offset) = try place()
        let width = try atomicWidth(type)
        for operation in AtomicOperation.allCases {
            if let sign = operation.sign, accept(sign) {
                guard let source = wholeRegister() else { throw expected("a register") }
                return .atomic(operation, width, base: base, offset: offset, source)
            }
        }
        throw expected("+=, |=, &= or ^=")
    }

    private mutating func assignment(_ destination: Register, _ width: Width) throws(AssemblyError) -> Statement {
        for operation in ArithmeticOperation.allCases where accept(operation.sign) {
            return .slots([.arithmetic(operation, width, destination, try operand(width))])
        }
        try expect("=")
        let start = rest
        if accept("*") {
            guard width == .bits64 else { throw error("loads name the whole register: r\(destination.rawValue)") }
            let (type, base, offset) = try place()
            return .slots([.load(type, into: destination, from: base, offset: offset)])
        }
        if accept("(") {
            guard let name = word(), let type = MemoryType.allCases.first(where: { $0.word == name && $0.isSigned })
            else { throw expected("s8, s16 or s32") }
            try expect(")")
            guard let (source, sourceWidth) = register(), sourceWidth == width else { throw expected("a register") }
            return .slots([.moveSigned(width, destination, source, from: UInt8(type.byteCount * 8))])
        }
        if accept("-") {
            if let (source, sourceWidth) = register() {
                guard source == destination, sourceWidth == width else { throw error("a negation keeps its register") }
                return .slots([.negate(width, destination)])
            }
            rest = start
        }
        if let (source, sourceWidth) = register() {
            guard sourceWidth == width else { throw error("both registers have the same width") }
            return .slots([.move(width, destination, .register(source))])
        }
        if let slots = try wideLoad(destination, width) { return slots }
        if let name = word() { return .slots([try function(name, destination, width)]) }
        return .slots([.move(width, destination, try operand(width))])
    }

    /// The right side of a wide load: a hexadecimal number, or any with `ll` behind it.
    private mutating func wideLoad(_ destination: Register, _ width: Width) throws(AssemblyError) -> Statement? {
        guard width == .bits64 else { return nil }
        let start = rest
        if let (value, isHexadecimal) = unsignedNumber() {
            if acceptWord("ll") || isHexadecimal { return .slots(Instruction.loadImmediate(destination, value)) }
            rest = start
            return nil
        }
        if accept("-"), let (value, _) = unsignedNumber(), acceptWord("ll") {
            return .slots(Instruction.loadImmediate(destination, 0 &- value))
        }
        rest = start
        guard let name = word(), accept("[") else {
            rest = start
            return nil
        }
        switch name {
        case "subprog":
            if let name = word() {
                try expect("]")
                return .function(destination, name)
            }
            guard let distance = signedNumber(), let distance = Int32(exactly: distance) else {
                throw expected("a distance")
            }
            try expect("]")
            return .slots(Instruction.loadImmediate(.function, destination, first: distance))
        case "ksym":
            let index = try index()
            try expect("]")
            return .slots(Instruction.loadImmediate(.variable, destination, first: index))
        case "map":
            let isDescriptor = acceptWord("id")
            guard isDescriptor || acceptWord("idx") else { throw expected("id: or idx:") }
            try expect(":")
            let first = try index()
            try expect("]")
            if isDescriptor, accept("[0]") {
                try expect("+")
                return .slots(
                    Instruction.loadImmediate(.mapDescriptorValue, destination, first: first, second: try index()))
            }
            if !isDescriptor, accept("+") {
                return .slots(Instruction.loadImmediate(.mapValue, destination, first: first, second: try index()))
            }
            return .slots(Instruction.loadImmediate(isDescriptor ? .mapDescriptor : .map, destination, first: first))
        default: throw error("'\(name)[' cannot be loaded")
        }
    }

    /// `be16 r1`, `bswap64 r1`, `atomic64_fetch_add((u64 *)(r1 +0), r0)`.
    private mutating func function(
        _ name: String, _ destination: Register, _ width: Width
    ) throws(AssemblyError) -> Instruction {
        guard width == .bits64 else { throw error("\(name) names the whole register: r\(destination.rawValue)") }
        for order in ByteOrder.allCases {
            for bits: UInt8 in [16, 32, 64] where name == "\(order.word)\(bits)" {
                guard let source = wholeRegister(), source == destination else {
                    throw error("\(name) keeps its register")
                }
                return .byteOrder(order, bits: bits, destination)
            }
        }
        for operation in AtomicOperation.allCases {
            guard let word = operation.word else { continue }
            for width in Width.allCases where name == width.atomicPrefix + word {
                try expect("(")
                let (type, base, offset) = try place()
                guard try atomicWidth(type) == width else { throw error("\(name) takes \(width.memoryType.word)") }
                try expect(",")
                if operation == .compareExchange {
                    guard destination == .r0, wholeRegister() == .r0 else {
                        throw error("\(name) compares with r0 and returns in it")
                    }
                    try expect(",")
                }
                guard let source = wholeRegister() else { throw expected("a register") }
                guard operation == .compareExchange || source == destination else {
                    throw error("\(name) returns in the register of its operand")
                }
                try expect(")")
                return .atomic(operation, width, base: base, offset: offset, source)
            }
        }
        throw error("'\(name)' is no operand")
    }

    // MARK: - Parts

    /// `(u64 *)(r1 +8)`
    private mutating func place() throws(AssemblyError) -> (MemoryType, Register, Int16) {
        try expect("(")
        guard let name = word(), let type = MemoryType.allCases.first(where: { $0.word == name }) else {
            throw expected("a type from u8 to s32")
        }
        try expect("*")
        try expect(")")
        try expect("(")
        guard let base = wholeRegister() else { throw expected("a register r0…r10") }
        var offset: Int64 = 0
        if !accept(")") {
            guard let number = signedNumber() else { throw expected("an offset") }
            offset = number
            try expect(")")
        }
        guard let offset = Int16(exactly: offset) else { throw error("the offset \(offset) does not fit 16 bits") }
        return (type, base, offset)
    }

    private func atomicWidth(_ type: MemoryType) throws(AssemblyError) -> Width {
        switch type {
        case .u64: return .bits64
        case .u32: return .bits32
        default: throw error("atomics work on u32 and u64")
        }
    }

    private mutating func operand(_ width: Width) throws(AssemblyError) -> Operand {
        if let (source, sourceWidth) = register() {
            guard sourceWidth == width else { throw error("both registers have the same width") }
            return .register(source)
        }
        let start = rest
        if let (value, isHexadecimal) = unsignedNumber(), isHexadecimal {
            guard let value = UInt32(exactly: value) else { throw error("0x\(String(value, radix: 16)) does not fit 32 bits") }
            return .immediate(Int32(bitPattern: value))
        }
        rest = start
        guard let value = signedNumber() else { throw expected("a register or a number") }
        guard let value = Int32(exactly: value) else { throw error("\(value) does not fit 32 bits") }
        return .immediate(value)
    }

    /// `pc+3`, `+3` or a label.
    private mutating func target() throws(AssemblyError) -> Target {
        let start = rest
        if accept("pc"), let distance = relative() { return .distance(try long(distance)) }
        rest = start
        if let distance = relative() { return .distance(try long(distance)) }
        guard let name = word() else { throw expected("pc+N or a label") }
        return .label(name)
    }

    private mutating func relative() -> Int64? {
        guard rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") else { return nil }
        return signedNumber()
    }

    private func long(_ distance: Int64) throws(AssemblyError) -> Int32 {
        guard let distance = Int32(exactly: distance) else { throw error("the distance does not fit 32 bits") }
        return distance
    }

    private func short(_ distance: Int32) throws(AssemblyError) -> Int16 {
        guard let distance = Int16(exactly: distance) else { throw error("the distance does not fit 16 bits") }
        return distance
    }

    private mutating func index() throws(AssemblyError) -> Int32 {
        guard let (value, _) = unsignedNumber(), let value = UInt32(exactly: value) else {
            throw expected("a number of 32 bits")
        }
        return Int32(bitPattern: value)
    }

    private mutating func condition() -> Condition? {
        // The longest first: `s>=` before `s>`.
        Self.conditions.first { accept($0.sign) }
    }

    private static let conditions = Condition.allCases.sorted { $0.sign.utf8.count > $1.sign.utf8.count }

    /// `r7` or `w7`.
    private mutating func register() -> (Register, Width)? {
        let start = rest
        guard let name = word()?.utf8, name.count >= 2, name.count <= 3,
            let number = UInt8(Substring(name.dropFirst())), number <= 10,
            // No `r07`: what is read must be what is written.
            number >= 10 || name.count == 2
        else {
            rest = start
            return nil
        }
        switch name.first {
        case UInt8(ascii: "r"): return (Register(rawValue: number), .bits64)
        case UInt8(ascii: "w"): return (Register(rawValue: number), .bits32)
        default:
            rest = start
            return nil
        }
    }

    private mutating func wholeRegister() -> Register? {
        let start = rest
        if let (register, width) = register(), width == .bits64 { return register }
        rest = start
        return nil
    }

    // MARK: - Characters

    private mutating func skipSpace() {
        rest = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
    }

    /// Takes `text` if it comes next, and the space behind it.
    private mutating func accept(_ text: String) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        skipSpace()
        return true
    }

    private mutating func acceptWord(_ expected: String) -> Bool {
        let start = rest
        if word() == expected { return true }
        rest = start
        return false
    }

    private mutating func expect(_ text: String) throws(AssemblyError) {
        guard accept(text) else { throw expected("'\(text)'") }
    }

    /// A letter or underscore, then letters, digits and underscores.
    private mutating func word() -> String? {
        func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
        }
        guard let first = rest.first, isLetter(first) else { return nil }
        let word = rest.prefix { isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest[word.endIndex...]
        skipSpace()
        return String(word)
    }

    private mutating func unsignedNumber() -> (value: UInt64, isHexadecimal: Bool)? {
        let isHexadecimal = rest.starts(with: "0x".utf8)
        let digits = (isHexadecimal ? rest.dropFirst(2) : rest).prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || isHexadecimal && (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0 | 0x20)
        }
        guard let value = UInt64(Substring(digits), radix: isHexadecimal ? 16 : 10) else { return nil }
        rest = rest[digits.endIndex...]
        skipSpace()
        return (value, isHexadecimal)
    }

    /// A number with an optional sign.
    private mutating func signedNumber() -> Int64? {
        let start = rest
        let isNegative = accept("-")
        if !isNegative { _ = accept("+") }
        guard let (magnitude, _) = unsignedNumber(), let magnitude = Int64(exactly: magnitude) else {
            rest = start
            return nil
        }
        return isNegative ? -magnitude : magnitude
    }

    private func error(_ message: String) -> AssemblyError { AssemblyError(line: number, message: message) }

    private func expected(_ what: String) -> AssemblyError {
        error(rest.isEmpty ? "expected \(what) at the end" : "expected \(what) before '\(Substring(rest))'")
    }
}
