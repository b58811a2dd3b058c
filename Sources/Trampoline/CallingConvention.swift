import MachineCode

/// Where a word of a function's arguments is when the function is entered.
package enum ArgumentLocation: Sendable, Hashable {
    /// The n-th of the integer registers that arguments come in, from 0.
    case register(Int)
    /// The low 64 bits of the n-th vector register.
    case vector(Int)
    /// The n-th word above the return address.
    case stack(Int)
}

/// Where the word of the return value that programs see is.
package enum ReturnLocation: Sendable, Hashable {
    /// The integer register for results.
    case register
    /// The low 64 bits of the first vector register.
    case vector
    /// Nowhere: programs read zero (`void`, `long double`).
    case none
}

/// What a return address is signed with, where a processor does that.
package enum ReturnAddressKey: Sendable, Hashable {
    case a, b
}

/// What a trampoline must know of a function's prototype.
package struct CallingConvention: Sendable, Hashable {
    /// A location for each word of arguments in the context, in the prototype's order.
    package var arguments: [ArgumentLocation]
    package var returnValue: ReturnLocation
    /// How many words above the return address belong to the call.
    package var stackWords: Int
    /// False: `stackWords` is a guess (no prototype, or variable arguments). Words beyond the end of
    /// the caller's stack are then read without faulting, and zero.
    package var stackWordsAreKnown: Bool
    /// False: nothing says that the function leaves the frame pointer and its caller's stack as it found them.
    package var keepsFrame: Bool
    /// The function takes what its caller has in the frame pointer's register.
    package var takesFramePointer = false
    /// The return address arrives signed: see `DisplacedEntry.returnAddressKey`.
    package var returnAddressKey: ReturnAddressKey?

    package init(
        arguments: [ArgumentLocation], returnValue: ReturnLocation = .register, stackWords: Int = 0,
        stackWordsAreKnown: Bool = true, keepsFrame: Bool = true
    ) {
        self.arguments = arguments
        self.returnValue = returnValue
        self.stackWords = stackWords
        self.stackWordsAreKnown = stackWordsAreKnown
        self.keepsFrame = keepsFrame
    }

    /// Stack words that are copied when nothing says how many there are: a call with 22 integer arguments.
    package static let defaultStackWords = 16

    /// More than these lie on more than two pages, and are not copied where nobody knows that they are there.
    package static let maximumGuessedStackWords = 256

    /// No prototype: all integer registers, and a guess of the stack words.
    package static let unknown = CallingConvention(
        arguments: (0..<Architecture.integerArguments).map { .register($0) }, stackWords: defaultStackWords, stackWordsAreKnown: false,
        keepsFrame: false)
}
