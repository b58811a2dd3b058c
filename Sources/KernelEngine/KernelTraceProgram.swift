import BPF
import Engine

/// The program behind `fsession trace 'kernel:…'`: a session that keeps its start time in the cookie and sends one
/// record at the exit, laid out as the process engine's is.
///
/// Nothing is lost in silence: calls are counted at both ends, and records that found no room.
struct KernelTraceProgram {
    /// Where a function's number comes from.
    enum Number {
        /// Each function has a copy of the program with its number in it, and its place in the table of calls.
        case constant(Int, place: Int)
        /// One program is at many functions: the link's cookie tells, from `first` on.
        case cookie(first: Int, count: Int)
    }

    /// What functions with one program have in common.
    struct Shape: Hashable {
        /// Words of arguments that are recorded.
        let words: Int
        let hasResult: Bool
        let isEntryOnly: Bool

        init(_ function: KernelFunction) {
            words = min(function.prototype.argumentWords, TracedCall.argumentCount)
            hasResult = function.prototype.context.prototype?.returnType != nil
            isEntryOnly = function.entryOnly != nil
        }
    }

    let shape: Shape
    let number: Number
    /// The word of `ctx` that holds the return value. Nil: what `ctx` holds is asked of helpers, one by one. It takes
    /// longer, but the kernel refuses loads of words of some types, and all where it does not know the types.
    let resultWord: Int?

    /// The maps by their places in the object.
    enum MapIndex {
        static let events: Int32 = 0
        static let drops: Int32 = 1
        static let calls: Int32 = 2
        static let count = 3
    }

    static func maps(functions: Int, ringBytes: UInt32) -> [MapDefinition] {
        [
            MapDefinition(name: "events", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: ringBytes),
            // Records that found no room, and exits of calls whose entry the kernel skipped.
            MapDefinition(name: "drops", type: .array, keySize: 4, valueSize: 16, maxEntries: 1),
            // Entered and returned, for each function by its number, in one value: programs reach it without a lookup.
            MapDefinition(name: "calls", type: .array, keySize: 4, valueSize: UInt32(functions * 16), maxEntries: 1),
        ]
    }

    private static let recordSize = TracedCall.recordSize(arguments: TracedCall.argumentCount)
    private static func slot(_ offset: Int) -> Int16 { Int16(offset - recordSize) }

    // r6: ctx. r8: the function's place in the table of calls, where the cookie tells it.

    /// Adds 1 to a word of a map's value.
    private func count(_ map: Int32, _ offset: Int) -> [Instruction] {
        Instruction.loadMapValue(.r1, index: map, offset: Int32(offset))
            + [.move(.r2, 1), .atomic(.add, base: .r1, .r2)]
    }

    /// Counts an entry, or a return.
    private func countCall(isReturn: Bool) -> [Instruction] {
        switch number {
        case .constant(_, let place): return count(MapIndex.calls, place * 16 + (isReturn ? 8 : 0))
        case .cookie:
            return Instruction.loadMapValue(.r1, index: MapIndex.calls, offset: isReturn ? 8 : 0)
                + [.move(.r2, .r8), .shiftLeft(.r2, 4), .add(.r1, .r2), .move(.r2, 1), .atomic(.add, base: .r1, .r2)]
        }
    }

    /// The start of all: r6 and r8 are set.
    private var head: [Instruction] {
        guard case .cookie(let first, let count) = number else { return [.move(.r6, .r1)] }
        return [
            .move(.r6, .r1), .call(.helper(Helper.getAttachCookie.rawValue)), .move(.r8, .r0),
            .subtract(.r8, Int32(first)), .branch(.less, .r8, Int32(count), 2), .move(.r0, 0), .exit,
        ]
    }

    /// Fills the record but for start and end, and sends it.
    private func send(hasReturned: Bool) -> [Instruction] {
        var code: [Instruction] = []
        switch number {
        case .constant(let number, _): code.append(.store(.u64, Int32(number), to: .r10, offset: Self.slot(0)))
        case .cookie(let first, _):
            code += [.move(.r1, .r8), .add(.r1, Int32(first)), .store(.u64, .r1, to: .r10, offset: Self.slot(0))]
        }
        code += [
            .call(.helper(Helper.getCurrentPidTgid.rawValue)),
            .store(.u64, .r0, to: .r10, offset: Self.slot(24)),
        ]
        for index in 0..<TracedCall.argumentCount {
            let slot = Self.slot(TracedCall.headSize + index * 8)
            if index >= shape.words {
                code.append(.store(.u64, Int32(0), to: .r10, offset: slot))
            } else if resultWord != nil {
                code += [.load(.u64, into: .r0, from: .r6, offset: Int16(index * 8)), .store(.u64, .r0, to: .r10, offset: slot)]
            } else {
                code += [
                    .store(.u64, Int32(0), to: .r10, offset: slot),
                    .move(.r1, .r6), .move(.r2, Int32(index)), .move(.r3, .r10), .add(.r3, Int32(slot)),
                    .call(.helper(Helper.getFuncArg.rawValue)),
                ]
            }
        }
        let result = Self.slot(32)
        if !hasReturned || !shape.hasResult {
            code.append(.store(.u64, Int32(0), to: .r10, offset: result))
        } else if let resultWord {
            code += [.load(.u64, into: .r0, from: .r6, offset: Int16(resultWord * 8)), .store(.u64, .r0, to: .r10, offset: result)]
        } else {
            code += [
                .store(.u64, Int32(0), to: .r10, offset: result),
                .move(.r1, .r6), .move(.r2, .r10), .add(.r2, Int32(result)), .call(.helper(Helper.getFuncRet.rawValue)),
            ]
        }
        let dropped = count(MapIndex.drops, 0)
        code += Instruction.loadMap(.r1, index: MapIndex.events)
        code += [
            .move(.r2, .r10), .add(.r2, Int32(-Self.recordSize)), .move(.r3, Int32(Self.recordSize)),
            .move(.r4, 0), .call(.helper(Helper.ringbufOutput.rawValue)),
            .branch(.equal, .r0, 0, Int16(dropped.count)),
        ]
        return code + dropped + [.move(.r0, 0), .exit]
    }

    /// - Parameter isMulti: loaded for many functions.
    func program(isMulti: Bool = false) -> ObjectProgram? {
        let now: Instruction = .call(.helper(Helper.ktimeGetNs.rawValue))
        var code = head
        if shape.isEntryOnly {
            code += countCall(isReturn: false)
            code += [now, .store(.u64, .r0, to: .r10, offset: Self.slot(8)), .store(.u64, Int32(0), to: .r10, offset: Self.slot(16))]
            code += send(hasReturned: false)
        } else {
            let entry =
                countCall(isReturn: false)
                + [
                    .move(.r1, .r6), SessionKfunc.cookie.call, .move(.r7, .r0), now, .store(.u64, .r0, to: .r7),
                    .move(.r0, 0), .exit,
                ]
            code += [.move(.r1, .r6), SessionKfunc.isReturn.call, .branch(.notEqual, .r0, 0, Int16(entry.count))] + entry
            let alone = count(MapIndex.drops, 8) + [.move(.r0, 0), .exit]
            code += [
                .move(.r1, .r6), SessionKfunc.cookie.call, .load(.u64, into: .r0, from: .r0),
                .branch(.notEqual, .r0, 0, Int16(alone.count)),
            ]
            code += alone
            code.append(.store(.u64, .r0, to: .r10, offset: Self.slot(8)))
            code += countCall(isReturn: true)
            code += [now, .store(.u64, .r0, to: .r10, offset: Self.slot(16))]
            code += send(hasReturned: true)
        }
        let kind = (shape.isEntryOnly ? "fentry" : "fsession") + (isMulti ? ".multi" : "")
        guard let section = ProgramSection(name: kind) else { return nil }
        return ObjectProgram(name: "fsession_trace", section: section, instructions: code)
    }
}
