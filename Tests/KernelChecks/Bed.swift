import Engine
import FSession
import KernelEngine

/// Why a check failed.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A session in this machine's kernel, or in a process, with an object loaded and nothing attached.
struct Bed {
    let session: Session

    init(_ object: String) async throws { try await self.init(try BPFObject(contentsOf: "\(object).bpf.o")) }

    init(_ object: BPFObject) async throws {
        session = try await Session(Ground.current.target)
        try await session.load(object)
    }

    /// Attaches one program; gives its link.
    @discardableResult
    func attach(_ program: String, cookie: UInt64 = 0, to pattern: String? = nil) async throws -> Session.Link {
        guard let link = try await session.attach(program, to: pattern, cookie: cookie).links.first else {
            throw Failure("\(program) has no link")
        }
        return link
    }

    /// What attaching says, where it must fail.
    func complaint(_ program: String) async throws -> String {
        do {
            _ = try await session.attach(program)
        } catch {
            return error.description
        }
        throw Failure("\(program) was attached")
    }

    /// Why a program is refused: when it is attached in the kernel; in a process, whose objects are verified as a whole,
    /// when it is loaded, from an object that has nothing else and the program's name.
    static func refusal(of program: String, in object: String) async throws -> String {
        guard case .process = Ground.current else {
            let bed = try await Bed(object)
            let text = try await bed.complaint(program)
            try await bed.end()
            return text
        }
        let session = try await Session(Ground.current.target)
        var text = "\(program) was loaded"
        do {
            try await session.load(try BPFObject(contentsOf: "\(program).bpf.o"))
        } catch {
            text = "\(error)"
        }
        try await session.detach()
        return text
    }

    func numbers(_ variable: String) throws -> [UInt64] {
        guard let variable = session.variable(named: variable) else { throw Failure("no variable \(variable)") }
        let bytes = variable.bytes
        return stride(from: 0, to: bytes.count, by: 8).map { at in
            (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
        }
    }

    func number(_ variable: String) throws -> UInt64 { try numbers(variable).first ?? 0 }

    /// The steps that programs left, by the numbers in order.bpf.c.
    func steps() throws -> [Int] {
        guard let steps = session.variable(named: "steps") else { throw Failure("no steps") }
        let bytes = steps.bytes
        return (0..<Int(try number("count"))).map { Int(bytes[$0 * 4]) }
    }

    func expect<Value: Equatable>(_ variable: String, _ value: Value, _ actual: Value) throws {
        guard value == actual else { throw Failure("\(variable) is \(actual), not \(value)") }
    }

    func expect(_ values: KeyValuePairs<String, UInt64>) throws {
        for (variable, value) in values { try expect(variable, value, try number(variable)) }
    }

    func end() async throws {
        try await session.detach()
        if let left = try Ground.current.linkCount(), left > 0 { throw Failure("\(left) links stayed behind") }
    }
}

/// Does something on so many threads at once; one on each CPU: the kernel skips a program that is running already on
/// the same CPU, and there it cannot be.
func onCPUs(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) async throws {
    try await onThreads(count) { index in
        guard runOnCPU(index) else { throw Failure("there is no CPU \(index)") }
        try body(index)
    }
}

/// Does something on so many threads at once.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<count {
            group.addTask {
                try await BlockingThread.run("check-\(index)") { Result { try body(index) } }.get()
            }
        }
        try await group.waitForAll()
    }
}
