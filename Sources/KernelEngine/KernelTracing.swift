import BPF
import Engine
import Glibc

/// The functions of `fsession trace`, with the maps that their programs share.
struct KernelTracing: Sendable {
    /// So many functions can be traced in one session.
    static let mostFunctions = 10_000

    var maps: [KernelMap]
    /// By their numbers; records count on from `first`.
    let functions: [KernelFunction]
    let first: Int
    var links: [AttachedPrograms] = []

    /// The maps by their places in the list; behind them are those of `SessionSplit`.
    enum MapIndex {
        static let events = TraceProgram.eventsMap
        static let drops: Int32 = 1
        static let calls: Int32 = 2
        static let count = 3
    }

    static func maps(functions: Int, ringBytes: UInt32) -> [MapDefinition] {
        [
            TraceProgram.eventsMap(bytes: ringBytes),
            // Records that found no room, and exits of calls whose entry the kernel skipped.
            MapDefinition(name: "drops", type: .array, keySize: 4, valueSize: 16, maxEntries: 1),
            // Entered and returned, for each function by its number, in one value: programs reach it without a lookup.
            MapDefinition(name: "calls", type: .array, keySize: 4, valueSize: UInt32(functions * 16), maxEntries: 1),
        ]
    }

    /// The program for a function, or for several of one shape. Nothing is lost in silence: calls are counted at both
    /// ends, and records that found no room.
    func program(
        _ shape: TraceProgram.Shape, _ access: TraceProgram.Access, _ number: TraceProgram.Number, isMulti: Bool = false
    ) throws(EngineError) -> ObjectProgram {
        let counts = TraceProgram.Counts(drops: MapIndex.drops, calls: MapIndex.calls, functions: first..<first + functions.count)
        return try TraceProgram(shape, access, number, counts: counts).program("fsession_trace", isMulti: isMulti)
    }

    /// Takes all programs out; how often the kernel skipped one, at an entry or an exit.
    mutating func close(_ options: KernelOptions) -> UInt64 {
        defer { links = [] }
        return options.close(links)
    }

    /// How often the kernel skipped a program that is still attached, and exits without their entry.
    var missed: UInt64 { links.reduce(alone) { $0 &+ $1.missed } }

    /// Exits of calls whose entry was skipped: nothing can be said of these.
    private var alone: UInt64 {
        let place = maps.count > MapIndex.count ? MapIndex.count + 1 : Int(MapIndex.drops)
        return maps[place].word(place == Int(MapIndex.drops) ? 1 : 2)
    }

    func add(to summary: inout EngineSummary) {
        let calls = maps[Int(MapIndex.calls)].words(0..<functions.count * 2)
        for (index, function) in functions.enumerated() {
            summary.counts.append(
                CallCount(
                    function: function.info, entered: calls[index * 2], returned: calls[index * 2 + 1],
                    seesReturns: function.entryOnly == nil))
        }
        let dropped = maps[Int(MapIndex.drops)].word(0)
        if dropped > 0 { summary.drops.append((map: "events", count: dropped)) }
        if maps.count > MapIndex.count + 1 {
            let missed = maps[MapIndex.count + 1].word(0)
            if missed > 0 { summary.drops.append((map: "cookies", count: missed)) }
        }
    }
}

extension TraceProgram.Shape {
    init(_ function: KernelFunction) {
        self.init(
            words: function.prototype.argumentWords, hasResult: function.prototype.context.prototype?.returnType != nil,
            isEntryOnly: function.entryOnly != nil)
    }
}
