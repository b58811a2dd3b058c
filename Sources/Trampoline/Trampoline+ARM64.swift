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

    /// `b`, in bytes.
    package static let jumpSize = 4

    /// What is read of a function to displace its entry.
    package static let entryWindow = 16

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

    package static func displace(
        _ function: DisplacementRequest, at address: UInt64
    ) throws(DisplacementError) -> DisplacedEntry {
        throw .decoderUnavailable
    }

    /// Nobody knows: functions are taken for what needs most.
    package static func stackUse(
        of function: Range<UInt64>, in code: UnsafeRawBufferPointer, base: UInt64, end: (UInt64) -> UInt64
    ) -> StackUse {
        var use = StackUse()
        use.isOpen = true
        return use
    }

    package static func jump(from: UInt64, to: UInt64) -> ShortBytes? { nil }

    package static func jumpTarget(of bytes: ShortBytes, at address: UInt64) -> UInt64? { nil }

    package static func thunk(to routine: UInt64, fourthArgument: UInt64) -> [UInt8] { [] }

    /// One instruction is replaced, so nothing lies inside.
    package static func patchedInterior(of function: CodeRange) -> Range<UInt64> {
        function.address + 1..<function.address + UInt64(jumpSize)
    }

    package static let longestPatchedHead = 8
    /// 128 MiB.
    package static let jumpReach: UInt64 = 0x7ff_0000
    package static let reach: UInt64 = 0x700_0000
    package static let integerArguments = 8

    /// CFA = sp; the return address is in x30.
    package static let callFrameAtEntry: [UInt8] = [30, 0x0C, 31, 0]

    package static func needsCodeBefore(_ padding: [UInt8]) -> Bool { false }

    package static func entryTarget(at address: UInt64, read: (Range<UInt64>) -> [UInt8]) -> UInt64? { nil }

    package static func place(in original: CodeRange) -> (patched: UInt64, original: UInt64)? { nil }
}

/// Nothing is read of code yet: nothing is patched.
extension ARM64 {
    package static func forEachBranch(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeBranch) -> Void
    ) {}

    package static func forEachReference(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeReference) -> Void
    ) {}

    package static func plausible(_ hits: [CodeBranch], in text: UnsafeRawBufferPointer, base: UInt64) -> [CodeBranch] { hits }

    package static func readsFlags(_ text: UnsafeRawBufferPointer, behind call: CodeBranch, base: UInt64) -> Bool { false }

    package static func mayBranchShort(_ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>) -> Bool { false }

    package static func shortBranches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interior: Range<UInt64>, except known: [Range<UInt64>]
    ) -> [CodeBranch] { [] }

    package static func tableJumps(in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] { [] }

    package static func tables(in text: UnsafeRawBufferPointer, base: UInt64, of function: Range<UInt64>) -> [JumpTable] { [] }

    package static func scanForLeaving(
        _ found: inout LeavingJumps, _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, code: Range<UInt64>,
        slots: Range<UInt64>, range: (UInt64) -> Range<UInt64>, isSlot: (UInt64) -> Bool, isStart: (UInt64) -> Bool
    ) {}

    package static func isPlausible(_ address: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> Bool { false }

    package static func shortJumps(to target: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] { [] }

    package static func isInstruction(
        _ address: UInt64, of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64
    ) -> Bool { false }

    package static func shape(of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64) -> LeavingJumps.Shape { .init() }
}
