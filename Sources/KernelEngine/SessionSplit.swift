import BPF
import BTF
import Engine

/// Makes an entry and an exit program of a session, for kernels that have no sessions.
///
/// The program's code stays as it is, but for three things: whether it is the exit becomes a constant, so that the
/// kernel's verifier drops the other half; a read of the return value at entry becomes 0; and the cookie lives in a
/// hash map keyed by `ctx`, which is the same address at both ends of one call and belongs to no other running call.
///
/// With a cookie the program becomes a subprogram of a small one:
///
///     entry:  cookies[ctx] = 0, or count a missed call and leave; body(ctx)
///     exit:   leave unless cookies[ctx] is there; body(ctx); remove cookies[ctx]
///
/// So a call that was running when the exit came, or found the map full, ends without one and never with the
/// cookie of another call: the entry is attached before the exit and detached after it.
package struct SessionSplit {
    /// Calls that may be inside of one program's functions at a time.
    package static let cookieEntries: UInt32 = 16_384

    /// The maps that hold the cookies, and count the calls for which there was no room.
    static let cookieMap = "fsession_cookies"
    static let missedMap = "fsession_missed"
    private static let file = "fsession"
    /// What stands for the source lines of the code around a program.
    static let line = "the cookie of this call"
    static let lineTexts = [file, line]

    let program: ObjectProgram
    let externs: [Extern]
    let types: ObjectTypes.SplitTypes?
    /// Where in the object's list of maps the two maps of the split will be.
    let firstMap: Int

    var usesCookie: Bool {
        program.instructions.contains { SessionKfunc(calledBy: $0, externs) == .cookie }
    }

    static func maps(entries: UInt32 = cookieEntries) -> [MapDefinition] {
        [
            MapDefinition(name: cookieMap, type: .hash, keySize: 8, valueSize: 8, maxEntries: entries),
            // Calls that found no room, a word that the verifier takes for a cookie where there can be none, and
            // exits of calls whose entry did not run.
            MapDefinition(name: missedMap, type: .array, keySize: 4, valueSize: 24, maxEntries: 1),
        ]
    }

    enum Half {
        case entry
        case exit
    }

    /// One half, for a function with so many argument words.
    func half(_ half: Half, arguments: Int) throws(EngineError) -> ObjectProgram {
        guard let section = ProgramSection(name: (half == .entry ? "fentry" : "fexit") + (program.section.sleepable ? ".s" : ""))
        else { throw .program(name: program.name, because: "it cannot be split") }
        var replacements: [Int: [Instruction]] = [:]
        // The cookie's subprogram comes last; calls of it are set when the program has its final length.
        var cookieCalls: [Int] = []
        for (slot, instruction) in program.instructions.enumerated() {
            switch SessionKfunc(calledBy: instruction, externs) {
            case .isReturn: replacements[slot] = [.move(.r0, half == .exit ? 1 : 0)]
            case .cookie: cookieCalls.append(slot)
            case nil: break
            }
        }
        if half == .entry {
            for slot in ReturnReads.slots(in: program, arguments: arguments) {
                replacements[slot] = [.move(program.instructions[slot].destination, 0)]
            }
            for (slot, instruction) in program.instructions.enumerated()
            where instruction == .call(.helper(Helper.getFuncRet.rawValue)) {
                replacements[slot] = [.store(.u64, Int32(0), to: .r2), .move(.r0, 0)]
            }
        }
        let body: ObjectProgram
        do throws(ProgramPatcher.PatchError) {
            body = try program.replacing(replacements)
        } catch {
            throw .program(name: program.name, because: "\(error)")
        }
        guard !cookieCalls.isEmpty else {
            return ObjectProgram(
                name: program.name, section: section, instructions: body.instructions, subprograms: body.subprograms,
                lines: body.lines, typeID: body.typeID, coreRelocations: body.coreRelocations)
        }
        return around(body, half, section)
    }

    private func around(_ body: ObjectProgram, _ half: Half, _ section: ProgramSection) -> ObjectProgram {
        let head = half == .entry ? entryHead : exitHead
        var instructions = head + body.instructions
        let tail = instructions.count
        instructions += cookieSubprogram
        for slot in instructions.indices where SessionKfunc(calledBy: instructions[slot], externs) == .cookie {
            instructions[slot] = .call(.subprogram(Int32(tail - slot - 1)))
        }
        if let call = head.lastIndex(where: { $0.opcode == .call && $0.source == .r1 }) {
            instructions[call] = .call(.subprogram(Int32(head.count - call - 1)))
        }
        func line(_ slot: Int) -> SourceLine { SourceLine(slot: slot, file: Self.file, line: 1, column: 1, text: Self.line) }
        var subprograms = [ObjectProgram.Subprogram(name: body.name, start: head.count, isGlobal: false, typeID: types?.body)]
        subprograms += body.subprograms.map {
            ObjectProgram.Subprogram(name: $0.name, start: $0.start + head.count, isGlobal: $0.isGlobal, typeID: $0.typeID)
        }
        subprograms.append(ObjectProgram.Subprogram(name: "fsession_cookie", start: tail, isGlobal: false, typeID: types?.cookie))
        let lines = body.lines.map {
            SourceLine(slot: $0.slot + head.count, file: $0.file, line: $0.line, column: $0.column, text: $0.text)
        }
        return ObjectProgram(
            name: body.name, section: section, instructions: instructions, subprograms: subprograms,
            lines: lines.isEmpty ? [] : [line(0)] + lines + [line(tail)], typeID: body.typeID,
            coreRelocations: body.coreRelocations.map {
                var relocation = $0
                relocation.slot += head.count
                return relocation
            })
    }

    // MARK: The code around

    private var loadCookies: [Instruction] { Instruction.loadMap(.r1, index: Int32(firstMap)) }
    private func loadMissed(_ register: Register, offset: Int32) -> [Instruction] {
        Instruction.loadMapValue(register, index: Int32(firstMap + 1), offset: offset)
    }
    private static let keyOffset: Int16 = -8
    private static let zeroOffset: Int16 = -16

    private var keepContext: [Instruction] {
        [.move(.r6, .r1), .store(.u64, .r1, to: .r10, offset: Self.keyOffset)]
    }
    private func pointer(_ register: Register, _ offset: Int16) -> [Instruction] {
        [.move(register, .r10), .add(register, Int32(offset))]
    }

    private var entryHead: [Instruction] {
        let missed: [Instruction] =
            loadMissed(.r1, offset: 0)
            + [.move(.r2, 1), .atomic(.add, base: .r1, .r2), .move(.r0, 0), .exit]
        return keepContext
            + [.store(.u64, Int32(0), to: .r10, offset: Self.zeroOffset)]
            + loadCookies + pointer(.r2, Self.keyOffset) + pointer(.r3, Self.zeroOffset)
            + [.move(.r4, 0), .call(.helper(Helper.mapUpdateElem.rawValue))]
            + [.branch(.equal, .r0, 0, Int16(missed.count))] + missed
            + [.move(.r1, .r6), .call(.subprogram(0)), .exit]
    }

    private var exitHead: [Instruction] {
        let alone = loadMissed(.r1, offset: 16) + [.move(.r2, 1), .atomic(.add, base: .r1, .r2), .move(.r0, 0), .exit]
        return keepContext + loadCookies + pointer(.r2, Self.keyOffset)
            + [.call(.helper(Helper.mapLookupElem.rawValue)), .branch(.notEqual, .r0, 0, Int16(alone.count))] + alone
            + [
                .move(.r1, .r6), .call(.subprogram(0)), .move(.r7, .r0),
            ]
            + loadCookies + pointer(.r2, Self.keyOffset)
            + [.call(.helper(Helper.mapDeleteElem.rawValue)), .move(.r0, .r7), .exit]
    }

    /// `u64 *cookie(ctx)`: never null, as the verifier must see. The element is there as long as the call runs.
    private var cookieSubprogram: [Instruction] {
        [.store(.u64, .r1, to: .r10, offset: Self.keyOffset)] + loadCookies + pointer(.r2, Self.keyOffset)
            + [.call(.helper(Helper.mapLookupElem.rawValue)), .branch(.notEqual, .r0, 0, 2)]
            + loadMissed(.r0, offset: 8) + [.exit]
    }
}
