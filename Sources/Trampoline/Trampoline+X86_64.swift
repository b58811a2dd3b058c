import MachineCode

/// Trampolines for x86-64, System V ABI. Swift's convention is served by the same code: it passes self,
/// error and async context in callee-saved registers, which a trampoline does not touch.
extension X86_64: TrampolineArchitecture {
    package static var refusal: String? { nil }

    /// The most stack words of a known prototype that are copied.
    static let maximumStackWords = 65_536

    package static func image(
        _ lists: TrampolineLists, function: FunctionEntry, convention: CallingConvention,
        counters: CallCounters? = nil, safeCopy: UInt64? = nil, at address: UInt64
    ) throws(TrampolineError) -> TrampolineImage {
        let values = ImageValues(function, lists, counters?.address)
        let shape = ImageShape(lists, convention, values, isCounted: counters != nil)
        return try template(shape, values, lanes: counters?.lanes, safeCopy: safeCopy, at: address)
            .image(values, at: address)
    }

    package static func template(
        _ shape: ImageShape, _ values: ImageValues, lanes: CallCounters.Lanes?, safeCopy: UInt64?, at address: UInt64
    ) throws(TrampolineError) -> X86_64ImageTemplate {
        try check(shape.convention, copiesStack: !shape.lists.isEntryOnly, hasSafeCopy: safeCopy != nil)
        var builder = X86_64ImageBuilder(shape, values, lanes: lanes, safeCopy: safeCopy, at: address)
        return try builder.build()
    }

    /// `jmp rel32`
    package static func jump(from: UInt64, to: UInt64) -> ShortBytes? {
        guard let distance = Int32(exactly: Int64(bitPattern: to &- from &- UInt64(jumpSize))) else { return nil }
        let word = UInt32(bitPattern: distance)
        var bytes: ShortBytes = [0xE9]
        for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: word >> (index * 8))) }
        return bytes
    }

    package static func jumpTarget(of bytes: ShortBytes, at address: UInt64) -> UInt64? {
        guard bytes.count >= jumpSize, bytes[0] == 0xE9 else { return nil }
        let distance = (1...4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[$1]) }
        return address &+ UInt64(jumpSize) &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
    }

    /// A distance of 32 bits.
    package static let jumpReach: UInt64 = 0x7fff_0000

    /// Less the size of a module.
    package static let reach: UInt64 = 0x7000_0000

    /// rdi rsi rdx rcx r8 r9.
    package static let integerArguments = 6

    /// `endbr64` and a long jump.
    package static let longestPatchedHead = 4 + jumpSize

    /// Only what stops at `int3` must be known not to run into it.
    package static func needsCodeBefore(_ padding: [UInt8]) -> Bool { padding.last == 0xCC }

    /// A `jmp rel32`, behind an `endbr64` perhaps, or a `jmp rel8` back to one in the padding.
    package static func entryTarget(at address: UInt64, read: (Range<UInt64>) -> [UInt8]) -> UInt64? {
        var start = address
        var head = read(start..<(start + 9))
        if head.starts(with: [0xF3, 0x0F, 0x1E, 0xFA]) {
            start += 4
            head.removeFirst(4)
        }
        if head.starts(with: [0xEB]), head.count >= 2, head[1] >= 0x80 {
            start = start &+ 2 &- UInt64(0x100 - Int(head[1]))
            head = read(start..<(start + UInt64(jumpSize)))
        }
        return jumpTarget(of: ShortBytes(head.prefix(jumpSize)), at: start)
    }

    /// More bytes than a jump: it begins in the padding before the function. Who stands there goes on through NOPs, but not
    /// through `int3`.
    package static func place(in original: CodeRange) -> (patched: UInt64, original: UInt64)? {
        guard original.bytes.count > jumpSize, original.bytes[0] == 0xCC else { return nil }
        return (original.address, original.address + UInt64(jumpSize))
    }

    /// rax is free.
    package static func thunk(to routine: UInt64, fourthArgument: UInt64) -> [UInt8] {
        // mov rcx, imm64; mov rax, imm64; jmp rax
        [0x48, 0xB9] + word(fourthArgument) + [0x48, 0xB8] + word(routine) + [0xFF, 0xE0]
    }

    private static func word(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }

    private static func check(
        _ convention: CallingConvention, copiesStack: Bool, hasSafeCopy: Bool
    ) throws(TrampolineError) {
        if convention.arguments.count > 255 { throw .tooManyArguments(convention.arguments.count) }
        for location in convention.arguments {
            let isValid =
                switch location {
                case .register(let number): (0..<6).contains(number)
                case .vector(let number): (0..<8).contains(number)
                case .stack(let word): (0..<maximumStackWords).contains(word)
                }
            if !isValid { throw .badArgumentLocation(location) }
        }
        guard copiesStack else { return }
        let limit = convention.stackWordsAreKnown ? maximumStackWords : CallingConvention.maximumGuessedStackWords
        guard (0...limit).contains(convention.stackWords) else {
            throw .tooManyStackWords(convention.stackWords, limit: limit)
        }
        if convention.stackWords > 0 && !convention.stackWordsAreKnown && !hasSafeCopy {
            throw .safeCopyMissing
        }
    }
}
