import TargetRuntime

/// Where the trampolines count calls: blocks of shared memory with a lane for each stack, and in each lane a pair
/// of counters for each function.
///
///     block:  lane 0 │ lane 1 │ …     lane:  function 0's entered, returned │ function 1's … │ …
///
/// A lane that nobody has taken is address space without memory behind it.
struct CounterMemory {
    static let pairsPerBlock = Int(FS_LANE_BYTES) / 16
    private static let blockSize = Int(FS_LANES * FS_LANE_BYTES)

    /// The blocks that still have room are those of the last region, from `used` on.
    private var counters: Counters?
    private var used = 0
    private var capacity = 0

    /// Pairs for `count` functions. `makeRegion` is asked where there is no room for all of them.
    mutating func take(
        _ count: Int, session: SessionMemory, makeRegion: (SharedLayout) throws(EngineError) -> SharedRegion
    ) throws(EngineError) -> [CallCounts] {
        if used + count > capacity {
            let blocks = (count + Self.pairsPerBlock - 1) / Self.pairsPerBlock
            var layout = SharedLayout()
            _ = layout.placePlain([blocks * Self.blockSize])
            counters = Counters(region: try makeRegion(layout), session: session)
            used = 0
            capacity = blocks * Self.pairsPerBlock
        }
        guard let counters else { return [] }
        defer { used += count }
        return (used..<used + count).map { pair in
            let (block, place) = pair.quotientAndRemainder(dividingBy: Self.pairsPerBlock)
            return CallCounts(counters: counters, offset: block * Self.blockSize + place * 16)
        }
    }

    /// Blocks of one region, and the session that tells how many lanes are taken.
    final class Counters: Sendable {
        let region: SharedRegion
        let session: SessionMemory

        init(region: SharedRegion, session: SessionMemory) {
            self.region = region
            self.session = session
        }
    }
}

/// The counters of one function, in all lanes.
struct CallCounts: Sendable {
    let counters: CounterMemory.Counters
    /// Of the pair in lane 0.
    let offset: Int

    /// In the target, of the pair in lane 0.
    var address: UInt64 { counters.region.address(at: offset) }

    /// Calls entered and returned so far. A call may be counted at its entry in one lane and at its exit in another.
    var values: (entered: UInt64, returned: UInt64) {
        // The target can write this number; the lanes are where they were made.
        let lanes = min(counters.session.state.pointee.lanes_taken, FS_LANES - 1)
        var sum: (entered: UInt64, returned: UInt64) = (0, 0)
        for lane in 0...Int(lanes) {
            let pair = counters.region.pointer(at: offset + lane * Int(FS_LANE_BYTES), count: 16)
            sum.entered &+= pair.load(as: UInt64.self)
            sum.returned &+= pair.load(fromByteOffset: 8, as: UInt64.self)
        }
        return sum
    }
}
