/// Why a program could not be linked, or a trampoline not be made.
package enum TrampolineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// `E2BIG`
    case tooManyNodes(present: Int, added: Int)
    /// `EBUSY`
    case programAlreadyLinked(programID: Int)
    case functionNeverReturns(kind: TrampolineProgramKind)
    case tooManyArguments(Int)
    case badArgumentLocation(ArgumentLocation)
    case tooManyStackWords(Int, limit: Int)
    /// The number of stack words is a guess, and no routine was given that reads them safely.
    case safeCopyMissing
    case outOfReach(from: UInt64, to: UInt64)
    case assembly(String)

    /// The kernel's error number for it, where it has one.
    package var errno: Int32? {
        switch self {
        case .tooManyNodes: 7  // E2BIG
        case .programAlreadyLinked: 16  // EBUSY
        default: nil
        }
    }

    package var description: String {
        switch self {
        case .tooManyNodes(let present, let added):
            "the function has \(present) of at most \(TrampolineLists.maximumNodeCount) nodes and cannot take \(added) "
                + "more (E2BIG; a session counts twice); detach another program first"
        case .programAlreadyLinked(let id):
            "program \(id) is linked to this function already (EBUSY); detach it first"
        case .functionNeverReturns(let kind):
            "the function never returns, so it cannot have an \(kind.rawValue) program; use fentry"
        case .tooManyArguments(let count):
            "\(count) argument words are more than a context holds (255); trace with fewer arguments"
        case .badArgumentLocation(let location):
            "there is no argument location \(location)"
        case .tooManyStackWords(let count, let limit):
            "\(count) words of stack arguments are more than a trampoline copies (\(limit)); "
                + "use fentry, which copies none"
        case .safeCopyMissing:
            "the function's prototype is unknown and there is no routine to read its stack arguments with"
        case .outOfReach(let from, let to):
            "the trampoline at 0x\(String(from, radix: 16)) cannot reach 0x\(String(to, radix: 16)); place it "
                + "within 2 GiB"
        case .assembly(let reason):
            "the trampoline's code could not be made: \(reason)"
        }
    }
}
