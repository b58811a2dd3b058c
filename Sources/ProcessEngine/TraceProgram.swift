import BPF
import Glibc
import TargetRuntime

/// The program behind `fsession trace`: one ring buffer record for a call, made at its exit (at its entry
/// for functions that never return). An ordinary session program, written with BPF's own factories.
///
/// The record, which is also the order of the stack slots below r10:
///
///     0 attach cookie (the function's number)   8 start   16 end (0: entry only)   24 pid_tgid
///     32 return value                          40… the first arguments, as many as there are and six at most
enum TraceProgram {
    private static func recordSize(arguments: Int) -> Int { TracedCall.recordSize(arguments: arguments) }
    private static let argumentCount = TracedCall.argumentCount
    private static let headSize = TracedCall.headSize

    /// The object's one map, a ring buffer of `bytes` (a power of two).
    static func map(bytes: UInt32) -> MapDefinition {
        MapDefinition(name: "events", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: bytes)
    }

    /// Fills the record but for start and end, r6 = ctx, and sends it. ctx holds `arguments` words, of which
    /// the first are recorded, then, at an exit, the return value.
    private static func send(arguments: Int, atExit: Bool) -> [Instruction] {
        let size = recordSize(arguments: arguments)
        func slot(_ offset: Int) -> Int16 { Int16(offset - size) }
        var code: [Instruction] = [
            .move(.r1, .r6),
            .call(.helper(Helper.getAttachCookie.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(0)),
            .call(.helper(Helper.getCurrentPidTgid.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(24)),
        ]
        for index in 0..<min(arguments, argumentCount) {
            code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(index * 8)))
            code.append(.store(.u64, .r0, to: .r10, offset: slot(headSize + index * 8)))
        }
        if atExit {
            code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(arguments * 8)))
            code.append(.store(.u64, .r0, to: .r10, offset: slot(32)))
        } else {
            code.append(.store(.u64, Int32(0), to: .r10, offset: slot(32)))
        }
        code += Instruction.loadMap(.r1, index: 0)
        code += [
            .move(.r2, .r10),
            .add(.r2, Int32(-size)),
            .move(.r3, Int32(size)),
            .move(.r4, 0),
            .call(.helper(Helper.ringbufOutput.rawValue)),
            .move(.r0, 0),
            .exit,
        ]
        return code
    }

    /// The session program for functions of `arguments` argument words.
    static func session(arguments: Int) -> [Instruction] {
        func slot(_ offset: Int) -> Int16 { Int16(offset - recordSize(arguments: arguments)) }
        let entry: [Instruction] = [
            .move(.r1, .r6),
            SessionKfunc.cookie.call,
            .move(.r7, .r0),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r7),
            .move(.r0, 0),
            .exit,
        ]
        let exit: [Instruction] = [
            .move(.r1, .r6),
            SessionKfunc.cookie.call,
            .load(.u64, into: .r0, from: .r0),
            .store(.u64, .r0, to: .r10, offset: slot(8)),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(16)),
        ] + send(arguments: arguments, atExit: true)
        return [.move(.r6, .r1), SessionKfunc.isReturn.call]
            + [.branch(.notEqual, .r0, 0, Int16(entry.count))] + entry + exit
    }

    /// The fentry program for functions that never return.
    static func entry(arguments: Int) -> [Instruction] {
        func slot(_ offset: Int) -> Int16 { Int16(offset - recordSize(arguments: arguments)) }
        return [
            .move(.r6, .r1),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(8)),
            .store(.u64, Int32(0), to: .r10, offset: slot(16)),
        ] + send(arguments: arguments, atExit: false)
    }
}
