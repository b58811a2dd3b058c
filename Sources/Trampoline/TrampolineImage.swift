/// The function that a trampoline serves.
package struct FunctionEntry: Sendable, Hashable {
    /// The function's own address: what `bpf_get_func_ip` returns.
    package var address: UInt64
    /// Where its body goes on: the relocated entry, or behind the NOPs that were replaced.
    package var relocatedEntry: UInt64

    package init(address: UInt64, relocatedEntry: UInt64) {
        self.address = address
        self.relocatedEntry = relocatedEntry
    }
}

/// What unwinders are told of code, wherever it lies.
package final class UnwindDescription: Sendable, Hashable {
    /// A CIE and its FDE as in `.eh_frame`, without a terminator; the FDE's range is empty, at address 0: who finds one
    /// with `_Unwind_Find_FDE` is told the range with it. They refer to each other by distance, so the bytes work at any
    /// multiple of 8, also one after another.
    package let bytes: [UInt8]
    /// Where in `bytes` the FDE starts: what `_Unwind_Find_FDE` returns.
    package let offset: Int

    init(bytes: [UInt8], offset: Int) {
        self.bytes = bytes
        self.offset = offset
    }

    package static func == (a: UnwindDescription, b: UnwindDescription) -> Bool {
        a === b || a.offset == b.offset && a.bytes == b.bytes
    }

    package func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

/// What a range of our code looks like to an unwinder.
package struct UnwindEntry: Sendable, Hashable {
    package var start: UInt64
    package var end: UInt64
    package var description: UnwindDescription

    package init(start: UInt64, size: Int, _ description: UnwindDescription) {
        self.start = start
        end = start + UInt64(size)
        self.description = description
    }
}

/// The machine code of a trampoline.
package struct TrampolineImage: Sendable, Hashable {
    package var address: UInt64
    package var code: [UInt8]
    package var unwind: UnwindEntry
    /// Whether it calls the function and sees it return; the other shape only jumps on.
    package var callsFunction: Bool
}

/// What a trampoline is made of on one architecture.
package protocol TrampolineArchitecture: CodeScanner {
    /// Why there are no sessions in processes; nil where there are.
    static var refusal: String? { get }

    /// The code that runs the programs of `lists` around the function.
    /// - `safeCopy`: `void f(void *to, const void *from, size_t n)`, which leaves what it cannot read alone.
    static func image(
        _ lists: TrampolineLists, function: FunctionEntry, convention: CallingConvention,
        counters: CallCounters?, safeCopy: UInt64?, at address: UInt64
    ) throws(TrampolineError) -> TrampolineImage

    associatedtype Template: ImageTemplate

    /// What is common to the images of one shape at places like `address`, near to what they refer to or far from it.
    static func template(
        _ shape: ImageShape, _ values: ImageValues, lanes: CallCounters.Lanes?, safeCopy: UInt64?, at address: UInt64
    ) throws(TrampolineError) -> Template

    /// Moves the first instructions of a function to `address`.
    static func displace(
        _ function: DisplacementRequest, at address: UInt64
    ) throws(DisplacementError) -> DisplacedEntry

    /// What a function does with its caller's stack.
    /// - `code`: the code of its module, starting at `base`, without any patches; `function` lies in it.
    /// - `end`: where the function, or part of one, ends that an address of the module is in.
    static func stackUse(
        of function: Range<UInt64>, in code: UnsafeRawBufferPointer, base: UInt64, end: (UInt64) -> UInt64
    ) -> StackUse

    /// How far a jump goes.
    static var jumpReach: UInt64 { get }

    /// How far apart a module and code for it may lie: all of both must reach each other.
    static var reach: UInt64 { get }

    /// The integer registers that arguments come in.
    static var integerArguments: Int { get }

    /// So much is read of a function to displace its entry.
    static var entryWindow: Int { get }

    /// The bytes of a function's entry behind the first of its patch: nobody may come there.
    static func patchedInterior(of function: CodeRange) -> Range<UInt64>

    /// At most so many bytes from its start on are a function's own to patch.
    static var longestPatchedHead: Int { get }

    /// Whether the code before a function's padding must be known: it may run into the padding.
    static func needsCodeBefore(_ padding: [UInt8]) -> Bool

    /// Where the patch of a function's entry leads, if there is one.
    static func entryTarget(at address: UInt64, read: (Range<UInt64>) -> [UInt8]) -> UInt64?

    /// Where a thread goes on that stands in a patch when the original bytes come back, if not where it stands.
    static func place(in original: CodeRange) -> (patched: UInt64, original: UInt64)?

    /// Bytes of a jump.
    static var jumpSize: Int { get }

    /// A jump, nil when it does not reach.
    static func jump(from: UInt64, to: UInt64) -> ShortBytes?

    /// Where a jump at an address goes; nil if the bytes do not begin with one.
    static func jumpTarget(of bytes: ShortBytes, at address: UInt64) -> UInt64?

    /// Code that gives a routine its fourth argument: the other three are its caller's.
    static func thunk(to routine: UInt64, fourthArgument: UInt64) -> [UInt8]
}
