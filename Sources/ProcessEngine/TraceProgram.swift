import BPF
import Glibc
import TargetRuntime

/// A call that the trace program saw.
package struct TracedCall: Sendable {
    package var function: Int
    /// CLOCK_MONOTONIC at entry, in nanoseconds.
    package var start: UInt64
    /// Nanoseconds from entry to exit; 0 when the exit is not seen.
    package var duration: UInt64
    package var processID: Int32
    package var threadID: Int32
    package var hasReturned: Bool
    /// The first argument words; how many of them mean something, the function's prototype says.
    package var arguments: InlineArray<6, UInt64>
    package var returnValue: UInt64
}

/// The program behind `fsession trace`: one ring buffer record for a call, made at its exit (at its entry
/// for functions that never return). An ordinary session program, written with BPF's own factories.
///
/// The record, which is also the order of the stack slots below r10:
///
///     0 attach cookie (the function's number)   8 start   16 end (0: entry only)   24 pid_tgid
///     32… the first arguments                  80 return value
enum TraceProgram {
    static let argumentCount = 6
    static let recordSize = 32 + argumentCount * 8 + 8

    /// The object's one map, a ring buffer of `bytes` (a power of two).
    static func map(bytes: UInt32) -> MapDefinition {
        MapDefinition(name: "events", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: bytes)
    }

    private static func slot(_ offset: Int) -> Int16 { Int16(offset - recordSize) }

    /// Fills the record but for start and end, r6 = ctx, and sends it. ctx holds `arguments` words, of which
    /// the first are recorded, then, at an exit, the return value.
    private static func send(arguments: Int, atExit: Bool) -> [Instruction] {
        var code: [Instruction] = [
            .move(.r1, .r6),
            .call(.helper(Helper.getAttachCookie.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(0)),
            .call(.helper(Helper.getCurrentPidTgid.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(24)),
        ]
        for index in 0..<argumentCount {
            if index < arguments {
                code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(index * 8)))
                code.append(.store(.u64, .r0, to: .r10, offset: slot(32 + index * 8)))
            } else {
                code.append(.store(.u64, Int32(0), to: .r10, offset: slot(32 + index * 8)))
            }
        }
        if atExit {
            code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(arguments * 8)))
            code.append(.store(.u64, .r0, to: .r10, offset: slot(32 + argumentCount * 8)))
        } else {
            code.append(.store(.u64, Int32(0), to: .r10, offset: slot(32 + argumentCount * 8)))
        }
        code += Instruction.loadMap(.r1, index: 0)
        code += [
            .move(.r2, .r10),
            .add(.r2, Int32(-recordSize)),
            .move(.r3, Int32(recordSize)),
            .move(.r4, 0),
            .call(.helper(Helper.ringbufOutput.rawValue)),
            .move(.r0, 0),
            .exit,
        ]
        return code
    }

    /// The session program for functions of `arguments` argument words.
    static func session(arguments: Int) -> [Instruction] {
        let entry: [Instruction] = [
            .move(.r1, .r6),
            .call(.external(SessionKfunc.cookie.number)),
            .move(.r7, .r0),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r7),
            .move(.r0, 0),
            .exit,
        ]
        let exit: [Instruction] = [
            .move(.r1, .r6),
            .call(.external(SessionKfunc.cookie.number)),
            .load(.u64, into: .r0, from: .r0),
            .store(.u64, .r0, to: .r10, offset: slot(8)),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(16)),
        ] + send(arguments: arguments, atExit: true)
        return [.move(.r6, .r1), .call(.external(SessionKfunc.isReturn.number))]
            + [.branch(.notEqual, .r0, 0, Int16(entry.count))] + entry + exit
    }

    /// The fentry program for functions that never return.
    static func entry(arguments: Int) -> [Instruction] {
        [
            .move(.r6, .r1),
            .call(.helper(Helper.ktimeGetNs.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(8)),
            .store(.u64, Int32(0), to: .r10, offset: slot(16)),
        ] + send(arguments: arguments, atExit: false)
    }

    /// Reads a record; nil if it is not one.
    static func decode(_ record: UnsafeRawBufferPointer) -> TracedCall? {
        guard record.count >= recordSize else { return nil }
        func word(_ offset: Int) -> UInt64 { record.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
        let end = word(16)
        let identity = word(24)
        return TracedCall(
            function: Int(truncatingIfNeeded: word(0)), start: word(8),
            duration: end == 0 ? 0 : end &- word(8),
            processID: Int32(truncatingIfNeeded: identity >> 32), threadID: Int32(truncatingIfNeeded: identity),
            hasReturned: end != 0,
            arguments: InlineArray { word(32 + $0 * 8) },
            returnValue: word(32 + argumentCount * 8))
    }
}
