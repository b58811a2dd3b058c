import CLinux
import Glibc

/// A thread of its own for work that blocks: Swift's executors must not be held by a futex or a wait.
package enum BlockingThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a detached thread named `name` (at most 15 bytes) that runs `body` and ends.
    package static func start(
        _ name: String, _ body: @escaping @Sendable () -> Void
    ) throws(EngineError) {
        let context = Unmanaged.passRetained(Body(body)).toOpaque()
        let error = fs_thread_start(
            name,
            { context in
                guard let context else { return }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
            }, context)
        if error != 0 {
            Unmanaged<Body>.fromOpaque(context).release()
            throw .controller("start the thread '\(name)'", errno: error)
        }
    }

    /// Runs `body` on a thread of its own and returns what it returns.
    package static func run<Value: Sendable>(
        _ name: String, _ body: @escaping @Sendable () -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            do throws(EngineError) {
                try start(name) { continuation.resume(returning: body()) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}
