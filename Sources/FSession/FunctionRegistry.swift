import Engine

/// What an iteration over events knows of the functions that records name by number.
struct FunctionRegistry: Sendable {
    let links: LinkRegistry

    /// All that were linked so far; `known` are those that the caller has already.
    func extend(_ known: inout [LinkedDescription]) {
        known += links.snapshot(from: known.count).map(LinkedDescription.init)
    }
}

/// A linked function as events show it.
struct LinkedDescription: Sendable {
    let function: Session.Function
    /// How many argument words its records hold.
    let argumentCount: Int

    init(_ linked: LinkedFunction) {
        function = Session.Function(linked.function)
        argumentCount = linked.argumentCount
        context = linked.context
    }

    let context: ContextWords

    func arguments(of call: TracedCall) -> [UInt64] {
        let count = min(argumentCount, 6)
        return (0..<count).map { call.arguments[$0] }
    }
}
