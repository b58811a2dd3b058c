import Engine
import Sessions

extension Session {
    /// The events of a session, in the order in which they were read; calls of different threads may overtake
    /// each other. For one iteration: to make a second iterator, of events or of ``batches``, ends the program. A Task that is
    /// cancelled while it iterates detaches the session.
    ///
    /// ```swift
    /// for await event in session.events {
    ///     if let call = event.call { print(call.function.name, call.renderedArguments) }
    /// }
    /// ```
    public struct Events: AsyncSequence, Sendable {
        public typealias Failure = Never

        let core: SessionCore
        package var queue: EventQueue { core.session.queue }

        /// Takes the events, one by one.
        public struct AsyncIterator: AsyncIteratorProtocol {
            private var reader: BatchReader
            @usableFromInline var batch = SharedEvents.empty
            @usableFromInline var position = 0

            init(_ reader: BatchReader) { self.reader = reader }

            /// The next event; nil when the process has ended or the session is detached and all is read.
            @inlinable
            public mutating func next(isolation actor: isolated (any Actor)?) async -> Event? {
                if position == batch.count {
                    guard await takeBatch(isolation: actor) else { return nil }
                }
                defer { position += 1 }
                return Event(batch: batch, index: position)
            }

            /// False at the end.
            @usableFromInline
            mutating func takeBatch(isolation actor: isolated (any Actor)?) async -> Bool {
                guard let next = await reader.next(isolation: actor) else { return false }
                (batch, position) = (next, 0)
                return true
            }

            /// Whether more events are at hand: the next one comes without waiting.
            public var hasMore: Bool { position < batch.count || reader.hasMore }

            /// The next event, from no actor in particular.
            @inlinable
            public mutating func next() async -> Event? { await next(isolation: nil) }
        }

        /// The iterator. There is one: events that two took would be lost to each other, so a second call is a mistake of
        /// the program, and ends it.
        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader()) }

        /// The same events, as they were read: many at a time. Whoever takes millions a second saves what an asynchronous
        /// iteration costs for each of them.
        ///
        /// ```swift
        /// struct Slow: BitwiseCopyable { var argument, nanoseconds: UInt64 }
        /// var total: UInt64 = 0
        /// for await batch in session.events.batches {
        ///     for slow in try batch.records(of: "slow_calls", as: Slow.self) { total += slow.nanoseconds }
        /// }
        /// ```
        public var batches: Batches { Batches(events: self) }

        fileprivate func reader() -> BatchReader {
            precondition(queue.takeConsumer(), "the events of a session can be iterated once")
            return BatchReader(core)
        }
    }

    /// The events of a session in batches: ``Events/batches``.
    public struct Batches: AsyncSequence, Sendable {
        public typealias Failure = Never
        let events: Events

        /// Takes the batches.
        public struct AsyncIterator: AsyncIteratorProtocol {
            fileprivate var reader: BatchReader

            /// The next batch, of one event at least; nil when the process has ended or the session is detached and all is read.
            public mutating func next(isolation actor: isolated (any Actor)?) async -> Batch? {
                await reader.next(isolation: actor).map(Batch.init)
            }

            /// The next batch, from no actor in particular.
            public mutating func next() async -> Batch? { await next(isolation: nil) }
        }

        /// The iterator; see ``Events/makeAsyncIterator()``.
        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: events.reader()) }
    }

    /// Events that were read together: either records of one map, or others.
    public struct Batch: RandomAccessCollection, Sendable {
        @usableFromInline let events: SharedEvents

        init(_ events: SharedEvents) { self.events = events }

        /// 0.
        @inlinable public var startIndex: Int { 0 }
        /// How many there are.
        @inlinable public var endIndex: Int { events.count }

        /// The event at that place.
        @inlinable
        public subscript(position: Int) -> Event {
            precondition(position >= 0 && position < events.count, "there is no such event in the batch")
            return Event(batch: events, index: position)
        }

        /// The records of a map, as values of Swift; none where the batch is of another.
        ///
        /// - Parameters:
        ///   - map: the map's name.
        ///   - type: a type as for ``BPFMap/typed(key:value:)``, of which each record's beginning is a value.
        /// - Throws: ``SessionError`` with the code `request` where a record is shorter than the type.
        public func records<Value: BitwiseCopyable>(of map: String, as type: Value.Type) throws(SessionError) -> Records<Value> {
            guard events.isRecords, events.map == map else { return Records(SharedEvents.empty) }
            var start = 0
            for end in events.ends {
                if end - start < MemoryLayout<Value>.size {
                    throw SessionError(
                        .request, "map '\(map)' has a record of \(end - start) bytes, and \(type) has \(MemoryLayout<Value>.size)")
                }
                start = end
            }
            return Records(events)
        }
    }

    /// The records of a batch as values of Swift, which are read when they are asked for: ``Batch/records(of:as:)``.
    public struct Records<Value: BitwiseCopyable>: RandomAccessCollection, Sendable {
        @usableFromInline let batch: SharedEvents

        init(_ batch: SharedEvents) { self.batch = batch }

        /// 0.
        @inlinable public var startIndex: Int { 0 }
        /// How many there are.
        @inlinable public var endIndex: Int { batch.count }

        /// The record at that place.
        @inlinable
        public subscript(position: Int) -> Value {
            let start = batch.range(of: position).lowerBound
            return batch.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: Value.self) }
        }
    }
}
