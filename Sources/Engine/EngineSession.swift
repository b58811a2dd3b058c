import Synchronization

/// What the engines of one session have in common, one for each process and one for the kernel.
package final class EngineSession: Sendable {
    package let queue: EventQueue
    package let registry = LinkRegistry()
    package let progress = AttachProgress()
    /// Reads the rings of all processes.
    private let readers: Readers

    package init() {
        let readers = Readers()
        self.readers = readers
        queue = EventQueue { readers.stop() }
    }

    /// The thread that reads what processes write: started by the first of them, and ended by the last.
    package func reader(_ pace: ReaderThread.Pace) -> ReaderThread {
        readers.thread.withLock { thread in
            if let thread { return thread }
            let new = ReaderThread(queue: queue, pace)
            thread = new
            return new
        }
    }

    /// Records of a source that came to nothing.
    package func lost(of source: any EventSource) -> UInt64 { readers.thread.withLock { $0?.lost(of: source) } ?? 0 }

    private final class Readers: Sendable {
        let thread = Mutex<ReaderThread?>(nil)

        func stop() {
            guard let thread = thread.withLock({ $0 }) else { return }
            Task {
                await thread.stop()
                thread.dropSources()
            }
        }
    }
}
