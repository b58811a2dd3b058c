import BPF
import LinuxProcess

/// What `link` did.
package struct LinkReport: Sendable {
    /// The functions that are traced now, numbered as `TracedCall.function` names them.
    package var linked: [LinkedFunction] = []
    package var refused: [RefusedFunction] = []

    package init(linked: [LinkedFunction] = [], refused: [RefusedFunction] = []) {
        self.linked = linked
        self.refused = refused
    }
}

/// A function with one of our programs at it.
package struct LinkedFunction: Sendable {
    package var id: Int
    package var link: Int
    package var function: FunctionInfo
    package var program: String
    /// The number of the program that was asked for; nil where the engine has made it.
    package var programID: Int?
    /// Argument words in the program's context.
    package var argumentCount: Int
    package var context: ContextWords

    package init(
        id: Int, link: Int, function: FunctionInfo, program: String, programID: Int? = nil, argumentCount: Int, context: ContextWords
    ) {
        self.id = id
        self.link = link
        self.function = function
        self.program = program
        self.programID = programID
        self.argumentCount = argumentCount
        self.context = context
    }
}

/// What the words of a program's context mean, as far as the function's prototype tells.
package final class ContextWords: Sendable {
    /// Nil: nothing is known; the words are shown as numbers.
    package let prototype: FunctionPrototype?
    /// For each parameter the words that hold it, and whether they point to it.
    package let words: [(range: Range<Int>, isIndirect: Bool)]
    /// Where the result is; its first word is what is recorded.
    package let returnPlace: CallLayout.Return

    package init(
        prototype: FunctionPrototype? = nil, words: [(range: Range<Int>, isIndirect: Bool)] = [],
        returnPlace: CallLayout.Return = .unknown
    ) {
        self.prototype = prototype
        self.words = words
        self.returnPlace = returnPlace
    }
}

/// A function that could not be traced.
package struct RefusedFunction: Sendable {
    package var function: FunctionInfo
    package var reason: String
    /// The same without its addresses, to count by.
    package var category: String

    package init(function: FunctionInfo, reason: String, category: String? = nil) {
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

    package init(function: FunctionInfo, entered: UInt64, returned: UInt64, seesReturns: Bool) {
        self.function = function
        self.entered = entered
        self.returned = returned
        self.seesReturns = seesReturns
    }
}

/// The numbers at the end of a session.
package struct EngineSummary: Sendable {
    package var counts: [CallCount] = []
    /// Records that found no room in a ring buffer, by map.
    package var drops: [(map: String, count: UInt64)] = []
    /// Runs of programs at an entry or an exit that the kernel skipped: the program was running already on that CPU.
    package var missed: UInt64 = 0
    /// Records of threads that died while writing them.
    package var abandoned: UInt64 = 0
    /// Whether our code had to stay mapped because a thread was still inside.
    package var keptCode = false
    /// Functions at which somebody else's patch lies on ours, which may still lead into our code: it stayed mapped.
    package var overpatched: [FunctionInfo] = []
    package init() {}
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
