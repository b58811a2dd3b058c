import CLinux
import Glibc

/// Why an engine could not do what it was asked to: what was tried, why not, what to do.
package enum EngineError: Error, Sendable, CustomStringConvertible {
    /// A system call of the controller itself failed.
    case controller(String, errno: Int32)
    /// Something in or with the target failed.
    case target(pid: Int32, doing: String, because: String)
    /// A program of an object cannot run in a process.
    case program(name: String, because: String)
    /// A program is not safe to run in a process.
    case unsafeProgram(name: String, because: String)
    /// A map of an object cannot be made.
    case map(name: String, because: String)
    /// No function matches.
    case noFunction(pattern: String, nearest: [String])
    /// No module of that name is loaded.
    case noModule(name: String, nearest: [String], loaded: [String])
    /// Functions match, but none of them can be traced.
    case allRefused(pattern: String, reasons: [String])
    /// The target cannot be opened at all; the text says why.
    case unopened(String)
    /// The kernel does not do something.
    case kernel(doing: String, because: String)
    /// One function cannot be traced.
    case refused(function: String, because: String)
    /// The kernel's verifier refuses a program.
    case rejected(program: String, because: String)
    /// A request that makes no sense as it stands.
    case request(String)

    package var description: String { advice.map { "\(cause); \($0)" } ?? cause }

    /// What was tried, and why it did not work.
    package var cause: String {
        switch self {
        case .controller(let what, let errno):
            "cannot \(what): \(String(cString: strerror(errno)))"
        case .target(let pid, let doing, let because):
            "cannot \(doing) in process \(pid): \(because)"
        case .kernel(let doing, let because): "cannot \(doing): \(because)"
        case .refused(let function, let because): "cannot attach to '\(function)': \(because)"
        case .rejected(let program, let because): "program '\(program)' cannot be attached: \(because)"
        case .program(let name, let because):
            "program '\(name)' cannot run in a process: \(because)"
        case .unsafeProgram(let name, let because):
            "program '\(name)' is refused, it is not safe: \(because)"
        case .map(let name, let because):
            "map '\(name)' cannot be made: \(because)"
        case .noFunction(let pattern, _):
            "no function matches '\(pattern)'"
        case .noModule(let name, _, _):
            "no module '\(name)' is loaded"
        case .allRefused(let pattern, let reasons):
            "no function that matches '\(pattern)' can be traced: \(reasons.joined(separator: "; "))"
        case .unopened(let text), .request(let text):
            text
        }
    }

    /// What to do about it, where the cause does not say it.
    package var advice: String? {
        switch self {
        case .noFunction(_, let nearest) where !nearest.isEmpty, .noModule(_, let nearest, _) where !nearest.isEmpty:
            "did you mean \(nearest.map { "'\($0)'" }.joined(separator: ", "))?"
        case .noModule(_, _, let loaded):
            "there are \(loaded.joined(separator: ", "))"
        default: nil
        }
    }
}

extension EngineError {
    /// Whether it says something of one target only: others of the session may have what this one has not.
    package var isOfOneTarget: Bool {
        switch self {
        case .noFunction, .noModule, .allRefused: true
        default: false
        }
    }

    /// All that was asked for was refused: the most frequent reasons, with their counts.
    package static func allRefused(_ patterns: [FunctionPattern], _ refused: some Sequence<RefusedFunction>) -> EngineError {
        let reasons = Dictionary(grouping: refused.map(\.reason)) { $0 }
            .sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.prefix(3)
            .map { $0.value.count > 1 ? "\($0.key) (\($0.value.count) functions)" : $0.key }
        return .allRefused(pattern: patterns.map(\.description).joined(separator: " "), reasons: reasons)
    }

    package static let interrupted = EngineError.request("interrupted while attaching; nothing stays attached")
}
