// Counts the records of a program's ring buffer, as fast as they come:
//
//     event-rate raw|batches|events OBJECT -p PID
//
// `raw` takes what the reading thread makes of a ring, `batches` iterates over `Session.events.batches` and their events,
// `events` over `Session.events`. Ends with SIGTERM, or with the process, and prints
//
//     RECORDS DROPPED RATE READER-NS
//
// RATE is records a second from the first to the last, READER-NS this process's processor time for a record
// meanwhile.
import CLinux
import FSession
import Foundation
import ProcessEngine

private func nanoseconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

private struct Usage: Error {}

/// From the first record to the last; the times are taken with every 4096th.
private struct Count {
    var records = 0
    private var first = (time: 0.0, processor: 0.0, record: 0)
    private var last = (time: 0.0, processor: 0.0, record: 0)

    mutating func add(_ count: Int) {
        let isTimed = records == 0 || (records + count) >> 12 != records >> 12
        records += count
        guard isTimed else { return }
        last = (nanoseconds(CLOCK_MONOTONIC), nanoseconds(CLOCK_PROCESS_CPUTIME_ID), records)
        if first.record == 0 { first = last }
    }

    func report(dropped: UInt64) {
        let counted = Double(max(last.record - first.record, 1))
        let rate = counted / max(last.time - first.time, 1) * 1e9
        let spent = (last.processor - first.processor) / counted
        print("\(records) \(dropped) \(Int(rate)) \((spent * 10).rounded() / 10)")
    }
}

private let arguments = CommandLine.arguments
guard arguments.count == 5, arguments[3] == "-p", let process = Int32(arguments[4]) else { throw Usage() }

fs_signal_catch(SIGTERM)

private let object = try BPFObject(contentsOf: arguments[2])
private let session = try await Session(.process(ProcessID(process)))
try await session.load(object)
try await session.attach()

Thread.detachNewThread {
    _ = fs_signal_next()
    Task { _ = try? await session.detach() }
}

/// In a function, as in a program of any size: what stands at a file's top level belongs to the main actor.
private func run(_ how: String, _ session: Session) async -> Count {
    var count = Count()
    switch how {
    case "raw":
        while let batch = await session.events.queue.next() {
            for case .records(let records) in batch { count.add(records.count) }
        }
    case "batches":
        for await batch in session.events.batches {
            for event in batch where event.record != nil { count.add(1) }
        }
    default:
        for await event in session.events {
            if event.record != nil { count.add(1) }
        }
    }
    return count
}

private let count = await run(arguments[1], session)
let summary = await session.summary()
count.report(dropped: summary.drops.reduce(0) { $0 + $1.count })
