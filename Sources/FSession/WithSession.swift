/// Opens a session for as long as `body` runs, and detaches in the end: when `body` returns, when it throws, and at once when
/// the Task is cancelled, which ends the session's events.
///
/// ```swift
/// let summary = try await withSession(.launch("gzip", ["-k", "file"])) { session in
///     try await session.trace(["libz:deflate*"])
///     try await session.resume()
///     for await event in session.events {
///         if let call = event.call { print(call.function.name) }
///     }
///     return try await session.detach()
/// }
/// print(summary.calls)
/// ```
///
/// - Parameters:
///   - target: what the session is opened on.
///   - isolation: the actor that `body` runs on: the caller's.
///   - body: uses the session. After it, maps and variables can still be read.
/// - Returns: what `body` returns.
/// - Throws: what `body` throws; else ``SessionError`` where the target cannot be opened or left; `CancellationError` where
///   the Task was cancelled before it was opened.
public func withSession<Result>(
    _ target: Session.Target, isolation: isolated (any Actor)? = #isolation, _ body: (Session) async throws -> Result
) async throws -> Result {
    try Task.checkCancellation()
    let session = try await Session(target)
    return try await withTaskCancellationHandler {
        let result: Result
        do {
            result = try await body(session)
        } catch {
            _ = try? await session.detach()
            throw error
        }
        try await session.detach()
        return result
    } onCancel: {
        session.cancel()
    }
}
