import MachineCode

extension X86_64 {
    /// What a function does with its caller's stack.
    /// - `code`: the code of its module, starting at `base`, without any patches; `function` lies in it.
    /// - `end`: where the function, or part of one, ends that an address of the module is in.
    package static func stackUse(
        of function: Range<UInt64>, in code: UnsafeRawBufferPointer, base: UInt64, end: (UInt64) -> UInt64
    ) -> StackUse {
        var scan = StackUseScan(code: code, base: base, function: function)
        scan.run(end)
        return scan.use
    }
}

/// Follows the stack pointer, and `rbp` where that is a frame pointer, through a function, in the order in which its
/// code lies.
///
/// Depths are bytes below the place of the return address: `[rsp + d]` at depth `n` is `d - n` above it. Where it is not
/// known how deep the stack is, the least is taken that can be: rather too many words than too few.
private struct StackUseScan {
    private struct Frame: Equatable {
        /// Nil: not known.
        var depth: Int?
        /// Of what `rbp` holds; nil: no frame pointer.
        var pointer: Int?

        /// What was guessed of code, where a branch back to it says that more of the caller's words may be reached from there:
        /// the stack is less deep, or `rbp` is a frame pointer.
        func corrected(by frame: Frame) -> Frame? {
            let isLessDeep = frame.depth.map { $0 < depth ?? .max } ?? false
            guard isLessDeep || (frame.pointer != nil && pointer == nil) else { return nil }
            return Frame(depth: isLessDeep ? frame.depth : depth, pointer: frame.pointer ?? pointer)
        }
    }

    private let reader: X86_64InstructionReader
    private let base: UInt64
    private let codeEnd: UInt64
    private let function: Range<UInt64>
    private let matters = StackUseScan.oneByteMatters
    private(set) var use = StackUse()

    private var frame = Frame(depth: 0)
    /// Branches forward: what the stack is like there.
    private var pending: [(target: UInt64, frame: Frame)] = []
    /// What the stack is like where a jump through a table may go, and at calls, whose landing pads lie behind the rest.
    private var tableFrame: Frame?
    private var callFrame: Frame?
    /// What was taken to hold where only branches back lead to, and what those say of it.
    private var guesses: [UInt64: Frame] = [:]
    private var corrections: [UInt64: Frame] = [:]
    private var isPristine = true
    /// Registers that hold addresses of its caller's words, by number, as long as the stack is its caller's.
    private var addresses: UInt16 = 0
    /// Nothing has been put into `rbp` yet.
    private var hasCallersPointer = true
    /// Parts of the function that lie elsewhere.
    private var parts: [(start: UInt64, frame: Frame)] = []
    private var seenParts: Set<UInt64> = []

    private static let largestPart: UInt64 = 1 << 16
    private static let mostParts = 16
    private static let mostRounds = 4

    init(code: UnsafeRawBufferPointer, base: UInt64, function: Range<UInt64>) {
        reader = X86_64InstructionReader(code)
        self.base = base
        codeEnd = base + UInt64(code.count)
        self.function = function
    }

    mutating func run(_ end: (UInt64) -> UInt64) {
        for round in 1...Self.mostRounds {
            let known = corrections.count
            scan(function.clamped(to: base..<codeEnd))
            if corrections.count == known { break }
            if round == Self.mostRounds {
                use.isOpen = true
                break
            }
            (frame, pending, tableFrame, callFrame) = (Frame(depth: 0), [], nil, nil)
            (isPristine, hasCallersPointer, addresses) = (true, true, 0)
            (parts, seenParts, use, guesses) = ([], [], StackUse(), [:])
        }
        (isPristine, hasCallersPointer) = (false, false)
        while let part = parts.popLast() {
            frame = part.frame
            pending = []
            let stop = max(part.start, min(end(part.start), codeEnd, part.start + Self.largestPart))
            scan(part.start..<stop)
        }
    }

    private mutating func scan(_ range: Range<UInt64>) {
        var address = range.lowerBound
        var isReached = true
        /// What the stack was like before code that is reached by branches only.
        var before: Frame?
        /// The register that an addition has just changed: that of a jump through a table of distances.
        var added: UInt8?
        while address < range.upperBound {
            guard let instruction = reader.instruction(at: Int(truncatingIfNeeded: address - base)) else {
                // Data, or an instruction that is not known, behind which anything may follow.
                if isReached { use.isOpen = true }
                address += 1
                isReached = false
                continue
            }
            if !isReached {
                // What follows is reached by branches that came before, from tables, by exceptions, or not at all.
                if pending.isEmpty, tableFrame == nil, callFrame == nil, before == nil { return }
                if isPadding(instruction) {
                    address += UInt64(instruction.size)
                    continue
                }
                frame = takePending(at: address) ?? guess(at: address, before)
                before = nil
                isReached = true
            }
            let next = address + UInt64(instruction.size)
            if instruction.hasModRM {
                noteOperand(instruction, at: address)
            } else if addresses != 0 {
                noteImplicit(instruction, at: address)
            }
            guard mayMatter(instruction) else {
                added = nil
                address = next
                continue
            }
            switch (instruction.table, instruction.opcode) {
            case (.one, 0xE9), (.one, 0xEB):
                branch(to: target(instruction, next), from: address, within: range)
                isReached = false
                before = range.contains(target(instruction, next)) ? frame : nil
            case (.one, 0x70...0x7F), (.one, 0xE0...0xE3),
                (.twoByte, 0x80...0x8F) where !instruction.isVector:
                branch(to: target(instruction, next), from: address, within: range)
            case (.one, 0xE8):
                noteCall()
            case (.one, 0xC2), (.one, 0xC3):
                if instruction.opcode == 0xC2 { use.words = max(use.words, Int(instruction.immediate & 0xFFFF) / 8) }
                isReached = false
            case (.one, 0xCC), (.one, 0xF4),
                (.twoByte, 0x0B) where !instruction.isVector:
                isReached = false
            case (.one, 0xFF):
                switch instruction.modRM >> 3 & 7 {
                case 2: noteCall()
                case 4:
                    jumpIndirectly(instruction, added)
                    isReached = false
                case 6: push()
                default: break
                }
            default:
                moveStackPointer(instruction)
            }
            added = addedRegister(instruction)
            address = next
        }
    }

    /// Whether an instruction may change the stack pointer, the flow, or what is known of registers.
    @inline(__always)
    private func mayMatter(_ instruction: X86_64InstructionReader.Instruction) -> Bool {
        if instruction.isVector { return false }
        let opcode = Int(instruction.opcode)
        switch instruction.table {
        case .one: return matters[opcode >> 6] >> UInt64(opcode & 63) & 1 != 0
        case .twoByte: return opcode & 0xF0 == 0x80 || opcode == 0x0B
        default: return false
        }
    }

    /// The opcodes that `scan`, `addedRegister` and `moveStackPointer` look at.
    private static let oneByteMatters: [4 of UInt64] = {
        var bits: [4 of UInt64] = [0, 0, 0, 0]
        let opcodes: [ClosedRange<Int>] = [
            0x01...0x01, 0x03...0x03, 0x21...0x21, 0x23...0x23, 0x29...0x29, 0x2B...0x2B, 0x50...0x5F, 0x68...0x68, 0x6A...0x6A,
            0x70...0x7F, 0x81...0x81, 0x83...0x83, 0x87...0x87, 0x89...0x89, 0x8B...0x8B, 0x8D...0x8D, 0x8F...0x8F,
            0x9C...0x9D, 0xB8...0xBF, 0xC2...0xC3, 0xC9...0xC9, 0xCC...0xCC, 0xE0...0xE3, 0xE8...0xE9, 0xEB...0xEB,
            0xF4...0xF4, 0xFF...0xFF,
        ]
        for opcode in opcodes.joined() { bits[opcode >> 6] |= 1 << UInt64(opcode & 63) }
        return bits
    }()

    private func target(_ instruction: X86_64InstructionReader.Instruction, _ next: UInt64) -> UInt64 {
        next &+ UInt64(bitPattern: Int64(instruction.immediate))
    }

    private func isPadding(_ instruction: X86_64InstructionReader.Instruction) -> Bool {
        switch (instruction.table, instruction.opcode) {
        case (.one, 0x90), (.one, 0xCC), (.twoByte, 0x1F): !instruction.isVector
        default: false
        }
    }

    // MARK: Flow

    private mutating func takePending(at address: UInt64) -> Frame? {
        if pending.isEmpty { return nil }
        pending.removeAll { $0.target < address }
        return pending.last { $0.target == address }?.frame
    }

    /// Code that only branches back lead to: the end of a loop, say, that is entered in its middle.
    private mutating func guess(at address: UInt64, _ before: Frame?) -> Frame {
        if let known = corrections[address] { return known }
        let guess = before ?? tableFrame ?? callFrame ?? Frame(depth: 0)
        guesses[address] = guess
        return guess
    }

    private mutating func branch(to target: UInt64, from address: UInt64, within range: Range<UInt64>) {
        if range.contains(target) {
            if target > address {
                pending.append((target, frame))
            } else if let guess = guesses[target], corrections[target] == nil {
                corrections[target] = guess.corrected(by: frame)
            }
        } else if frame.depth == 0 {
            if !use.tailCalls.contains(target) { use.tailCalls.append(target) }
        } else if !function.contains(target), target >= base, target < codeEnd, parts.count < Self.mostParts,
            seenParts.insert(target).inserted
        {
            parts.append((target, frame))
        }
    }

    private mutating func jumpIndirectly(_ instruction: X86_64InstructionReader.Instruction, _ added: UInt8?) {
        let isTable =
            instruction.isMemory
            ? instruction.base == nil && instruction.hasIndex
            : added == instruction.registerOperand
        switch frame.depth {
        case 0? where !isTable: use.isOpen = true
        case let depth? where depth < 0: break  // a return
        default: tableFrame = frame
        }
    }

    private mutating func noteCall() {
        guard let depth = frame.depth else { return }
        if callFrame?.depth.map({ depth < $0 }) ?? true { callFrame = frame }
    }

    /// `add r64, r64`
    private func addedRegister(_ instruction: X86_64InstructionReader.Instruction) -> UInt8? {
        guard instruction.table == .one, instruction.hasModRM, instruction.modRM >= 0xC0 else { return nil }
        switch instruction.opcode {
        case 0x01: return instruction.registerOperand
        case 0x03: return instruction.register
        default: return nil
        }
    }

    // MARK: Operands

    private static let stackPointer: UInt8 = 4
    private static let framePointer: UInt8 = 5
    /// `rdi`, where string instructions write.
    private static let destination: UInt8 = 7

    private mutating func noteOperand(_ instruction: X86_64InstructionReader.Instruction, at address: UInt64) {
        if hasCallersPointer { noteFramePointer(instruction) }
        if addresses != 0 { followAddresses(instruction, at: address) }
        guard instruction.isMemory, let base = instruction.base,
            let depth = base == Self.stackPointer ? frame.depth : base == Self.framePointer ? frame.pointer : nil
        else { return }
        let offset = Int(instruction.displacement) - depth
        guard offset >= 8 else { return }
        let isPlain = instruction.table == .one && !instruction.isVector
        if isPlain, instruction.opcode == 0x8D {
            if instruction.register != Self.stackPointer {
                use.isOpen = true
                if isPristine { addresses |= 1 << UInt16(instruction.register) }
            }
            return
        }
        if instruction.table == .twoByte, !instruction.isVector, [0x0D, 0x18, 0x1F].contains(instruction.opcode) { return }
        if instruction.hasIndex {
            use.isOpen = true
        } else {
            use.words = max(use.words, (offset - 8 + Self.size(instruction) + 7) / 8)
        }
        if isPristine, Self.writes(instruction) { noteWrite(at: address) }
    }

    /// Follows addresses of the caller's words through registers, to writes by them. Behind a push, or a place made on the
    /// stack, the words may be arguments, which are the function's own to write to.
    private mutating func followAddresses(_ instruction: X86_64InstructionReader.Instruction, at address: UInt64) {
        guard isPristine else {
            addresses = 0
            return
        }
        func holds(_ register: UInt8) -> Bool { addresses >> UInt16(register & 15) & 1 != 0 }
        if instruction.isMemory, let base = instruction.base, holds(base), Self.writes(instruction) { noteWrite(at: address) }
        if instruction.isVector { return }
        let isBetweenRegisters = instruction.modRM >= 0xC0
        let (register, operand) = (instruction.register, instruction.registerOperand)
        func set(_ destination: UInt8, _ isAddress: Bool) {
            let bit: UInt16 = 1 << UInt16(destination & 15)
            if isAddress { addresses |= bit } else { addresses &= ~bit }
        }
        switch (instruction.table, instruction.opcode) {
        case (.one, 0x89) where isBetweenRegisters: set(operand, holds(register))
        case (.one, 0x8B): set(register, isBetweenRegisters && holds(operand))
        case (.one, 0x8D): set(register, instruction.base.map(holds) ?? false)
        case (.one, 0x31), (.one, 0x33): if isBetweenRegisters, register == operand { set(register, false) }
        case (.one, 0x63), (.twoByte, 0xB6), (.twoByte, 0xB7), (.twoByte, 0xBE), (.twoByte, 0xBF): set(register, false)
        default: break
        }
    }

    /// The same of instructions that name their registers in the opcode, or not at all.
    private mutating func noteImplicit(_ instruction: X86_64InstructionReader.Instruction, at address: UInt64) {
        guard isPristine, instruction.table == .one, !instruction.isVector else { return }
        switch instruction.opcode {
        case 0xA4, 0xA5, 0xAA, 0xAB:
            if addresses >> UInt16(Self.destination) & 1 != 0 { noteWrite(at: address) }
        case 0xB8...0xBF:
            addresses &= ~(1 << UInt16(instruction.opcode & 7 | (instruction.rex & 1) << 3))
        default: break
        }
    }

    private mutating func noteWrite(at address: UInt64) {
        if use.writesCallersFrame == nil { use.writesCallersFrame = address }
    }

    /// Whether an instruction reads `rbp`, which still is the caller's. Where it is saved only, nothing is lost by saying so.
    private mutating func noteFramePointer(_ instruction: X86_64InstructionReader.Instruction) {
        guard instruction.hasModRM else { return }
        let isOperand = instruction.modRM >= 0xC0 && instruction.registerOperand == Self.framePointer
        let isRegister = instruction.register == Self.framePointer
        var reads = instruction.isMemory && instruction.base == Self.framePointer
        switch (instruction.table, instruction.opcode) {
        case _ where instruction.isVector: break
        case (.one, 0x31), (.one, 0x33):
            // A zero is put there.
            if isOperand && isRegister { return setPointer(nil) }
            reads = reads || isOperand || isRegister
        case (.one, 0x89):
            // A place of the function's own: it is saved.
            let isSaved = instruction.isMemory && instruction.base == Self.stackPointer
            reads = reads || (isRegister && !isSaved)
        case (.one, 0x8B), (.one, 0x8D), (.one, 0x63), (.twoByte, 0xB6), (.twoByte, 0xB7), (.twoByte, 0xBE), (.twoByte, 0xBF):
            reads = reads || isOperand
        case (.one, 0x80...0x83), (.one, 0xC0), (.one, 0xC1), (.one, 0xD0...0xD3), (.one, 0xF6), (.one, 0xF7), (.one, 0xFE),
            (.one, 0xFF):
            reads = reads || isOperand
        case (.one, 0x00...0x3F), (.one, 0x69), (.one, 0x6B), (.one, 0x84...0x87), (.twoByte, 0x40...0x4F),
            (.twoByte, 0xA3...0xBD), (.twoByte, 0xC0), (.twoByte, 0xC1):
            reads = reads || isOperand || isRegister
        default: break
        }
        if reads { use.takesFramePointer = true }
    }

    /// The most bytes that an access may have.
    private static func size(_ instruction: X86_64InstructionReader.Instruction) -> Int {
        if instruction.isVector { return instruction.table == .other ? 64 : 32 }
        if instruction.table != .one || (0xD8...0xDF).contains(instruction.opcode) { return 16 }
        return 8
    }

    private static func writes(_ instruction: X86_64InstructionReader.Instruction) -> Bool {
        let operation = instruction.modRM >> 3 & 7
        switch (instruction.table, instruction.opcode) {
        case (.one, 0x00...0x3F): return instruction.opcode & 2 == 0 && instruction.opcode < 0x38
        case (.one, 0x80...0x83): return operation != 7
        case (.one, 0x86...0x89), (.one, 0xC6), (.one, 0xC7), (.one, 0xC0), (.one, 0xC1), (.one, 0xD0...0xD3): return true
        case (.one, 0xF6), (.one, 0xF7): return operation == 2 || operation == 3
        case (.one, 0xFE), (.one, 0xFF): return operation < 2
        case (.twoByte, 0x11), (.twoByte, 0x13), (.twoByte, 0x17), (.twoByte, 0x29), (.twoByte, 0x2B), (.twoByte, 0x7E),
            (.twoByte, 0x7F), (.twoByte, 0xD6), (.twoByte, 0xE7), (.twoByte, 0x90...0x9F):
            return true
        default: return false
        }
    }

    // MARK: The stack pointer

    private mutating func setPointer(_ pointer: Int?) {
        frame.pointer = pointer
        hasCallersPointer = false
    }

    private mutating func push() {
        frame.depth? += 8
        isPristine = false
    }

    private mutating func setDepth(_ depth: Int?) {
        frame.depth = depth
        isPristine = false
        notePopped()
    }

    /// What lies above the stack pointer has been taken off.
    private mutating func notePopped() {
        if let depth = frame.depth, depth < 0 { use.words = max(use.words, -depth / 8) }
    }

    private mutating func moveStackPointer(_ instruction: X86_64InstructionReader.Instruction) {
        guard instruction.table == .one, !instruction.isVector else { return }
        let isWide = instruction.rex & 8 != 0
        switch instruction.opcode {
        case 0x50...0x57, 0x68, 0x6A, 0x9C:
            push()
            // Whoever saves it puts something else there.
            if instruction.opcode == 0x55, instruction.rex & 1 == 0 { hasCallersPointer = false }
        case 0x58...0x5F:
            let register = instruction.opcode & 7 | (instruction.rex & 1) << 3
            notePopped()
            setDepth(register == Self.stackPointer ? nil : frame.depth.map { $0 - 8 })
            if register == Self.framePointer { setPointer(nil) }
        case 0x8F, 0x9D:
            setDepth(frame.depth.map { $0 - 8 })
        case 0xB8...0xBF:
            if instruction.opcode & 7 | (instruction.rex & 1) << 3 == Self.framePointer { setPointer(nil) }
        case 0xC9:
            setDepth(frame.pointer.map { $0 - 8 })
            setPointer(nil)
        case 0x81, 0x83:
            guard instruction.modRM >= 0xC0, instruction.registerOperand == Self.stackPointer else { return }
            switch instruction.modRM >> 3 & 7 {
            case 0: setDepth(frame.depth.map { $0 - Int(instruction.immediate) })
            case 5: setDepth(frame.depth.map { $0 + Int(instruction.immediate) })
            case 7: break  // a comparison
            default: setDepth(nil)
            }
        case 0x8D:
            loadAddress(instruction, isWide)
        case 0x89, 0x8B:
            guard instruction.modRM >= 0xC0 else {
                if instruction.opcode == 0x8B, instruction.register == Self.framePointer { setPointer(nil) }
                return
            }
            let isStore = instruction.opcode == 0x89
            let from = isStore ? instruction.register : instruction.registerOperand
            move(to: isStore ? instruction.registerOperand : instruction.register, from: from)
        case 0x87:
            if instruction.modRM >= 0xC0, [instruction.register, instruction.registerOperand].contains(Self.stackPointer) {
                setDepth(nil)
            }
        case 0x01, 0x03, 0x29, 0x2B, 0x21, 0x23:
            let destination = instruction.opcode & 2 == 0 ? instruction.registerOperand : instruction.register
            guard instruction.modRM >= 0xC0 || instruction.opcode & 2 != 0, destination == Self.stackPointer else { return }
            // How much it takes off its caller's stack, if it does, nothing tells.
            if let depth = frame.depth, depth <= 0, instruction.opcode < 0x20 { use.isOpen = true }
            setDepth(nil)
        default: break
        }
    }

    private mutating func loadAddress(_ instruction: X86_64InstructionReader.Instruction, _ isWide: Bool) {
        let offset = Int(instruction.displacement)
        let isPlain = !instruction.hasIndex
        let origin =
            instruction.base == Self.stackPointer
            ? frame.depth
            : instruction.base == Self.framePointer ? frame.pointer : nil
        if instruction.register == Self.stackPointer {
            if !isPlain, let depth = frame.depth, depth <= 0 { use.isOpen = true }
            setDepth(isPlain ? origin.map { $0 - offset } : nil)
        } else if instruction.register == Self.framePointer {
            setPointer(isPlain && isWide && instruction.base == Self.stackPointer ? origin.map { $0 - offset } : nil)
        }
    }

    private mutating func move(to register: UInt8, from: UInt8) {
        switch (register, from) {
        case (Self.framePointer, Self.stackPointer): setPointer(frame.depth)
        case (Self.stackPointer, Self.framePointer): setDepth(frame.pointer)
        case (Self.stackPointer, _): setDepth(nil)
        case (Self.framePointer, _): setPointer(nil)
        // Whoever keeps where its caller's stack ends may look there by any register.
        case (_, Self.stackPointer): if let depth = frame.depth, depth <= 0 { use.isOpen = true }
        default: break
        }
    }
}
