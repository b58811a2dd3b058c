import CLinux
import Glibc
import TargetRuntime

/// How the time stamp counter becomes CLOCK_MONOTONIC in the target (`struct fs_clock`).
///
/// Two readings of both clocks, as far apart as possible, give the rate; the reader thread refines it
/// while the session runs, so that no attach has to wait for a long calibration.
package struct Clock: Sendable {
    package struct Reading: Sendable {
        var counter: UInt64
        var nanoseconds: UInt64

        /// Reads both clocks at (nearly) the same time: of several tries the one that took the shortest.
        package static func now() -> Reading {
            var best = Reading(counter: 0, nanoseconds: 0)
            var shortest = UInt64.max
            for _ in 0..<8 {
                let before = fs_time_stamp_counter()
                let nanoseconds = Clock.monotonic()
                let after = fs_time_stamp_counter()
                if after &- before < shortest {
                    shortest = after &- before
                    best = Reading(counter: before &+ (after &- before) / 2, nanoseconds: nanoseconds)
                }
            }
            return best
        }
    }

    /// The first reading of this controller: the longer ago, the more exact the rate.
    package static let start = Reading.now()

    /// Whether the counter can be used at all; the kernel is asked for the time otherwise.
    package static let isSteady = fs_time_stamp_counter_is_steady() != 0

    /// CLOCK_MONOTONIC in nanoseconds.
    package static func monotonic() -> UInt64 { read(CLOCK_MONOTONIC) }

    static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Waits until the two readings are at least `milliseconds` apart (3 ms: an error below 0.01 %).
    static func settle(milliseconds: UInt64 = 3) {
        let since = monotonic() &- start.nanoseconds
        if since < milliseconds * 1_000_000 {
            usleep(UInt32((milliseconds * 1_000_000 - since) / 1000))
        }
    }

    /// The conversion as of now: continues from `previous`, so that time never steps back.
    static func parameters(continuing previous: fs_clock? = nil) -> fs_clock {
        let now = Reading.now()
        let counts = max(1, now.counter &- start.counter)
        let nanoseconds = now.nanoseconds &- start.nanoseconds
        let (quotient, _) = counts.dividingFullWidth((nanoseconds >> 32, nanoseconds << 32))
        var base = now.nanoseconds
        if let previous {
            let elapsed = now.counter &- previous.base_tsc
            let product = elapsed.multipliedFullWidth(by: previous.mult)
            base = max(base, previous.base_ns &+ (product.high << 32 | product.low >> 32))
        }
        return fs_clock(base_tsc: now.counter, base_ns: base, mult: quotient, reserved: 0)
    }
}
