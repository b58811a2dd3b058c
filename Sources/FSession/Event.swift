import Engine
import Sessions

extension Session {
    /// What happens in a session.
    public enum Event: Sendable {
        /// A traced function returned (or was entered, where its exit cannot be seen).
        case call(Call)
        /// A program printed a line (`bpf_printk`).
        case print(Print)
        /// A program wrote a record to a ring buffer (`BPF_MAP_TYPE_RINGBUF`) or a perf event array.
        case record(Record)
        /// A process loaded a library later; functions of it that match are traced now, but for some.
        case libraryLoaded(path: String, attached: Int, refused: [Attachment.Refusal])
        /// The process, or a child of it, is about to execute another program, which runs untraced.
        case executing(processID: Int32, path: String)
        /// The process executes another program now; that one is not traced.
        case executed(processID: Int32, path: String)
        /// A process ended.
        case exited(ExitStatus)
        /// Something did not work in a process, or in the kernel (0), and the session goes on.
        case warning(String)
    }

    /// A call of a traced function.
    public struct Call: Sendable {
        /// The function that was called.
        public let function: Function
        /// CLOCK_MONOTONIC at entry, in nanoseconds.
        public let start: UInt64
        /// From entry to exit, in nanoseconds; nil where the exit is not seen.
        public let duration: UInt64?
        /// The process that it happened in: the traced one, or a child of it.
        public let processID: Int32
        /// The thread, as Linux numbers it.
        public let threadID: Int32
        /// The first words of the arguments: the integer argument registers, six unless a prototype says otherwise.
        public let arguments: [UInt64]
        /// The return value's first word; nil where the exit is not seen.
        public let returnValue: UInt64?
        let context: ContextWords
    }

    /// A line that a program printed.
    public struct Print: Sendable {
        /// CLOCK_MONOTONIC, in nanoseconds.
        public let time: UInt64
        /// The process that it happened in: the traced one, or a child of it.
        public let processID: Int32
        /// The thread, as Linux numbers it.
        public let threadID: Int32
        /// As the program formatted it, with its newline if it has one; what programs in the kernel print always ends with one.
        public let text: String
    }

    /// A record of a ring buffer.
    public struct Record: Sendable {
        /// The map's name.
        public var map: String { batch.map }
        /// The traced process whose map it is, also where a child that it forked has sent the record; 0 for the kernel. Where
        /// several processes share the map, the one whose thread has sent it; 0 where that thread was gone too soon to be asked.
        public var processID: Int32 { batch.processID }
        /// What the program wrote; copied anew each time it is asked for.
        public var bytes: [UInt8] { Array(batch.bytes[batch.range(of: index)]) }
        let batch: RecordBatch
        let index: Int

        /// The record's beginning as a value of Swift, of a type as for ``BPFMap/typed(key:value:)``; nil where the record is shorter.
        ///
        /// ```swift
        /// struct Slow: BitwiseCopyable { var argument, nanoseconds: UInt64; var command: InlineArray<16, UInt8> }
        /// for await event in session.events {
        ///     if case .record(let record) = event, let slow = record.value(as: Slow.self) { print(slow.nanoseconds) }
        /// }
        /// ```
        public func value<Value: BitwiseCopyable>(as type: Value.Type) -> Value? {
            let range = batch.range(of: index)
            guard range.count >= MemoryLayout<Value>.size else { return nil }
            return batch.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self) }
        }
    }

    /// How a process ended.
    public enum ExitStatus: Sendable, Hashable {
        /// It exited with this status.
        case exited(Int32)
        /// A signal ended it.
        case signalled(Int32)
        /// It was not a child of ours, so nobody told us.
        case unknown

        init(_ exit: EngineExit) {
            self =
                switch exit {
                case .status(let status): .exited(status)
                case .signal(let signal): .signalled(signal)
                case .unknown: .unknown
                }
        }
    }

    /// The events of a session, in the order in which they were read; calls of different threads may overtake
    /// each other. For one iteration: to make a second iterator ends the program. A Task that is cancelled while it iterates
    /// detaches the session.
    ///
    /// ```swift
    /// for await event in session.events {
    ///     if case .call(let call) = event { print(call.function.name, call.renderedArguments) }
    /// }
    /// ```
    public struct Events: AsyncSequence, Sendable {
        public typealias Failure = Never

        let core: SessionCore
        package var queue: EventQueue { core.session.queue }

        /// Takes the events, one by one.
        public struct AsyncIterator: AsyncIteratorProtocol {
            let core: SessionCore
            let queue: EventQueue
            let functions: FunctionRegistry
            var batch: [EngineEvent] = []
            var position = 0
            var records = RecordBatch(map: "", processID: 0)
            var recordPosition = 0
            var known: [LinkedDescription] = []

            /// The next event; nil when the process has ended or the session is detached and all is read.
            public mutating func next(isolation actor: isolated (any Actor)?) async -> Event? {
                while true {
                    if recordPosition < records.count {
                        defer { recordPosition += 1 }
                        return .record(Record(batch: records, index: recordPosition))
                    }
                    if position == batch.count {
                        guard let next = await queue.next() else {
                            if Task.isCancelled { _ = try? await core.end() }
                            return nil
                        }
                        batch = next
                        position = 0
                        continue
                    }
                    defer { position += 1 }
                    if case .records(let next) = batch[position] {
                        records = next
                        recordPosition = 0
                        continue
                    }
                    if let event = event(batch[position]) { return event }
                }
            }

            /// Whether more events are at hand: the next one comes without waiting.
            public var hasMore: Bool { recordPosition < records.count || position < batch.count }

            /// The next event, from no actor in particular.
            public mutating func next() async -> Event? { await next(isolation: nil) }

            private mutating func event(_ event: EngineEvent) -> Event? {
                switch event {
                case .call(let call):
                    if call.function >= known.count { functions.extend(&known) }
                    guard known.indices.contains(call.function) else {
                        return .warning("a record names function \(call.function), which was never attached")
                    }
                    let linked = known[call.function]
                    return .call(
                        Call(
                            function: linked.function, start: call.start,
                            duration: call.hasReturned ? call.duration : nil,
                            processID: call.processID, threadID: call.threadID,
                            arguments: linked.arguments(of: call),
                            returnValue: call.hasReturned ? call.returnValue : nil,
                            context: linked.context))
                case .print(let time, let processID, let threadID, let text):
                    return .print(Print(time: time, processID: processID, threadID: threadID, text: text))
                case .records:
                    return nil
                case .library(let processID, let path, let report):
                    let attachment = Attachment([MemberReport(processID: processID, report: report)])
                    return .libraryLoaded(
                        path: path, attached: report.linked.count, refused: attachment.refused)
                case .executed(let processID, let path, let byLibrary):
                    return byLibrary
                        ? .executing(processID: processID, path: path) : .executed(processID: processID, path: path)
                case .exited(_, let exit):
                    return .exited(ExitStatus(exit))
                case .warning(_, let text):
                    return .warning(PrintableText.line(text))
                }
            }
        }

        /// The iterator. There is one: events that two took would be lost to each other, so a second call is a mistake of
        /// the program, and ends it.
        public func makeAsyncIterator() -> AsyncIterator {
            precondition(queue.takeConsumer(), "the events of a session can be iterated once")
            return AsyncIterator(core: core, queue: queue, functions: FunctionRegistry(links: core.session.registry))
        }
    }
}
