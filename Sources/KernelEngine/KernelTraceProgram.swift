import BPF
import Engine

/// The program behind `fsession trace 'kernel:…'`: a session that keeps its start time in the cookie and sends one
/// record at the exit, laid out as the process engine's is. Each function has a copy with its number in it.
///
/// Nothing is lost in silence: calls are counted at both ends, and records that found no room.
enum KernelTraceProgram {
    /// The maps by their places in the object.
    enum MapIndex {
        static let events: Int32 = 0
        static let drops: Int32 = 1
        static let calls: Int32 = 2
        static let count = 3
    }

    static func maps(functions: Int) -> [MapDefinition] {
        [
            MapDefinition(name: "events", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: 8 << 20),
            // Records that found no room, and exits of calls whose entry the kernel skipped.
            MapDefinition(name: "drops", type: .array, keySize: 4, valueSize: 16, maxEntries: 1),
            // Entered and returned, for each function by its number, in one value: programs reach it without a lookup.
            MapDefinition(name: "calls", type: .array, keySize: 4, valueSize: UInt32(functions * 16), maxEntries: 1),
        ]
    }

    static let externs = [
        Extern(name: SessionKfuncs.isReturn, isFunction: true, isWeak: false, typeID: nil),
        Extern(name: SessionKfuncs.cookie, isFunction: true, isWeak: false, typeID: nil),
    ]

    private static let recordSize = TracedCall.recordSize(arguments: TracedCall.argumentCount)
    private static func slot(_ offset: Int) -> Int16 { Int16(offset - recordSize) }

    /// Adds 1 to a word of a map's value.
    private static func count(_ map: Int32, _ offset: Int) -> [Instruction] {
        Instruction.loadMapValue(.r1, index: map, offset: Int32(offset))
            + [.move(.r2, 1), .atomic(.add, base: .r1, .r2)]
    }

    /// Fills the record but for start and end, r6 = ctx, and sends it.
    private static func send(_ number: Int, _ function: KernelFunction, hasReturned: Bool) -> [Instruction] {
        let words = function.prototype.argumentWords
        var code: [Instruction] = [
            .store(.u64, Int32(number), to: .r10, offset: slot(0)),
            .call(.helper(Helper.getCurrentPidTgid.rawValue)),
            .store(.u64, .r0, to: .r10, offset: slot(24)),
        ]
        for index in 0..<TracedCall.argumentCount {
            if index < words {
                code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(index * 8)))
                code.append(.store(.u64, .r0, to: .r10, offset: slot(TracedCall.headSize + index * 8)))
            } else {
                code.append(.store(.u64, Int32(0), to: .r10, offset: slot(TracedCall.headSize + index * 8)))
            }
        }
        let result = slot(32)
        if hasReturned, function.prototype.context.prototype?.returnType != nil {
            code.append(.load(.u64, into: .r0, from: .r6, offset: Int16(words * 8)))
            code.append(.store(.u64, .r0, to: .r10, offset: result))
        } else {
            code.append(.store(.u64, Int32(0), to: .r10, offset: result))
        }
        let dropped = count(MapIndex.drops, 0)
        code += Instruction.loadMap(.r1, index: MapIndex.events)
        code += [
            .move(.r2, .r10), .add(.r2, Int32(-recordSize)), .move(.r3, Int32(recordSize)),
            .move(.r4, 0), .call(.helper(Helper.ringbufOutput.rawValue)),
            .branch(.equal, .r0, 0, Int16(dropped.count)),
        ]
        return code + dropped + [.move(.r0, 0), .exit]
    }

    static func program(_ number: Int, _ function: KernelFunction) -> ObjectProgram? {
        let isEntry = function.entryOnly != nil
        let now: Instruction = .call(.helper(Helper.ktimeGetNs.rawValue))
        var code: [Instruction] = [.move(.r6, .r1)]
        if isEntry {
            code += count(MapIndex.calls, number * 16)
            code += [
                now, .store(.u64, .r0, to: .r10, offset: slot(8)), .store(.u64, Int32(0), to: .r10, offset: slot(16)),
            ]
            code += send(number, function, hasReturned: false)
        } else {
            let entry =
                count(MapIndex.calls, number * 16)
                + [
                    .move(.r1, .r6), .call(.external(1)), .move(.r7, .r0), now, .store(.u64, .r0, to: .r7),
                    .move(.r0, 0), .exit,
                ]
            code += [.call(.external(0)), .branch(.notEqual, .r0, 0, Int16(entry.count))] + entry
            let alone = count(MapIndex.drops, 8) + [.move(.r0, 0), .exit]
            code += [
                .move(.r1, .r6), .call(.external(1)), .load(.u64, into: .r0, from: .r0),
                .branch(.notEqual, .r0, 0, Int16(alone.count)),
            ]
            code += alone
            code.append(.store(.u64, .r0, to: .r10, offset: slot(8)))
            code += count(MapIndex.calls, number * 16 + 8)
            code += [
                now, .store(.u64, .r0, to: .r10, offset: slot(16)),
            ]
            code += send(number, function, hasReturned: true)
        }
        guard let section = ProgramSection(name: isEntry ? "fentry" : "fsession") else { return nil }
        return ObjectProgram(name: "fsession_trace", section: section, instructions: code)
    }
}
