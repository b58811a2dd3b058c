import FSession
import Glibc
import KernelEngine

/// Where the checks are made: the same programs and the same results in the kernel and in a process.
enum Ground: Sendable {
    case kernel
    /// A process of `functions.c`, which has functions of the same names.
    case process(TestProcess)

    @TaskLocal static var current = Ground.kernel

    var target: Session.Target {
        switch self {
        case .kernel: .kernel
        case .process(let process): .process(ProcessID(process.id))
        }
    }

    /// The pattern of a function.
    func pattern(_ function: String) -> String {
        switch self {
        case .kernel: "kernel:\(function)"
        case .process: "exe:\(function)"
        }
    }

    /// Whether a session is one link.
    var hasNativeSessions: Bool {
        switch self {
        case .kernel: KernelEngine.hasNativeSessions
        case .process: true
        }
    }

    /// The kernel's tracing links; a process has no such list.
    func linkCount() throws -> Int? {
        switch self {
        case .kernel: try KernelLinks.tracing().count
        case .process: nil
        }
    }

    /// Keeps several threads inside `hrtimer_nanosleep` while `body` runs.
    func whileSleeping(threads: Int, _ body: () async throws -> Void) async throws {
        switch self {
        case .kernel:
            let isOver = Flag()
            async let sleeping: Void = onThreads(threads) { index in
                while !isOver.isSet { usleep(UInt32(1000 + index * 700)) }
            }
            try await body()
            isOver.set()
            try await sleeping
        case .process(let process):
            _ = try process.ask("sleepers \(threads)")
            try await body()
            _ = try process.ask("wake")
        }
    }
}

/// Calls of the test functions.
struct Calls: Sendable {
    private enum Way {
        /// `BPF_PROG_TEST_RUN`
        case kernel(TestRun)
        case process(TestProcess, TestRun.Functions)
    }

    private let way: Way

    init(_ functions: TestRun.Functions) throws {
        switch Ground.current {
        case .kernel: way = .kernel(try TestRun(functions))
        case .process(let process): way = .process(process, functions)
        }
    }

    /// Calls the functions once. For `bpf_modify_return_test`: what it returned, and in the upper half what it changed.
    @discardableResult
    func run() throws -> UInt32 {
        switch way {
        case .kernel(let run): return try run.run()
        case .process(let process, let functions):
            let answer = try process.ask(functions == .fentry ? "fentry" : "modify")
            if functions == .fentry, answer != 0 { throw Failure("a function returned something else") }
            return answer
        }
    }
}
