import Engine
import Sessions

/// Events that were read together: either records of one map or a run of others. An event is a place in it.
@usableFromInline
final class SharedEvents: Sendable {
    /// How many events it holds.
    @usableFromInline let count: Int
    /// Whether they are records of a map.
    @usableFromInline let isRecords: Bool
    /// All records, one behind the other.
    @usableFromInline let bytes: [UInt8]
    /// Where each record ends in them.
    @usableFromInline let ends: [Int]
    let map: String
    let processID: ProcessID
    private let others: ArraySlice<EngineEvent>
    /// The functions that calls name by number.
    private let functions: [LinkedDescription]

    static let empty = SharedEvents([], functions: [])

    init(_ records: RecordBatch) {
        (isRecords, count, bytes, ends) = (true, records.count, records.bytes, records.ends)
        (map, processID) = (records.map, ProcessID(records.processID))
        (others, functions) = ([], [])
    }

    init(_ others: ArraySlice<EngineEvent>, functions: [LinkedDescription]) {
        (isRecords, count, bytes, ends) = (false, others.count, [], [])
        (map, processID) = ("", 0)
        (self.others, self.functions) = (others, functions)
    }

    /// Where a record lies in `bytes`.
    @inlinable
    func range(of record: Int) -> Range<Int> { (record == 0 ? 0 : ends[record - 1])..<ends[record] }

    /// An event that is no record.
    func other(_ index: Int) -> EngineEvent? { isRecords ? nil : others[others.startIndex + index] }

    func function(_ number: Int) -> LinkedDescription? { functions.indices.contains(number) ? functions[number] : nil }
}

/// Takes batches out of a session's queue.
struct BatchReader: Sendable {
    private let core: SessionCore
    private let registry: FunctionRegistry
    private var pending: ArraySlice<EngineEvent> = []
    private var functions: [LinkedDescription] = []

    init(_ core: SessionCore) {
        self.core = core
        registry = FunctionRegistry(links: core.session.registry)
    }

    var hasMore: Bool { !pending.isEmpty }

    /// The next batch, which is not empty; nil at the end.
    mutating func next(isolation: isolated (any Actor)?) async -> SharedEvents? {
        if pending.isEmpty {
            guard let events = await core.session.queue.next() else {
                if Task.isCancelled { _ = try? await core.end() }
                return nil
            }
            pending = events[...]
        }
        if case .records(let records) = pending.first {
            pending.removeFirst()
            return SharedEvents(records)
        }
        let run = pending.prefix { if case .records = $0 { false } else { true } }
        pending = pending[run.endIndex...]
        if run.contains(where: isOfNewFunction) { registry.extend(&functions) }
        return SharedEvents(run, functions: functions)
    }

    private func isOfNewFunction(_ event: EngineEvent) -> Bool {
        if case .call(let call) = event { call.function >= functions.count } else { false }
    }
}
