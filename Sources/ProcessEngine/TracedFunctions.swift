import LinuxProcess
import Trampoline

/// The functions that are traced, and what must be known of those that were.
struct TracedFunctions {
    /// By address.
    private var current: [UInt64: TracedFunction] = [:]
    /// Functions as they were before their exits began, or ceased, to be seen: their counters count what was then.
    private var earlierForms: [TracedFunction] = []
    private var retired: [Retired] = []

    /// A function that is no longer traced: a child that was forked before may still have our jump at it.
    private struct Retired {
        var function: TracedFunction
        /// As it was then.
        var count: CallCount?
    }

    subscript(address: UInt64) -> TracedFunction? { current[address] }
    var isEmpty: Bool { current.isEmpty }
    var all: some Collection<TracedFunction> { current.values }

    /// The function that has a link, by the link's number.
    func function(with link: Int) -> TracedFunction? {
        current.values.first { $0.lists.links.contains { $0.id == link } }
    }

    /// What our patches overwrote in a module.
    func overwritten(in module: Range<UInt64>) -> [CodeRange] {
        // Asked for each hook, of a hundred thousand functions perhaps: no copies.
        var ranges: [CodeRange] = []
        for function in current.values where module.contains(function.displaced.patch.address) {
            ranges.append(CodeRange(address: function.displaced.patch.address, bytes: Array(function.displaced.patch.original)))
        }
        return ranges
    }

    // MARK: - Changes

    /// Functions are traced from now on, or in another way.
    mutating func publish(_ functions: some Collection<TracedFunction>) {
        current.reserveCapacity(current.count + functions.count)
        for function in functions { current[function.info.address] = function }
    }

    /// Functions are traced in another way from now on, and counted anew.
    mutating func keepCounts(of functions: [TracedFunction]) { earlierForms += functions }

    /// A function is no longer traced.
    mutating func retire(_ function: TracedFunction) {
        let count = function.count
        retired.append(Retired(function: function, count: count.flatMap { $0.entered > 0 ? $0 : nil }))
        current[function.info.address] = nil
    }

    /// All functions have their own bytes again.
    mutating func removeAll() { current = [:] }

    // MARK: - At the end

    /// All at which a process may have our jump: the target, or what was forked at some time.
    var restorable: [TracedFunction] { retired.map(\.function) + current.values }

    var counts: [CallCount] {
        retired.compactMap(\.count) + earlierForms.compactMap(\.count).filter { $0.entered > 0 } + current.values.compactMap(\.count)
    }

    /// Whether functions were entered more often than they returned: a call may still return into our code.
    var haveOpenCalls: Bool {
        let all = [current.values.map { $0 }, earlierForms, retired.map(\.function)].joined()
        return all.contains { function in
            guard let counters = function.counters, function.image?.callsFunction ?? false else { return false }
            let values = counters.values
            return values.entered != values.returned
        }
    }
}
