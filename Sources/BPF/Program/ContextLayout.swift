/// The words below a program's context in a process: `ctx[-1]` and on, down. Trampolines write them, helpers and
/// kfuncs read them, and no program does by itself. TargetRuntime.h has the same for C (`FS_CTX_*`).
package enum ContextLayout: Int, CaseIterable, Sendable {
    /// Bits 0–7: argument words; 8–15: where the program's session cookie is; 63: set at exit.
    case metadata = -1
    case functionIP = -2
    /// Of the link that runs.
    case attachCookie = -3
    /// So far; zeroed before each program that makes any.
    case tailCalls = -4
    /// Of the first session that has a cookie of its own; the others' follow, downwards.
    case firstCookie = -5

    /// How far below `ctx` it is, in words.
    package var depth: Int { -rawValue }
    /// In bytes from `ctx`.
    package var offset: Int32 { Int32(rawValue) * 8 }

    /// `FS_CTX_COUNT_MASK`, for the number of argument words and, shifted, for the cookie's depth.
    package static let countMask: Int32 = 0xff
    package static let cookieShift: Int32 = 8
    package static let returnShift: Int32 = 63

    package static func metadata(arguments: Int, cookieDepth: Int, isReturn: Bool) -> UInt64 {
        UInt64(arguments) | UInt64(cookieDepth) << cookieShift | (isReturn ? 1 << returnShift : 0)
    }
}

extension Instruction {
    /// `destination = ctx[word]`
    package static func load(_ word: ContextLayout, into destination: Register, context: Register) -> Instruction {
        .load(.u64, into: destination, from: context, offset: Int16(word.offset))
    }
}
