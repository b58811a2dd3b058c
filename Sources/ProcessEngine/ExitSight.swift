/// Whether the exits of functions can be seen in a process.
struct ExitSight {
    /// Why they cannot, as it was decided last; nil if they can.
    private(set) var lossReason: String?
    private var hasTold = false

    /// Decides anew; true where it is otherwise than before.
    mutating func decide(_ reason: String?) -> Bool {
        defer { lossReason = reason }
        return (reason == nil) != (lossReason == nil)
    }

    /// Why no exits are seen, to be told once.
    mutating func takeReasonToTell() -> String? {
        if hasTold { return nil }
        hasTold = lossReason != nil
        return lossReason
    }

    /// They are seen from here on: should they be lost again, that is told again.
    mutating func forgetWhatWasTold() { hasTold = false }
}
