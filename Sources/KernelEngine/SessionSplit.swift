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
        for (slot, instruction) in program.instructions.enumerated() {
            if SessionKfunc(calledBy: instruction, externs) == .isReturn { replacements[slot] = [.move(.r0, half == .exit ? 1 : 0)] }
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
        let body = try program.with(replacements)
        guard usesCookie else {
            return ObjectProgram(
                name: program.name, section: section, instructions: body.instructions, subprograms: body.subprograms,
                lines: body.lines, typeID: body.typeID, coreRelocations: body.coreRelocations)
        }
        return try around(body, half, section)
    }

    private func around(_ body: ObjectProgram, _ half: Half, _ section: ProgramSection) throws(EngineError) -> ObjectProgram {
        var code = ProgramBuilder()
        let (start, cookie) = (code.makeLabel(), code.makeLabel())
        appendHead(half, body: start, to: &code)
        code.place(start)
        let head = code.instructions.count
        for instruction in body.instructions {
            if SessionKfunc(calledBy: instruction, externs) == .cookie { code.call(cookie) } else { code.append(instruction) }
        }
        code.place(cookie)
        let tail = code.instructions.count
        appendCookie(to: &code)
        func line(_ slot: Int) -> SourceLine { SourceLine(slot: slot, file: Self.file, line: 1, column: 1, text: Self.line) }
        var subprograms = [ObjectProgram.Subprogram(name: body.name, start: head, isGlobal: false, typeID: types?.body)]
        subprograms += body.subprograms.map {
            ObjectProgram.Subprogram(name: $0.name, start: $0.start + head, isGlobal: $0.isGlobal, typeID: $0.typeID)
        }
        subprograms.append(ObjectProgram.Subprogram(name: "fsession_cookie", start: tail, isGlobal: false, typeID: types?.cookie))
        let lines = body.lines.map {
            SourceLine(slot: $0.slot + head, file: $0.file, line: $0.line, column: $0.column, text: $0.text)
        }
        return ObjectProgram(
            name: body.name, section: section, instructions: try code.finish(body.name), subprograms: subprograms,
            lines: lines.isEmpty ? [] : [line(0)] + lines + [line(tail)], typeID: body.typeID,
            coreRelocations: body.coreRelocations.map {
                var relocation = $0
                relocation.slot += head
                return relocation
            })
    }

    // MARK: The code around

    // r6: ctx, which is also the key, on the stack.

    private static let keyOffset: Int16 = -8
    private static let zeroOffset: Int16 = -16

    private func appendHead(_ half: Half, body: ProgramBuilder.Label, to code: inout ProgramBuilder) {
        let goesOn = code.makeLabel()
        code.append([.move(.r6, .r1), .store(.u64, .r1, to: .r10, offset: Self.keyOffset)])
        if half == .entry { code.append(.store(.u64, Int32(0), to: .r10, offset: Self.zeroOffset)) }
        appendCookieArguments(to: &code)
        switch half {
        case .entry:
            code.append([.move(.r3, .r10), .add(.r3, Int32(Self.zeroOffset)), .move(.r4, 0), .call(.mapUpdateElem)])
            code.branch(.equal, .r0, 0, to: goesOn)
        case .exit:
            code.append(.call(.mapLookupElem))
            code.branch(.notEqual, .r0, 0, to: goesOn)
        }
        // No room for a cookie, or an exit whose entry did not run.
        code.append(loadMissed(.r1, offset: half == .entry ? 0 : 16))
        code.append([.move(.r2, 1), .atomic(.add, base: .r1, .r2), .move(.r0, 0), .exit])
        code.place(goesOn)
        code.append(.move(.r1, .r6))
        code.call(body)
        if half == .exit {
            code.append(.move(.r7, .r0))
            appendCookieArguments(to: &code)
            code.append([.call(.mapDeleteElem), .move(.r0, .r7)])
        }
        code.append(.exit)
    }

    /// The map of cookies, and the key in it.
    private func appendCookieArguments(to code: inout ProgramBuilder) {
        code.append(Instruction.loadMap(.r1, index: Int32(firstMap)))
        code.append([.move(.r2, .r10), .add(.r2, Int32(Self.keyOffset))])
    }

    private func loadMissed(_ register: Register, offset: Int32) -> [Instruction] {
        Instruction.loadMapValue(register, index: Int32(firstMap + 1), offset: offset)
    }

    /// `u64 *cookie(ctx)`: never null, as the verifier must see. The element is there as long as the call runs.
    private func appendCookie(to code: inout ProgramBuilder) {
        let isFound = code.makeLabel()
        code.append(.store(.u64, .r1, to: .r10, offset: Self.keyOffset))
        appendCookieArguments(to: &code)
        code.append(.call(.mapLookupElem))
        code.branch(.notEqual, .r0, 0, to: isFound)
        code.append(loadMissed(.r0, offset: 8))
        code.place(isFound)
        code.append(.exit)
    }
}
