import BPF
import Trampoline

/// A function of the target that a pattern matched.
package struct FunctionInfo: Sendable {
    package var name: String
    /// The other names of the same address.
    package var aliases: [String]
    /// The readable form of a C++, Rust or Swift name, where it differs.
    package var demangled: String?
    package var module: String
    package var modulePath: String
    package var address: UInt64
    package var size: UInt64
    /// Why it cannot be traced; nil if it can.
    package var refusal: String?
    /// Why only its entry can be traced; nil if its exit can be, too.
    package var entryOnly: String?

    package var displayName: String { demangled ?? name }
}

/// What `link` did.
package struct LinkReport: Sendable {
    /// The functions that are traced now, numbered as `TracedCall.function` names them.
    package var linked: [LinkedFunction] = []
    package var refused: [RefusedFunction] = []
}

/// A function with one of our programs at it.
package struct LinkedFunction: Sendable {
    package var id: Int
    package var link: Int
    package var function: FunctionInfo
    package var program: String
    /// Argument words in the program's context.
    package var argumentCount: Int
    package var convention: Prototypes.Convention
}

/// A function that could not be traced.
package struct RefusedFunction: Sendable {
    package var function: FunctionInfo
    package var reason: String
    /// The same without its addresses, to count by.
    package var category: String

    init(function: FunctionInfo, reason: String, category: String? = nil) {
        self.function = function
        self.reason = reason
        self.category = category ?? reason
    }
}

/// How often a function was entered and returned from.
package struct CallCount: Sendable {
    package var function: FunctionInfo
    package var entered: UInt64
    package var returned: UInt64
    /// False where only entries are seen.
    package var seesReturns: Bool
}

/// The numbers at the end of a session.
package struct EngineSummary: Sendable {
    package var counts: [CallCount] = []
    /// Records that found no room in a ring buffer, by map.
    package var drops: [(map: String, count: UInt64)] = []
    /// Records of threads that died while writing them.
    package var abandoned: UInt64 = 0
    /// Whether our code had to stay mapped because a thread was still inside.
    package var keptCode = false
    package init() {}
}

/// A program of an object, compiled and in the target.
package struct LoadedProgram: Sendable {
    package var id: Int
    package var name: String
    package var section: ProgramSection
    package var kind: TrampolineProgramKind
    var address: UInt64
    var usesCookie: Bool
    var usesTailCalls: Bool
    /// Bytes of the context that it may read; functions with fewer are refused.
    var contextBytes = 0
    package var codeSize: Int
}

/// An object in the target: its maps and programs.
package struct LoadedObject: Sendable {
    package var maps: [LoadedMap]
    package var programs: [LoadedProgram]
    package var object: Object
}

/// What programs may do beyond reading.
package struct LoadOptions: Sendable {
    /// `bpf_probe_write_user` works.
    package var allowsWriting: Bool
    /// Programs are proven safe before they are compiled.
    package var verifies: Bool
    package init(allowsWriting: Bool = false, verifies: Bool = true) {
        self.allowsWriting = allowsWriting
        self.verifies = verifies
    }
}
