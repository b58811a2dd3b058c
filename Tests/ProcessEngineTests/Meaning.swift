import FSession
import TestSupport
import Testing

/// A line of what a session means, and how to see that it is so.
///
/// The checks know programs, functions and calls, not the engine: whatever opens a ``MeaningBed`` runs the
/// same list.
struct Meaning: Sendable, CustomTestStringConvertible {
    let line: String
    /// The BPF object of `Programs` that it needs.
    let object: String
    let check: @Sendable (MeaningBed) async throws -> Void

    init(_ line: String, object: String, check: @escaping @Sendable (MeaningBed) async throws -> Void) {
        self.line = line
        self.object = object
        self.check = check
    }

    var testDescription: String { line }
}

/// A target that calls its functions when told to, with an object loaded and nothing attached.
final class MeaningBed {
    let session: Session
    private let target: DrivenProcess

    /// The process engine's: a process that is attached to while it runs.
    init(object: String) async throws {
        target = try DrivenProcess(try Fixtures.target("calls"))
        session = try await Session(.process(target.pid))
        // What lies below ctx is not for programs to read: this one shows how it is laid out.
        try await session.load(try Fixtures.object(object), verifies: object != "context")
    }

    /// Lets the target call a function; returns what the call returned.
    func call(_ line: String) throws -> String { try target.ask(line) }

    /// Starts a call that takes longer; ``answer()`` waits for its end.
    func start(_ line: String) { target.send(line) }
    func answer() throws -> String { try target.readLine() }

    /// Lets the target end; returns its exit status.
    func end(_ line: String) -> Int32 { target.end(line) }

    var isRunning: Bool { target.isRunning }

    /// Attaches one program; returns its link.
    @discardableResult
    func attach(_ program: String, cookie: UInt64 = 0) async throws -> Session.Link {
        let attachment = try await session.attach(program, cookie: cookie)
        #expect(attachment.refused.isEmpty, "\(attachment.refused.map(\.reason))")
        return try #require(attachment.links.first)
    }

    func number(_ variable: String) throws -> UInt64 { try session.number(variable) }
    func numbers(_ variable: String) throws -> [UInt64] { try session.numbers(variable) }

    /// The steps that programs left since the last time, by the numbers in `order.bpf.c`.
    func steps(after count: Int = 0) throws -> [Int] {
        let variable = try #require(session.variable(named: "steps"))
        let all = (0..<64).map { Int(variable.bytes[$0 * 4]) }
        return Array(all[count..<Int(try number("count"))])
    }
}
