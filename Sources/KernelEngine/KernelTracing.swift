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

    /// Takes all programs out; how often the kernel skipped one, at an entry or an exit.
    mutating func close(_ options: KernelOptions) -> UInt64 {
        defer { links = [] }
        return options.close(links)
    }

    /// How often the kernel skipped a program that is still attached, and exits without their entry.
    var missed: UInt64 { links.reduce(alone) { $0 &+ $1.missed } }

    /// Exits of calls whose entry was skipped: nothing can be said of these.
    private var alone: UInt64 {
        let place = maps.count > KernelTraceProgram.MapIndex.count ? KernelTraceProgram.MapIndex.count + 1 : Int(KernelTraceProgram.MapIndex.drops)
        return maps[place].word(place == Int(KernelTraceProgram.MapIndex.drops) ? 1 : 2)
    }

    func add(to summary: inout EngineSummary) {
        let value = maps[Int(KernelTraceProgram.MapIndex.calls)].read([0, 0, 0, 0])?.first ?? []
        func word(_ offset: Int) -> UInt64 {
            guard offset + 8 <= value.count else { return 0 }
            return (0..<8).reduce(0) { $0 | UInt64(value[offset + $1]) << (8 * UInt64($1)) }
        }
        for (index, function) in functions.enumerated() {
            summary.counts.append(
                CallCount(
                    function: function.info, entered: word(index * 16), returned: word(index * 16 + 8),
                    seesReturns: function.entryOnly == nil))
        }
        let dropped = maps[Int(KernelTraceProgram.MapIndex.drops)].word(0)
        if dropped > 0 { summary.drops.append((map: "events", count: dropped)) }
        if maps.count > KernelTraceProgram.MapIndex.count + 1 {
            let missed = maps[KernelTraceProgram.MapIndex.count + 1].word(0)
            if missed > 0 { summary.drops.append((map: "cookies", count: missed)) }
        }
    }
}

