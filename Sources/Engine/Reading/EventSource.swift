/// A ring, or a file, that events come from. Once a `ReaderThread` has it, that thread alone reads it.
package protocol EventSource: AnyObject, Sendable {
    /// What it is called where records that came to nothing are counted.
    var name: String { get }
    /// Reads what is there, so many records at most.
    func read(_ limit: Int) -> EventBatch
    /// Records that found no room.
    var dropped: UInt64 { get }
}

extension EventSource {
    package var dropped: UInt64 { 0 }
}

/// What the records of a ring are.
package enum RecordContent: Sendable {
    /// `RecordLayout`
    case calls
    /// `PrintRecord`
    case prints(endsLine: Bool)
    /// An object's own, of a traced process; 0: of the kernel.
    case records(map: String, processID: Int32)
    /// Others; nil for a record that is no event.
    case other(@Sendable (UnsafeRawBufferPointer) -> EngineEvent?)
}

/// What one look at a source brings.
package struct EventBatch {
    package private(set) var count = 0
    /// Records that found no room, whose writer died half-way, or that made no sense.
    package var lost: UInt64 = 0
    private let content: RecordContent
    private var single: [EngineEvent] = []
    private var records: RecordBatch?

    package init(_ content: RecordContent) {
        self.content = content
        if case .records(let map, let processID) = content { records = RecordBatch(map: map, processID: processID) }
    }

    /// Of what is no record.
    package init(_ events: [EngineEvent]) {
        self.init(.calls)
        single = events
        count = events.count
    }

    /// - Parameter processID: who has written it, where that is not the one process that the source belongs to.
    package mutating func append(_ record: UnsafeRawBufferPointer, of processID: Int32? = nil) {
        count += 1
        if let processID, let full = records, full.processID != processID {
            if full.count > 0 { single.append(.records(full)) }
            records = RecordBatch(map: full.map, processID: processID)
        }
        switch content {
        case .calls: if let call = TracedCall.decode(record) { single.append(.call(call)) } else { lost += 1 }
        case .prints(let endsLine): if let line = PrintRecord.decode(record, endsLine: endsLine) { single.append(line) } else { lost += 1 }
        case .records: records?.append(record)
        case .other(let decode): if let event = decode(record) { single.append(event) }
        }
    }

    package var events: [EngineEvent] {
        if let records, records.count > 0 { single + [.records(records)] } else { single }
    }
}
