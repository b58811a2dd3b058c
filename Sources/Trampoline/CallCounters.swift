/// Where an image counts calls: two u64, calls entered and calls returned.
package struct CallCounters: Sendable, Hashable {
    /// Of the pair that everybody shares, lane 0: it is incremented with a lock.
    package var address: UInt64
    /// Nil: everything is counted there.
    package var lanes: Lanes?

    package init(address: UInt64, lanes: Lanes? = nil) {
        self.address = address
        self.lanes = lanes
    }

    /// How a stack finds the pair that it alone increments (`lanes.h` of TargetRuntime says why that is exact).
    package struct Lanes: Sendable, Hashable {
        /// In the target: `struct fs_lane_owners`, 1 << `ownerBits` places of two u64, owner and lane.
        package var owners: UInt64
        /// `struct fs_state` in the target.
        package var state: UInt64
        /// The runtime's "count": counts for a stack whose first place is not its own.
        package var slowPath: UInt64

        /// `FS_LANE_OWNER_BITS`
        package static let ownerBits: UInt8 = 8

        package init(owners: UInt64, state: UInt64, slowPath: UInt64) {
            self.owners = owners
            self.state = state
            self.slowPath = slowPath
        }
    }
}
