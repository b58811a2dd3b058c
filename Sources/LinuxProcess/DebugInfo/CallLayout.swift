/// Where a call's arguments and its result are, as far as the prototype tells.
package struct CallLayout: Sendable, Hashable {
    /// The place of one eightbyte of an argument.
    package enum Location: Sendable, Hashable {
        /// The n-th of the integer registers that arguments come in, from 0.
        case integer(Int)
        /// The n-th vector register; `lane` 0 is its low 64 bits.
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
            // as they are then: an __int128 that comes in the first two comes in the second and the first.
            if locations.count == 2, locations[0] == other.locations[1], locations[1] == other.locations[0] { return true }
            return zip(locations, other.locations).allSatisfy { $0 == $1 || $0 == .padding || $1 == .padding }
        }
    }

    /// The place of one eightbyte of the result.
    package enum ReturnLocation: Sendable, Hashable {
        /// The n-th of the integer registers that results come in, from 0.
        case integer(Int)
        /// Likewise of the vector registers.
        case vector(Int, lane: Int)
        /// A register of the floating-point unit's own stack: 80 bits of 16 bytes.
        case extended(Int)
        case padding
    }

    package enum Return: Sendable, Hashable {
        case none
        case registers([ReturnLocation])
        /// In memory of the caller, whose address the function is given, and gives back.
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
