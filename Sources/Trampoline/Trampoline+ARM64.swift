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
}
