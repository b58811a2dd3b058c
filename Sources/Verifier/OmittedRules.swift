/// Rules that a walk can be told to leave out: what they keep from running, tests let through and must then find to do
/// harm. Nothing else leaves any out.
package struct OmittedRules: OptionSet, Hashable, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    /// What an atomic operation leaves on the stack is another number than its operand.
    package static let atomicsChangeSlots = OmittedRules(rawValue: 1 << 0)
    /// A tail call ends the function that makes it.
    package static let tailCallsEndFunctions = OmittedRules(rawValue: 1 << 1)
    /// A global function reads what it is handed.
    package static let globalsReadMemory = OmittedRules(rawValue: 1 << 2)
    /// A string may be shorter than its buffer.
    package static let textMayBeShort = OmittedRules(rawValue: 1 << 3)
}
