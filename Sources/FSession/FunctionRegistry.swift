import Engine

/// What an iteration over events knows of the functions that records name by number.
struct FunctionRegistry: Sendable {
    let links: LinkRegistry

    /// All that were linked so far; `known` are those that the caller has already.
    func extend(_ known: inout [LinkedDescription]) {
        known += links.snapshot(from: known.count).map(LinkedDescription.init)
    }
}

/// A linked function as events show it; all its calls share it.
final class LinkedDescription: Sendable {
    let function: Session.Function
    /// How many argument words its records hold.
    let argumentCount: Int
    let context: ContextWords

    init(_ linked: LinkedFunction) {
        function = Session.Function(linked.function)
        argumentCount = linked.argumentCount
        context = linked.context
    }
}
