import Engine
import Sessions

extension Session {
    /// Something that happened in a session. There may be more sorts of events in a later version: ask for those that you want, and
    /// pass over the others.
    ///
    /// ```swift
    /// for await event in session.events {
    ///     if let call = event.call { print(call.function.name, call.renderedArguments) }
    ///     if let status = event.exitStatus { print(status) }
    /// }
    /// ```
    ///
    /// An event keeps the memory of those that were read with it, up to some hundred kilobytes. Keep what you took out of it.
    public struct Event: Sendable {
        @usableFromInline let batch: SharedEvents
        @usableFromInline let index: Int

        @inlinable
        init(batch: SharedEvents, index: Int) {
            self.batch = batch
            self.index = index
        }
    }
}

extension Session.Event {
    /// The process that it happened in, or to: a traced one, or a child of it; 0: the kernel.
    public var processID: ProcessID {
        switch batch.other(index) {
        case .call(let call): ProcessID(call.processID)
        case .print(_, let process, _, _), .library(let process, _, _), .executed(let process, _, _), .exited(let process, _),
            .warning(let process, _):
            ProcessID(process)
        case .records, nil: batch.processID
        }
    }

    /// A traced function returned (or was entered, where its exit cannot be seen).
    public var call: Session.Call? {
        guard case .call(let call) = batch.other(index), let linked = batch.function(call.function) else { return nil }
        return Session.Call(traced: call, linked: linked)
    }

    /// A program printed a line (`bpf_printk`).
    public var print: Session.Print? {
        guard case .print(let time, let process, let thread, let text) = batch.other(index) else { return nil }
        return Session.Print(time: time, processID: ProcessID(process), threadID: ThreadID(thread), text: text)
    }

    /// A program wrote a record to a ring buffer (`BPF_MAP_TYPE_RINGBUF`) or a perf event array.
    @inlinable
    public var record: Session.Record? { batch.isRecords ? Session.Record(batch: batch, index: index) : nil }

    /// A library was loaded later.
    public var loadedLibrary: Session.LoadedLibrary? {
        guard case .library(let process, let path, let report) = batch.other(index) else { return nil }
        return Session.LoadedLibrary(path: path, attachment: Session.Attachment([MemberReport(processID: process, report: report)]))
    }

    /// The process, or a child of it, executes another program.
    public var execution: Session.Execution? {
        guard case .executed(let process, let path, let isComing) = batch.other(index) else { return nil }
        return Session.Execution(processID: ProcessID(process), path: path, hasHappened: !isComing)
    }

    /// A process ended, that of ``processID``.
    public var exitStatus: Session.ExitStatus? {
        guard case .exited(_, let exit) = batch.other(index) else { return nil }
        return Session.ExitStatus(exit)
    }

    /// Something did not work in the process, and the session goes on.
    public var warning: String? {
        switch batch.other(index) {
        case .warning(_, let text): PrintableText.line(text)
        case .call(let call) where batch.function(call.function) == nil: "a record names function \(call.function), which was never attached"
        default: nil
        }
    }
}

extension Session {
    /// A call of a traced function.
    public struct Call: Sendable {
        let traced: TracedCall
        let linked: LinkedDescription

        /// The function that was called.
        public var function: Function { linked.function }
        /// CLOCK_MONOTONIC at entry, in nanoseconds.
        public var start: UInt64 { traced.start }
        /// From entry to exit; nil where the exit is not seen.
        public var duration: Duration? { traced.hasReturned ? .nanoseconds(Int64(clamping: traced.duration)) : nil }
        /// The process that it happened in: the traced one, or a child of it.
        public var processID: ProcessID { ProcessID(traced.processID) }
        /// The thread that called.
        public var threadID: ThreadID { ThreadID(traced.threadID) }
        /// The first words of the arguments: the integer argument registers, six unless a prototype says otherwise.
        public var arguments: [UInt64] { (0..<argumentCount).map { traced.arguments[$0] } }
        /// The return value's first word; nil where the exit is not seen.
        public var returnValue: UInt64? { traced.hasReturned ? traced.returnValue : nil }
    }

    /// A line that a program printed.
    public struct Print: Sendable {
        /// CLOCK_MONOTONIC, in nanoseconds.
        public let time: UInt64
        /// The process that it happened in: the traced one, or a child of it.
        public let processID: ProcessID
        /// The thread that the program ran on.
        public let threadID: ThreadID
        /// As the program formatted it, with its newline if it has one; what programs in the kernel print always ends with one.
        public let text: String
    }

    /// A library that was loaded later. Functions of it that match are traced now, but for some.
    public struct LoadedLibrary: Sendable {
        /// Its path.
        public let path: String
        /// What was attached to functions of it, and what was refused.
        public let attachment: Attachment
    }

    /// A process executes another program, which is not traced.
    public struct Execution: Sendable {
        /// The traced process, or a child of it.
        public let processID: ProcessID
        /// The program's path.
        public let path: String
        /// False where the process, or a child of it, is about to call `execve` and friends; true where the traced process has
        /// executed the program, and is traced no more.
        public let hasHappened: Bool
    }
}

extension Session.Call {
    /// How many words of its arguments are known.
    var argumentCount: Int { min(linked.argumentCount, RecordLayout.argumentCount) }
}
