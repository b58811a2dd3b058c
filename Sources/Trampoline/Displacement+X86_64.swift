import MachineCode

extension X86_64 {
    /// Bytes of the jump.
    package static let jumpSize = 5

    /// So many bytes of a function show every short branch to its entry, and the instructions there.
    package static let entryWindow = 192

    private static let endbr64: [UInt8] = [0xF3, 0x0F, 0x1E, 0xFA]

    /// Bytes of a short jump.
    private static let shortJumpSize = 2

    /// The bytes behind the first of the jump at this function's entry: nothing may branch there.
    package static func patchedInterior(of function: CodeRange) -> Range<UInt64> {
        // No code lies at the end of the address space, but a symbol may say so.
        let address = min(function.address, UInt64.max - 16)
        let start = address + (function.bytes.starts(with: endbr64) ? 4 : 0)
        return start + 1..<start + UInt64(jumpSize)
    }

    package static func displace(
        _ function: DisplacementRequest, at address: UInt64
    ) throws(DisplacementError) -> DisplacedEntry {
        guard let decoder = X86_64Decoder() else { throw .decoderUnavailable }
        let space = UInt64(Int64.max) - UInt64(function.function.bytes.count) - 0x1000
        guard !function.function.bytes.isEmpty, function.function.address < space else { throw .empty }
        guard address < space else { throw .outOfReach(from: address, to: function.function.address) }
        if function.isInsideAnother { throw .insideAnother }
        if let address = function.referredTo { throw .readAsData(at: address) }
        if let call = function.flagsReadAt { throw .leavesFlags(at: call) }
        var entry = EntryAnalysis(function, size: jumpSize)
        if let padding = function.padding {
            entry = EntryAnalysis(function, size: shortJumpSize)
            let tail = entry.patchOffset + shortJumpSize
            guard let distance = jumpDistance(in: padding, tail: tail, decoder) else {
                throw .tooShort(size: function.function.bytes.count)
            }
            entry.jumpDistance = distance
        }
        let displaced = try entry.displacedInstructions(decoder)
        try entry.checkBranches(decoder)
        let mover = EntryMover(entry: entry, instructions: displaced.instructions, end: displaced.end, address: address)
        guard let key = mover.key else { return try mover.move() }
        if let known = decoder.movedEntry(of: key) { return try mover.move(as: known) }
        let moved = try mover.move()
        decoder.remember(moved, as: key)
        return moved
    }
}

/// Finds what a jump at a function's entry would overwrite, and who would notice.
private struct EntryAnalysis {
    let request: DisplacementRequest
    /// The function and what lies behind it.
    let bytes: [UInt8]
    let address: UInt64
    /// Where instructions are overwritten, and how many bytes of them.
    let patchOffset: Int
    let size: Int
    let interior: Range<UInt64>
    /// How many bytes before the function the long jump begins, where it is made in the padding; else 0.
    var jumpDistance = 0

    init(_ request: DisplacementRequest, size: Int) {
        self.request = request
        self.size = size
        bytes = request.function.bytes + request.following.prefix(16)
        address = request.function.address
        let start = X86_64.patchedInterior(of: request.function).lowerBound
        interior = start..<(start - 1 + UInt64(size))
        patchOffset = Int(start - 1 - address)
    }

    var patchAddress: UInt64 { address + UInt64(patchOffset) }

    /// The bytes behind the first of a jump in the padding.
    private var paddingInterior: Range<UInt64> {
        let start = address &- UInt64(jumpDistance)
        return jumpDistance == 0 ? address..<address : (start &+ 1)..<(start &+ UInt64(X86_64.jumpSize))
    }

    private func isOverwritten(_ address: UInt64) -> Bool { interior.contains(address) || paddingInterior.contains(address) }

    /// Whole instructions that cover the jump, and the offset behind them. Padding is left out.
    func displacedInstructions(
        _ decoder: borrowing X86_64Decoder
    ) throws(DisplacementError) -> (instructions: [X86_64DecodedInstruction], end: Int) {
        var instructions: [X86_64DecodedInstruction] = []
        var offset = patchOffset
        let end = patchOffset + size
        while offset < end {
            let place = address + UInt64(offset)
            let isInFunction = offset < request.function.bytes.count
            let isReached = instructions.last?.endsFlow != true
            if !isInFunction || !isReached, let padding = paddingSize(at: offset, decoder) {
                if isReached && bytes[offset] == 0xCC { throw .immovable(at: place, name: "int3") }
                offset += padding
                continue
            }
            guard isInFunction else { throw .tooShort(size: request.function.bytes.count) }
            guard let instruction = decoder.decode(bytes, at: offset, address: place),
                offset + instruction.size <= request.function.bytes.count
            else { throw .undecodable(at: place) }
            try check(instruction, isLast: offset + instruction.size >= end)
            instructions.append(instruction)
            offset += instruction.size
        }
        return (instructions, offset)
    }

    /// The size of the NOP or `int3` at an offset behind the function.
    private func paddingSize(at offset: Int, _ decoder: borrowing X86_64Decoder) -> Int? {
        guard offset < bytes.count else { return nil }
        if bytes[offset] == 0xCC { return 1 }
        let instruction = decoder.decode(bytes, at: offset, address: address + UInt64(offset))
        return instruction?.kind == .nop ? instruction?.size : nil
    }

    private func check(
        _ instruction: X86_64DecodedInstruction, isLast: Bool
    ) throws(DisplacementError) {
        switch instruction.kind {
        case .call where instruction.target == instruction.end:
            throw .callOfNextInstruction(at: instruction.address)
        case .call where !isLast, .indirectCall where !isLast:
            throw .callAmongDisplaced(at: instruction.address)
        case .indirectCall where instruction.readsStackPointer(bytes, at: Int(instruction.address - address)):
            throw .immovable(at: instruction.address, name: instruction.name)
        case .trap, .transactionBegin:
            throw .immovable(at: instruction.address, name: instruction.name)
        default:
            if instruction.isPositionBound {
                throw .immovable(at: instruction.address, name: instruction.name)
            }
        }
    }

    // MARK: Branches

    /// A short branch reaches this far.
    private static let shortReach = 128

    /// Refuses branches into the displaced bytes, and back to the entry: they would run the programs again.
    func checkBranches(_ decoder: borrowing X86_64Decoder) throws(DisplacementError) {
        if let target = request.enteredAt.first(where: isOverwritten) {
            throw .branchIntoEntry(from: nil, to: target)
        }
        if let loop = request.loopsFrom { throw .loopAtEntry(from: loop) }
        let targets = (address &- UInt64(jumpDistance))..<interior.upperBound
        // Short branches: what is near is decoded, where some bytes of it could be one.
        let function = request.function
        let near = min(function.bytes.count, patchOffset + size + Self.shortReach + 15)
        let start = CodeRange(address: address, bytes: Array(function.bytes[..<near]))
        if X86_64.mayBranch(start.bytes, base: address, into: targets) {
            try checkDecoded(start, decoder, isOwn: true)
        }
        // Long branches: every byte could start one.
        if near < function.bytes.count {
            let long = function.bytes.withUnsafeBytes {
                X86_64.branches(in: $0, base: address, from: near)
            }
            for branch in long {
                try check(branch.target, from: branch.address, isCall: branch.isCall, isOwn: true)
            }
        }
        for neighbour in request.neighbours {
            let distance =
                neighbour.address > address
                ? neighbour.address - address : address &- neighbour.address &- UInt64(neighbour.bytes.count)
            guard distance < UInt64(Self.shortReach + 32) || distance > UInt64(Int64.max),
                X86_64.mayBranch(neighbour.bytes, base: neighbour.address, into: jumpDistance == 0 ? interior : targets)
            else { continue }
            try checkDecoded(neighbour, decoder, isOwn: false)
        }
    }

    private func checkDecoded(
        _ range: CodeRange, _ decoder: borrowing X86_64Decoder, isOwn: Bool
    ) throws(DisplacementError) {
        var offset = 0
        while offset < range.bytes.count {
            let place = range.address &+ UInt64(offset)
            guard let instruction = decoder.decode(range.bytes, at: offset, address: place) else {
                offset += 1  // data, or new to the decoder
                continue
            }
            if let target = instruction.target {
                try check(target, from: place, isCall: instruction.kind == .call, isOwn: isOwn)
            }
            offset += instruction.size
        }
    }

    private func check(
        _ target: UInt64, from: UInt64, isCall: Bool, isOwn: Bool
    ) throws(DisplacementError) {
        if isOverwritten(target) { throw .branchIntoEntry(from: from, to: target) }
        let isLoop = target == address || target == patchAddress || address &- target <= UInt64(jumpDistance)
        if isOwn, !isCall, isLoop { throw .loopAtEntry(from: from) }
    }
}

extension X86_64DecodedInstruction {
    /// Whether an indirect call finds its target through the stack pointer.
    fileprivate func readsStackPointer(_ bytes: [UInt8], at offset: Int) -> Bool {
        let code = bytes[offset...].prefix(size)
        guard let opcode = code.firstIndex(of: 0xFF), opcode + 1 < code.endIndex else { return true }
        let isExtended = opcode > code.startIndex && code[opcode - 1] & 0xF1 == 0x41
        let form = code[opcode + 1]
        guard form & 7 == 4, !isExtended else { return false }
        if form >> 6 == 3 { return true }  // rsp itself
        return opcode + 2 < code.endIndex ? code[opcode + 2] & 7 == 4 : true
    }
}

/// Writes the moved instructions.
private struct EntryMover {
    let entry: EntryAnalysis
    let instructions: [X86_64DecodedInstruction]
    /// Where the function goes on behind them.
    let rest: UInt64
    let address: UInt64
    private var assembler = X86_64Assembler()
    private var tracker = StackTracker()
    private var places: [EntryPatch.Place] = []
    private var extraPlaces: [EntryPatch.Place] = []

    init(entry: EntryAnalysis, instructions: [X86_64DecodedInstruction], end: Int, address: UInt64) {
        self.entry = entry
        self.instructions = instructions
        rest = entry.address + UInt64(end)
        self.address = address
    }

    private var here: UInt64 { address + UInt64(assembler.offset) }

    /// What tells how the entry is moved: its bytes, where they say the same anywhere and the rest is jumped to. Functions
    /// begin with the same few instructions.
    var key: ShortBytes? {
        let end = Int(rest - entry.address)
        guard end - entry.patchOffset < ShortBytes.capacity, end <= entry.bytes.count else { return nil }
        var isMovable = false
        for instruction in instructions {
            switch instruction.kind {
            case .nop: break
            case .plain where instruction.ripDisplacementOffset == nil: isMovable = true
            default: return nil
            }
        }
        guard isMovable else { return nil }
        var key = ShortBytes(entry.bytes[entry.patchOffset..<end])
        key.append(UInt8(entry.patchOffset))
        return key
    }

    /// As an entry of the same bytes was moved.
    consuming func move(as known: DisplacedEntry) throws(DisplacementError) -> DisplacedEntry {
        var result = notMoved
        let end = address + UInt64(known.code.count)
        guard let distance = Int32(exactly: Int64(bitPattern: rest &- end)) else { throw .outOfReach(from: end, to: rest) }
        result.code = known.code
        let field = known.code.count - 4
        for index in 0..<4 {
            result.code[field + index] = UInt8(truncatingIfNeeded: UInt32(bitPattern: distance) >> UInt32(8 * index))
        }
        result.patch.bodyEntry = address
        result.unwind = known.unwind.map { UnwindEntry(start: address, size: known.code.count, $0.description) }
        result.patch.setPlaces(as: known.patch)
        return result
    }

    /// The entry with what its patch needs, and nothing moved.
    private var notMoved: DisplacedEntry {
        let patchEnd = entry.patchOffset + entry.size
        let padding = entry.request.padding?.bytes.suffix(entry.jumpDistance) ?? []
        let isShort = !padding.isEmpty
        let original = padding + Array(entry.bytes[(isShort ? 0 : entry.patchOffset)..<patchEnd])
        let back = UInt8(bitPattern: Int8(-(padding.count + entry.patchOffset + 2)))
        let rest = padding.dropFirst(X86_64.jumpSize) + entry.bytes[..<entry.patchOffset]
        let patch = EntryPatch(
            function: entry.address, address: isShort ? entry.address - UInt64(padding.count) : entry.patchAddress,
            original: ShortBytes(original), tail: isShort ? ShortBytes(rest + [0xEB, back]) : [], entrySize: UInt64(entry.size),
            codeAddress: address, bodyEntry: self.rest)
        return DisplacedEntry(patch: patch, displacedCount: Int(self.rest - entry.patchAddress))
    }

    consuming func move() throws(DisplacementError) -> DisplacedEntry {
        var result = notMoved
        if instructions.allSatisfy({ $0.kind == .nop }) {
            result.patch.setPlaces(instructions.map { .init(original: $0.address, moved: rest) })
            return result
        }
        for instruction in instructions {
            places.append(.init(original: instruction.address, moved: here))
            let bytes = Array(
                entry.bytes[Int(instruction.address - entry.address)...].prefix(instruction.size))
            try move(instruction, bytes)
            tracker.track(instruction, bytes, end: assembler.offset)
        }
        if instructions.last?.endsFlow != true, !endsWithCall {
            extraPlaces.append(.init(original: rest, moved: here))
            assembler.jmp(address: rest)
        }
        do {
            result.code = try assembler.finish(at: address)
        } catch {
            switch error {
            case .outOfReach(let from, let to, _): throw .outOfReach(from: from, to: to)
            case .unboundLabel: throw .immovable(at: entry.patchAddress, name: error.description)
            }
        }
        result.patch.bodyEntry = address
        result.unwind = UnwindEntry(start: address, size: result.code.count, tracker.frame.finish(atEntry: X86_64.callFrameAtEntry))
        result.patch.setPlaces(places, extra: extraPlaces)
        return result
    }

    private var endsWithCall: Bool {
        switch instructions.last?.kind {
        case .call, .indirectCall: true
        default: false
        }
    }

    /// A moved call gives its callee the address behind the original call. An exception that comes out of it
    /// finds the function's own landing pads there, and nobody stays in the copy for as long as the callee runs.
    private mutating func pushReturnAddress(_ address: UInt64) {
        assembler.emit([0x68])  // push imm32
        emit(UInt32(truncatingIfNeeded: address))
        tracker.pushed(end: assembler.offset)
        assembler.emit([0xC7, 0x44, 0x24, 0x04])  // mov dword [rsp + 4], imm32
        emit(UInt32(truncatingIfNeeded: address >> 32))
    }

    private mutating func emit(_ word: UInt32) {
        assembler.emit((0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) })
    }

    private mutating func move(
        _ instruction: X86_64DecodedInstruction, _ original: [UInt8]
    ) throws(DisplacementError) {
        var bytes = original
        if case .indirectCall = instruction.kind {
            pushReturnAddress(instruction.end)
            // FF /2 (call) becomes FF /4 (jmp).
            if let opcode = bytes.firstIndex(of: 0xFF), opcode + 1 < bytes.count { bytes[opcode + 1] ^= 0x30 }
        }
        switch (instruction.kind, instruction.target) {
        case (.nop, _):
            break
        case (.jump, let target?):
            assembler.jmp(address: target)
        case (.conditionalJump(let code), let target?):
            guard let condition = X86_64Condition(rawValue: code) else {
                throw .immovable(at: instruction.address, name: "jcc")
            }
            assembler.jcc(condition, address: target)
        case (.countedJump, let target?):
            // Has no long form: it jumps over a jump over a long jump.
            assembler.emit(bytes.dropLast() + [2])
            extraPlaces.append(.init(original: instruction.end, moved: here))
            assembler.emit([0xEB, 5])
            extraPlaces.append(.init(original: target, moved: here))
            assembler.jmp(address: target)
        case (.call, let target?):
            pushReturnAddress(instruction.end)
            assembler.jmp(address: target)
        default:
            guard let field = instruction.ripDisplacementOffset else {
                assembler.emit(bytes)
                return
            }
            var moved = bytes
            var displacement: UInt32 = 0
            for index in (0..<4).reversed() { displacement = displacement << 8 | UInt32(bytes[field + index]) }
            let distance = Int64(Int32(bitPattern: displacement))
            let target = instruction.end &+ UInt64(bitPattern: distance)
            let end = here &+ UInt64(bytes.count)
            guard let changed = Int32(exactly: Int64(bitPattern: target &- end)) else {
                throw .outOfReach(from: here, to: target)
            }
            for index in 0..<4 {
                moved[field + index] = UInt8(truncatingIfNeeded: changed >> Int32(8 * index))
            }
            assembler.emit(moved)
        }
    }
}

/// Follows what a function's first instructions do to the stack, for unwinding from the moved ones.
private struct StackTracker {
    private(set) var frame = CallFrameBuilder()
    /// CFA - rsp; nil once it is not known.
    private var depth: Int? = 8
    /// CFA - rbp, once rbp is a frame pointer.
    private var frameDepth: Int?
    private var saved: Set<UInt8> = []

    /// Call frame numbers of the registers that a function must keep, by instruction number.
    private static let kept: [UInt8: DwarfRegister] = [
        3: .rbx, 5: .rbp, 12: .r12, 13: .r13, 14: .r14, 15: .r15,
    ]

    mutating func track(_ instruction: X86_64DecodedInstruction, _ bytes: [UInt8], end: Int) {
        guard let depth else { return }
        var opcode = bytes[...]
        var register: UInt8 = 0
        var isWide = false
        if let first = opcode.first, first & 0xF0 == 0x40 {
            register = first & 1 << 3
            isWide = first & 8 != 0
            opcode = opcode.dropFirst()
        }
        let code = Array(opcode)
        guard let first = code.first else { return }
        let modRM = code.count > 1 ? code[1] : 0
        switch first {
        case 0x50...0x57:
            register |= first & 7
            change(to: depth + 8, end)
            if let kept = Self.kept[register], saved.insert(register).inserted {
                frame.save(kept, belowCFA: depth + 8)
            }
        case 0x6A, 0x68:
            change(to: depth + 8, end)
        case 0xFF where modRM >> 3 & 7 == 6:
            change(to: depth + 8, end)
        case 0x58...0x5F where register | first & 7 != 4:
            register |= first & 7
            change(to: depth - 8, end)
            if let kept = Self.kept[register], saved.remove(register) != nil { frame.restore(kept) }
        case 0x83 where isWide && modRM == 0xEC, 0x81 where isWide && modRM == 0xEC:
            change(to: depth + immediate(code, from: 2), end)
        case 0x83 where isWide && modRM == 0xC4, 0x81 where isWide && modRM == 0xC4:
            change(to: depth - immediate(code, from: 2), end)
        case 0x8D where isWide && (modRM == 0x64 || modRM == 0xA4) && code.count > 3 && code[2] == 0x24:
            change(to: depth - immediate(code, from: 3), end)
        case 0x89 where isWide && modRM == 0xE5, 0x8B where isWide && modRM == 0xEC:
            frameDepth = depth
        default:
            switch instruction.kind {
            case .call, .indirectCall, .return: return
            default: break
            }
            guard instruction.writesStackPointer else { return }
            if let frameDepth {
                frame.advance(to: end)
                frame.defineCFA(.rbp, offset: frameDepth)
            }
            self.depth = nil
        }
    }

    /// Eight more bytes are on the stack.
    mutating func pushed(end: Int) {
        if let depth { change(to: depth + 8, end) }
    }

    private mutating func change(to depth: Int, _ end: Int) {
        self.depth = depth
        frame.advance(to: end)
        frame.defineCFA(offset: depth)
    }

    /// The signed immediate or displacement that ends an instruction.
    private func immediate(_ code: [UInt8], from offset: Int) -> Int {
        var value: Int32 = 0
        for byte in code[offset...].reversed() { value = value << 8 | Int32(byte) }
        return code.count - offset == 1 ? Int(Int8(truncatingIfNeeded: value)) : Int(value)
    }
}
