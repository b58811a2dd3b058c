/// Where a call's arguments and its result are, as far as the prototype tells.
package struct CallLayout: Sendable, Hashable {
    /// The place of one eightbyte of an argument.
    package enum Location: Sendable, Hashable {
        /// 0…5: rdi rsi rdx rcx r8 r9.
        case integer(Int)
        /// xmm0…7 and what they are part of; `lane` 0 is the low 64 bits.
        case vector(Int, lane: Int)
        /// The word above the return address, from 0.
        case stack(Int)
        /// Nothing but padding: not passed.
        case padding
    }

    package struct Argument: Sendable, Hashable {
        /// A place for each eightbyte of the value, or one for the pointer to it. Empty for a value without bytes.
        package var locations: [Location]
        /// The place holds a pointer to the value.
        package var isIndirect: Bool

        package init(locations: [Location], isIndirect: Bool = false) {
            self.locations = locations
            self.isIndirect = isIndirect
        }

        /// Whether both name the same places; one may leave out parts that are not used.
        func agrees(with other: Argument) -> Bool {
            guard isIndirect == other.isIndirect, locations.count == other.locations.count else { return false }
            // GCC has a pair of registers only in its own order, exchanges them first thing in a function, and describes them
            // as they are then: an __int128 in rdi and rsi comes in rsi and rdi.
            if locations.count == 2, locations[0] == other.locations[1], locations[1] == other.locations[0] { return true }
            return zip(locations, other.locations).allSatisfy { $0 == $1 || $0 == .padding || $1 == .padding }
        }
    }

    /// The place of one eightbyte of the result.
    package enum ReturnLocation: Sendable, Hashable {
        /// 0: rax, 1: rdx.
        case integer(Int)
        /// xmm0, xmm1.
        case vector(Int, lane: Int)
        /// st0, st1, 80 bits of the 16 bytes.
        case x87(Int)
        case padding
    }

    package enum Return: Sendable, Hashable {
        case none
        case registers([ReturnLocation])
        /// In memory of the caller, whose address comes in the first integer register and goes back in rax.
        case memory
        case unknown
    }

    /// An entry for each parameter; nil for one of unknown type, and for all that follow it.
    package var arguments: [Argument?]
    package var returnValue: Return
    /// Words above the return address that the arguments take; nil where that is not known: variadic functions,
    /// unknown types.
    package var stackWords: Int?
    /// What the first stack argument must be aligned to: 16, unless a parameter is aligned to more.
    package var stackAlignment: Int
}
