import BPF
import Engine

/// Why a session could not do what it was asked to.
///
/// ``description`` is one line: what was tried, on what, why not, and what you can do.
public struct SessionError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is. There may be more of them in a later version.
    ///
    /// ```swift
    /// do {
    ///     try await session.trace(["libz:deflat"])
    /// } catch let error where error.code == .noFunction {
    ///     print(error.description)
    /// }
    /// ```
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        /// Its name.
        public let description: String

        private init(_ name: String) { description = name }

        /// The file is no BPF object, or one that cannot be used.
        public static let object = Code("object")
        /// The target does not exist, may not be traced, or is of a kind that is not supported.
        public static let target = Code("target")
        /// A program, map, helper or kfunc that this engine does not have.
        public static let program = Code("program")
        /// No function matches.
        public static let noFunction = Code("noFunction")
        /// Functions match, and none of them can be traced.
        public static let refused = Code("refused")
        /// The request makes no sense as it stands.
        public static let request = Code("request")
    }

    /// What kind of error it is.
    public let code: Code
    /// One line for people: what was tried, why it did not work, what to do.
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
