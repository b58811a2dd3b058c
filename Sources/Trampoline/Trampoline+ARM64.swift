import MachineCode

/// Trampolines for arm64, AAPCS64. Swift's convention is served by the same code: it passes self, error and async context in
/// callee-saved registers, which a trampoline does not touch. Processes are refused until all else is there.
extension ARM64: TrampolineArchitecture {
    package static var refusal: String? { missing }
    private static let missing = "sessions in processes are not there yet on arm64"

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
    ) throws(TrampolineError) -> ARM64ImageTemplate {
        try check(shape.convention, copiesStack: !shape.lists.isEntryOnly, hasSafeCopy: safeCopy != nil)
        var builder = ARM64ImageBuilder(shape, safeCopy: safeCopy, at: address)
        return builder.build()
    }

    private static func check(
        _ convention: CallingConvention, copiesStack: Bool, hasSafeCopy: Bool
    ) throws(TrampolineError) {
        if convention.arguments.count > 255 { throw .tooManyArguments(convention.arguments.count) }
        for location in convention.arguments {
            let isValid =
                switch location {
                case .register(let number), .vector(let number): (0..<8).contains(number)
                case .stack(let word): (0..<maximumStackWords).contains(word)
                }
            if !isValid { throw .badArgumentLocation(location) }
        }
        guard copiesStack else { return }
        let limit = convention.stackWordsAreKnown ? maximumStackWords : CallingConvention.maximumGuessedStackWords
        guard (0...limit).contains(convention.stackWords) else {
            throw .tooManyStackWords(convention.stackWords, limit: limit)
        }
        if convention.stackWords > 0 && !convention.stackWordsAreKnown && !hasSafeCopy { throw .safeCopyMissing }
    }

    /// Nobody knows: functions are taken for what needs most.
    package static func stackUse(
        of function: Range<UInt64>, in code: UnsafeRawBufferPointer, base: UInt64, end: (UInt64) -> UInt64
    ) -> StackUse {
        var use = StackUse()
        use.isOpen = true
        return use
    }

    /// `b`
    package static func jump(from: UInt64, to: UInt64) -> ShortBytes? {
        let distance = Int64(bitPattern: to &- from)
        guard distance & 3 == 0, distance >= -1 << 27, distance < 1 << 27 else { return nil }
        let word = 0x1400_0000 | UInt32(truncatingIfNeeded: distance >> 2) & 0x3ff_ffff
        return ShortBytes((0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) })
    }

    package static func jumpTarget(of bytes: ShortBytes, at address: UInt64) -> UInt64? {
        guard bytes.count >= jumpSize else { return nil }
        let instruction = ARM64Instruction((0..<4).reversed().reduce(0) { $0 << 8 | UInt32(bytes[$1]) }, at: address)
        return instruction.kind == .jump ? instruction.target : nil
    }

    /// A `b` at the entry, or behind its landing pad.
    package static func entryTarget(at address: UInt64, read: (Range<UInt64>) -> [UInt8]) -> UInt64? {
        guard address <= UInt64.max - 16 else { return nil }
        let entry = ARM64Entry(CodeRange(address: address, bytes: read(address..<address + UInt64(longestPatchedHead))))
        return entry.instruction?.kind == .jump ? entry.instruction?.target : nil
    }

    package static func thunk(to routine: UInt64, fourthArgument: UInt64) -> [UInt8] {
        var assembler = ARM64Assembler()
        assembler.bti(.calls)
        assembler.mov(.x3, immediate: fourthArgument)
        assembler.mov(.x16, immediate: routine)
        assembler.br(.x16)
        // Nothing in it refers to anything.
        return (try? assembler.finish(at: 0)) ?? []
    }

    /// 128 MiB.
    package static let jumpReach: UInt64 = 0x7ff_0000
    package static let reach: UInt64 = 0x700_0000
    package static let integerArguments = 8

    package static func needsCodeBefore(_ padding: [UInt8]) -> Bool { false }

    package static func place(in original: CodeRange) -> (patched: UInt64, original: UInt64)? { nil }
}

/// Jump tables, and functions that leave to others, are not looked for yet.
extension ARM64 {
    package static func tableJumps(in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] { [] }

    package static func tables(in text: UnsafeRawBufferPointer, base: UInt64, of function: Range<UInt64>) -> [JumpTable] { [] }

    package static func scanForLeaving(
        _ found: inout LeavingJumps, _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, code: Range<UInt64>,
        slots: Range<UInt64>, range: (UInt64) -> Range<UInt64>, isSlot: (UInt64) -> Bool, isStart: (UInt64) -> Bool
    ) {}

    package static func shape(of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64) -> LeavingJumps.Shape { .init() }
}
