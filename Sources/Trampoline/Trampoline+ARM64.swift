import MachineCode

/// Trampolines for arm64: there are none yet, and all that is asked for is refused.
extension ARM64: TrampolineArchitecture {
    package static var refusal: String? { missing }
    private static let missing = "sessions in processes are not there yet on arm64"

    /// Nobody gets one.
    package struct Template: ImageTemplate {
        package let size: Int
        package let unwind: UnwindDescription
        package let callsFunction: Bool

        package func code(_ values: ImageValues, at address: UInt64) throws(TrampolineError) -> [UInt8] {
            throw .assembly(missing)
        }
    }

    package static func image(
        _ lists: TrampolineLists, function: FunctionEntry, convention: CallingConvention,
        counters: CallCounters?, safeCopy: UInt64?, at address: UInt64
    ) throws(TrampolineError) -> TrampolineImage {
        throw .assembly(missing)
    }

    package static func template(
        _ shape: ImageShape, _ values: ImageValues, lanes: CallCounters.Lanes?, safeCopy: UInt64?, at address: UInt64
    ) throws(TrampolineError) -> Template {
        throw .assembly(missing)
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

    package static func thunk(to routine: UInt64, fourthArgument: UInt64) -> [UInt8] { [] }

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
