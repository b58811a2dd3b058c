import BPF
import Engine

/// Why a session could not do what it was asked to.
///
/// ``description`` is one line: what was tried, on what, why not, and what you can do.
public struct SessionError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    public enum Code: Sendable, Hashable {
        /// The file is no BPF object, or one that cannot be used.
        case object
        /// The target does not exist, may not be traced, or is of a kind that is not supported.
        case target
        /// A program, map, helper or kfunc that this engine does not have.
        case program
        /// No function matches.
        case noFunction
        /// Functions match, and none of them can be traced.
        case refused
        /// The request makes no sense as it stands.
        case request
    }

    public let code: Code
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        // It may name what others named.
        self.description = PrintableText.line(description)
    }

    init(_ error: EngineError) {
        let code: Code =
            switch error {
            case .controller, .target, .unopened, .kernel: .target
            case .program, .unsafeProgram, .map, .rejected: .program
            case .noFunction, .noModule: .noFunction
            case .allRefused, .refused: .refused
            case .request: .request
            }
        self.init(code, error.description)
    }
}

/// Runs engine code and turns its errors into ours.
func mapErrors<Value>(_ body: () async throws(EngineError) -> Value) async throws(SessionError) -> Value {
    do throws(EngineError) {
        return try await body()
    } catch {
        throw SessionError(error)
    }
}
