import BPF
import Engine

/// Why a session could not do what it was asked to.
///
/// ``description`` is one line: what was tried, on what, why not, and what you can do. A program with words of its own for the latter
/// shows ``cause`` and, by ``code`` and ``advice``, what it wants to add.
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
        /// A program that is not proven safe; ``BPFObject/verify(argumentWords:detailed:)`` shows the way to the fault.
        public static let unsafe = Code("unsafe")
        /// No function matches; the advice names the nearest, where something is near.
        public static let noFunction = Code("noFunction")
        /// Functions match, and none of them can be traced.
        public static let refused = Code("refused")
        /// The request makes no sense as it stands.
        public static let request = Code("request")
    }

    /// What kind of error it is.
    public let code: Code
    /// What was tried, on what, and why it did not work.
    public let cause: String
    /// What you can do about it; nil where the cause says it, or nothing is known.
    public let advice: String?

    /// One line for people: the cause, and the advice.
    public var description: String { advice.map { "\(cause); \($0)" } ?? cause }

    init(_ code: Code, _ cause: String, advice: String? = nil) {
        self.code = code
        // They may name what others named.
        self.cause = PrintableText.line(cause)
        self.advice = advice.map(PrintableText.line)
    }

    init(_ error: EngineError) {
        let code: Code =
            switch error {
            case .controller, .target, .unopened, .kernel: .target
            case .program, .map, .rejected: .program
            case .unsafeProgram: .unsafe
            case .noFunction, .noModule: .noFunction
            case .allRefused, .refused: .refused
            case .request: .request
            }
        self.init(code, error.cause, advice: error.advice)
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
