/// What a function without a known prototype does with its caller's stack, as its instructions tell.
///
/// A trampoline calls the function with a copy of the words above its return address. This tells how many it needs.
package struct StackUse: Sendable, Hashable {
    /// The words above the return address that the function reads or writes.
    package var words = 0
    /// It takes the address of such words, or leaves by a jump to who knows what: how many it needs, no code tells.
    package var isOpen = false
    /// Where it leaves, with its caller's stack as it was, to another function, which needs what that one needs.
    package var tailCalls: [UInt64] = []
    /// The instruction that shows that its caller's frame is its own, as in parts of hand-written code.
    package var writesCallersFrame: UInt64?

    /// It uses the frame pointer's register before it has put anything there.
    package var takesFramePointer = false

    package init() {}

    /// Words that are copied where code does not tell: structures of 512 bytes by value, 70 variable arguments.
    package static let openWords = 64

    private var copiedWords: Int { isOpen ? max(words, Self.openWords) : words }

    /// Words that a trampoline is to copy.
    package func wordsToCopy() throws(DisplacementError) -> Int {
        if let address = writesCallersFrame { throw .writesCallersFrame(at: address) }
        let limit = CallingConvention.maximumGuessedStackWords
        guard copiedWords <= limit else { throw .tooManyStackWords(copiedWords, limit: limit) }
        return copiedWords
    }

    /// With the needs of a function that it leaves to.
    package mutating func merge(_ other: StackUse) {
        words = max(words, other.words)
        isOpen = isOpen || other.isOpen
        takesFramePointer = takesFramePointer || other.takesFramePointer
        if writesCallersFrame == nil { writesCallersFrame = other.writesCallersFrame }
    }
}
