import BPF

/// The program behind `fsession trace`: a session that keeps its start time in the cookie and sends one record
/// (`RecordLayout`) at the exit, or an fentry program that sends it at the entry, where exits are not seen.
package struct TraceProgram: Sendable {
    /// What functions with one program have in common.
    package struct Shape: Hashable, Sendable {
        /// Argument words that are recorded.
        package let words: Int
        package let hasResult: Bool
        package let isEntryOnly: Bool

        /// - Parameter words: that the function has; the first are recorded.
        package init(words: Int, hasResult: Bool, isEntryOnly: Bool) {
            self.words = min(words, RecordLayout.argumentCount)
            self.hasResult = hasResult
            self.isEntryOnly = isEntryOnly
        }
    }

    /// How it comes to the words of its context.
    package enum Access: Sendable {
        /// By loads; the word that holds the return value.
        case loads(result: Int)
        /// One by one, of helpers. It takes longer, but the kernel refuses loads of words of some types, and all where
        /// it does not know the types.
        case helpers
    }

    package enum Number: Sendable {
        /// The link's cookie is the function's number: the program may be at many functions.
        case cookie
        /// The function has a copy of the program with its number in it.
        case constant(Int)
    }

    /// What the program counts itself, where no trampoline and no ring does.
    package struct Counts: Sendable {
        /// The map with a word for records that found no room, and one for exits of calls whose entry was skipped.
        package let drops: Int32
        /// The map with two words, entered and returned, for each of these functions.
        package let calls: Int32
        package let functions: Range<Int>

        package init(drops: Int32, calls: Int32, functions: Range<Int>) {
            self.drops = drops
            self.calls = calls
            self.functions = functions
        }
    }

    /// The ring's place among the maps.
    package static let eventsMap: Int32 = 0

    package static func eventsMap(bytes: UInt32) -> MapDefinition {
        MapDefinition(name: "events", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: bytes)
    }

    package let shape: Shape
    package let access: Access
    package let number: Number
    package let counts: Counts?

    package init(_ shape: Shape, _ access: Access, _ number: Number, counts: Counts? = nil) {
        self.shape = shape
        self.access = access
        self.number = number
        self.counts = counts
    }

    /// Its externs are those of `SessionKfunc`.
    /// - Parameter isMulti: loaded for many functions at once.
    package func program(_ name: String, isMulti: Bool = false) throws(EngineError) -> ObjectProgram {
        guard let section = ProgramSection(name: (shape.isEntryOnly ? "fentry" : "fsession") + (isMulti ? ".multi" : "")) else {
            throw .request("the trace program has no section")
        }
        return ObjectProgram(name: name, section: section, instructions: try code.finish(name))
    }

    // MARK: The code

    // r6: ctx. r8: the function's place in the table of calls, where its cookie is to tell it.

    /// From the stack's end: the record lies there.
    private func slot(_ offset: Int) -> Int16 { Int16(offset - RecordLayout.size(arguments: shape.words)) }
    private func slot(_ place: RecordLayout) -> Int16 { slot(place.rawValue) }

    private var code: ProgramBuilder {
        var code = ProgramBuilder()
        code.append(.move(.r6, .r1))
        if case .cookie = number, let counts { code.findPlace(counts) }
        guard !shape.isEntryOnly else {
            countCall(isReturn: false, &code)
            code.append([.call(.ktimeGetNs), store(.r0, .start), store(0, .end)])
            send(hasReturned: false, &code)
            return code
        }
        let exit = code.makeLabel()
        code.append(SessionKfunc.isReturn.call)
        code.branch(.notEqual, .r0, 0, to: exit)
        countCall(isReturn: false, &code)
        code.append([
            .move(.r1, .r6), SessionKfunc.cookie.call, .move(.r7, .r0), .call(.ktimeGetNs), .store(.u64, .r0, to: .r7),
        ])
        code.leave()
        code.place(exit)
        code.append([.move(.r1, .r6), SessionKfunc.cookie.call, .load(.u64, into: .r0, from: .r0)])
        if let counts {
            let hasEntry = code.makeLabel()
            code.branch(.notEqual, .r0, 0, to: hasEntry)
            code.addOne(to: counts.drops, 8)
            code.leave()
            code.place(hasEntry)
        }
        code.append(store(.r0, .start))
        countCall(isReturn: true, &code)
        code.append([.call(.ktimeGetNs), store(.r0, .end)])
        send(hasReturned: true, &code)
        return code
    }

    private func store(_ register: Register, _ place: RecordLayout) -> Instruction {
        .store(.u64, register, to: .r10, offset: slot(place))
    }
    private func store(_ value: Int32, _ place: RecordLayout) -> Instruction {
        .store(.u64, value, to: .r10, offset: slot(place))
    }

    /// Counts an entry, or a return.
    private func countCall(isReturn: Bool, _ code: inout ProgramBuilder) {
        guard let counts else { return }
        let word = isReturn ? 8 : 0
        switch number {
        case .constant(let number): code.addOne(to: counts.calls, (number - counts.functions.lowerBound) * 16 + word)
        case .cookie:
            code.append(Instruction.loadMapValue(.r1, index: counts.calls, offset: Int32(word)))
            code.append([.move(.r2, .r8), .shiftLeft(.r2, 4), .add(.r1, .r2), .move(.r2, 1), .atomic(.add, base: .r1, .r2)])
        }
    }

    /// Fills the record but for start and end, and sends it.
    private func send(hasReturned: Bool, _ code: inout ProgramBuilder) {
        switch (number, counts) {
        case (.constant(let number), _): code.append(store(Int32(number), .function))
        case (.cookie, let counts?):
            code.append([.move(.r1, .r8), .add(.r1, Int32(counts.functions.lowerBound)), store(.r1, .function)])
        case (.cookie, nil): code.append([.move(.r1, .r6), .call(.getAttachCookie), store(.r0, .function)])
        }
        code.append([.call(.getCurrentPidTgid), store(.r0, .identity)])
        for index in 0..<shape.words { copy(word: index, to: slot(RecordLayout.argument(index)), &code) }
        if hasReturned, shape.hasResult {
            copyResult(to: slot(.returnValue), &code)
        } else {
            code.append(store(0, .returnValue))
        }
        let size = Int32(RecordLayout.size(arguments: shape.words))
        code.append(Instruction.loadMap(.r1, index: Self.eventsMap))
        code.append([.move(.r2, .r10), .add(.r2, -size), .move(.r3, size), .move(.r4, 0), .call(.ringbufOutput)])
        if let counts {
            let isSent = code.makeLabel()
            code.branch(.equal, .r0, 0, to: isSent)
            code.addOne(to: counts.drops, 0)
            code.place(isSent)
        }
        code.leave()
    }

    private func copy(word: Int, to slot: Int16, _ code: inout ProgramBuilder) {
        switch access {
        case .loads: code.append([.load(.u64, into: .r0, from: .r6, offset: Int16(word * 8)), .store(.u64, .r0, to: .r10, offset: slot)])
        case .helpers:
            code.append([
                .store(.u64, Int32(0), to: .r10, offset: slot), .move(.r1, .r6), .move(.r2, Int32(word)), .move(.r3, .r10),
                .add(.r3, Int32(slot)), .call(.getFuncArg),
            ])
        }
    }

    private func copyResult(to slot: Int16, _ code: inout ProgramBuilder) {
        switch access {
        case .loads(let result): copy(word: result, to: slot, &code)
        case .helpers:
            code.append([
                .store(.u64, Int32(0), to: .r10, offset: slot), .move(.r1, .r6), .move(.r2, .r10), .add(.r2, Int32(slot)),
                .call(.getFuncRet),
            ])
        }
    }
}

extension ProgramBuilder {
    /// Returns 0.
    fileprivate mutating func leave() { append([.move(.r0, 0), .exit]) }

    /// Adds 1 to a word of a map's first value.
    fileprivate mutating func addOne(to map: Int32, _ offset: Int) {
        append(Instruction.loadMapValue(.r1, index: map, offset: Int32(offset)))
        append([.move(.r2, 1), .atomic(.add, base: .r1, .r2)])
    }

    /// Sets r8; a cookie that is no number of these leaves.
    fileprivate mutating func findPlace(_ counts: TraceProgram.Counts) {
        let isKnown = makeLabel()
        append([.call(.getAttachCookie), .move(.r8, .r0), .subtract(.r8, Int32(counts.functions.lowerBound))])
        branch(.less, .r8, Int32(counts.functions.count), to: isKnown)
        leave()
        place(isKnown)
        append(.move(.r1, .r6))
    }
}
