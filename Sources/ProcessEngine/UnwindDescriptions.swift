import Trampoline

/// Descriptions for unwinders, each once: there are some hundred of them for a hundred thousand functions.
struct UnwindDescriptions {
    private var known: Set<UnwindDescription> = []

    /// The one that is equal and kept already, if there is one.
    mutating func shared(_ description: UnwindDescription) -> UnwindDescription {
        known.insert(description).memberAfterInsert
    }
}
