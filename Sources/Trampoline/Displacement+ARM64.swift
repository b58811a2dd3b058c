import MachineCode

extension ARM64 {
    /// Bytes of the jump: one instruction.
    package static let jumpSize = 4

    /// The landing pad and the instruction behind it; branches to them are found wherever they are.
    package static let entryWindow = 16

    /// A landing pad and the jump.
    package static let longestPatchedHead = 8

    /// Where nobody may come, for a jump at this function's entry: inside the one instruction that it replaces, and, where the return
    /// address is signed before it, that instruction from elsewhere.
    package static func patchedInterior(of function: CodeRange) -> Range<UInt64> {
        let entry = ARM64Entry(function)
        return entry.patchAddress + (entry.signing == nil ? 1 : 0)..<entry.patchAddress + UInt64(jumpSize)
    }

    package static func displace(
        _ function: DisplacementRequest, at address: UInt64
    ) throws(DisplacementError) -> DisplacedEntry {
        let start = function.function.address
        let space = UInt64(Int64.max) - UInt64(function.function.bytes.count) - 0x1000
        guard !function.function.bytes.isEmpty, start < space else { throw .empty }
        guard address < space else { throw .outOfReach(from: address, to: start) }
        guard start % ARM64Instruction.size == 0, address % ARM64Instruction.size == 0 else { throw .undecodable(at: start) }
        if function.isInsideAnother { throw .insideAnother }
        if let address = function.referredTo { throw .readAsData(at: address) }
        if let call = function.flagsReadAt { throw .leavesFlags(at: call) }
        let entry = ARM64Entry(function.function)
        guard let instruction = entry.instruction else { throw .tooShort(size: function.function.bytes.count) }
        try checkBranches(function)
        return try ARM64EntryMover(entry: entry, instruction: instruction, address: address).move()
    }

    /// Refuses branches to the replaced instruction, and back to the entry: they would run the programs again.
    private static func checkBranches(_ request: DisplacementRequest) throws(DisplacementError) {
        let function = request.function
        let interior = patchedInterior(of: function)
        if let target = request.enteredAt.first(where: interior.contains) { throw .branchIntoEntry(from: nil, to: target) }
        if let loop = request.loopsFrom { throw .loopAtEntry(from: loop) }
        var found: DisplacementError?
        function.bytes.withUnsafeBytes { bytes in
            forEachBranch(bytes, base: function.address, in: 0..<bytes.count) { branch in
                guard found == nil else { return }
                let isEntry = branch.target == function.address || branch.target == interior.upperBound - UInt64(jumpSize)
                if isEntry, !branch.isCall {
                    found = .loopAtEntry(from: branch.address)
                } else if interior.contains(branch.target) {
                    found = .branchIntoEntry(from: branch.address, to: branch.target)
                }
            }
        }
        if let found { throw found }
    }
}

/// How a function begins.
///
/// The jump takes the place of one instruction: the first one, or the one behind a landing pad, which must stay, because an
/// indirect call of a guarded page ends at anything else. A pad that signs the return address has done so when the jump is
/// reached: the trampoline undoes it, and the moved entry does it again, with the address that it returns to then.
struct ARM64Entry {
    let function: UInt64
    /// What the landing pad signs the return address with, if it does.
    private(set) var signing: ARM64Instruction?
    let patchAddress: UInt64
    /// What the jump takes the place of; nil where there is nothing.
    private(set) var instruction: ARM64Instruction?

    init(_ range: CodeRange) {
        // No code lies at the end of the address space, but a symbol may say so.
        let start = min(range.address, UInt64.max - 16)
        let instructions = range.bytes.prefix(8).withContiguousStorageIfAvailable { bytes in
            let code = ARM64Code(bytes: UnsafeRawBufferPointer(bytes), base: start)
            return stride(from: 0, to: bytes.count - 3, by: 4).map { code.instruction(at: $0) }
        }
        function = start
        guard let instructions, let first = instructions.first else {
            patchAddress = start
            return
        }
        switch first.kind {
        case .signing:
            signing = first
            fallthrough
        case .landingPad:
            patchAddress = start + ARM64Instruction.size
            instruction = instructions.count > 1 ? instructions[1] : nil
        default:
            patchAddress = start
            instruction = first
        }
    }
}

/// Writes the moved instruction.
private struct ARM64EntryMover {
    let entry: ARM64Entry
    let instruction: ARM64Instruction
    let address: UInt64
    private var assembler = ARM64Assembler()
    private var frame = CallFrameBuilder()
    /// Where in the moved code instructions are behind which the original one may still be run from its start.
    private var again: [UInt64] = []

    init(entry: ARM64Entry, instruction: ARM64Instruction, address: UInt64) {
        self.entry = entry
        self.instruction = instruction
        self.address = address
    }

    private var here: UInt64 { address + UInt64(assembler.offset) }
    /// Where the function goes on behind it.
    private var rest: UInt64 { entry.patchAddress + ARM64Instruction.size }

    consuming func move() throws(DisplacementError) -> DisplacedEntry {
        let original = (0..<4).map { UInt8(truncatingIfNeeded: instruction.word >> UInt32($0 * 8)) }
        let patch = EntryPatch(
            function: entry.function, address: entry.patchAddress, original: ShortBytes(original), tail: [],
            entrySize: ARM64Instruction.size, codeAddress: address, bodyEntry: rest)
        var result = DisplacedEntry(patch: patch, displacedCount: ARM64.jumpSize)
        if instruction.kind == .nop, entry.signing == nil {
            result.patch.setPlaces([.init(original: entry.patchAddress, moved: rest)])
            return result
        }
        var extra: [EntryPatch.Place] = []
        if let signing = entry.signing {
            result.returnAddressKey = signing.kind == .signing(isKeyB: true) ? .b : .a
            extra.append(.init(original: entry.function, moved: here))
            assembler.emit(signing.word)
            frame.advance(to: assembler.offset)
            frame.negateReturnAddressState()
        }
        let moved = here
        try moveInstruction()
        trackStack()
        if goesOn {
            extra.append(.init(original: rest, moved: here))
            assembler.b(address: rest)
        }
        extra += again.map { .init(original: entry.patchAddress, moved: $0) }
        do {
            result.code = try assembler.finish(at: address)
        } catch {
            switch error {
            case .outOfReach(let from, let to, _): throw .outOfReach(from: from, to: to)
            case .unboundLabel: throw .immovable(at: entry.patchAddress, name: error.description)
            }
        }
        result.patch.bodyEntry = address
        result.unwind = UnwindEntry(start: address, size: result.code.count, frame.finish(atEntry: ARM64.callFrameAtEntry))
        result.patch.setPlaces([.init(original: entry.patchAddress, moved: moved)], extra: extra)
        return result
    }

    /// Whether what follows the moved instruction in the function runs next, without it saying so.
    private var goesOn: Bool {
        switch instruction.kind {
        case .jump, .conditionalJump, .indirectJump, .return, .call, .indirectCall: false
        default: true
        }
    }

    private mutating func moveInstruction() throws(DisplacementError) {
        let target = instruction.target ?? 0
        switch instruction.kind {
        case .plain, .nop, .landingPad, .signing, .indirectJump, .return:
            assembler.emit(instruction.word)
        case .jump:
            assembler.b(address: target)
        case .conditionalJump(let bits):
            // Over a jump to the rest, because a jump reaches farther. Both may go back: the condition stays what it was.
            assembler.emit(instruction.word & ~((1 << bits - 1) << 5) | 2 << 5)
            again.append(here + ARM64Instruction.size)
            assembler.b(address: rest)
            assembler.b(address: target)
        case .call:
            setReturnAddress()
            assembler.b(address: target)
        case .indirectCall(ARM64Instruction.returnAddress):
            throw .immovable(at: entry.patchAddress, name: "blr")
        case .indirectCall(let register):
            // Only through this register a jump may go where a call may.
            assembler.emit(0xaa00_03f0 | register << 16)  // mov x16, register
            again.append(here)
            setReturnAddress()
            assembler.br(.x16)
        case .address(ARM64Instruction.stackPointer, _), .load(.prefetch, _):
            // It is for nothing, or for speed.
            assembler.nop()
        case .address(let register, isPage: true):
            try emit(page: target, in: register)
        case .address(let register, isPage: false):
            if let distance = Int32(exactly: Int64(bitPattern: target &- here)), distance >= -1 << 20, distance < 1 << 20 {
                let field = UInt32(bitPattern: distance)
                assembler.emit(0x1000_0000 | (field & 3) << 29 | (field >> 2 & 0x7ffff) << 5 | register)
            } else {
                try emit(address: target, in: register)
            }
        case .load(let load, let register):
            try emit(load, of: target, in: register)
        case .trap(let name), .positionBound(let name):
            throw .immovable(at: entry.patchAddress, name: name)
        case .unknown:
            throw .undecodable(at: entry.patchAddress)
        }
    }

    /// What a call leaves in x30: whoever is called returns to the function, where unwinders find its tables.
    private mutating func setReturnAddress() {
        assembler.address(.x30, of: rest)
        again += [here - ARM64Instruction.size, here]
    }

    /// `adrp`
    private mutating func emit(page: UInt64, in register: UInt32) throws(DisplacementError) {
        let pages = Int64(bitPattern: page >> 12 &- here >> 12)
        guard pages >= -1 << 20, pages < 1 << 20 else { throw .outOfReach(from: here, to: page) }
        let field = UInt32(truncatingIfNeeded: pages)
        assembler.emit(0x9000_0000 | (field & 3) << 29 | (field >> 2 & 0x7ffff) << 5 | register)
    }

    /// `adrp` and `add`
    private mutating func emit(address: UInt64, in register: UInt32) throws(DisplacementError) {
        try emit(page: address & ~0xfff, in: register)
        again.append(here)
        assembler.emit(0x9100_0000 | UInt32(address & 0xfff) << 10 | register << 5 | register)
    }

    /// A load through the register that it is for; one that does not go there through x17, which is nobody's at an entry.
    private mutating func emit(_ load: ARM64Instruction.Load, of address: UInt64, in register: UInt32) throws(DisplacementError) {
        let isGeneral = load.rawValue < ARM64Instruction.Load.prefetch.rawValue
        let base = isGeneral && register != ARM64Instruction.stackPointer ? register : 17
        try emit(address: address, in: base)
        again.append(here)
        let opcode: UInt32 =
            switch load {
            case .word: 0xb940_0000
            case .doubleword: 0xf940_0000
            case .signedWord: 0xb980_0000
            case .prefetch: 0xf980_0000
            case .single: 0xbd40_0000
            case .double: 0xfd40_0000
            case .quad: 0x3dc0_0000
            }
        assembler.emit(opcode | base << 5 | register)
    }

    /// What the moved instruction does to the stack, for unwinding from the jump behind it.
    private mutating func trackStack() {
        let word = instruction.word
        let (first, second) = (word & 31, word >> 10 & 31)
        // Of two registers, of one, each with the stack pointer moved before; `sub` of a constant; the signing behind `bti c`.
        if case .signing = instruction.kind {
            frame.advance(to: assembler.offset)
            frame.negateReturnAddressState()
        } else if word & 0xffc0_03e0 == 0xa980_03e0 {
            let distance = -(Int(Int32(bitPattern: word << 10) >> 25) * 8)
            guard distance > 0 else { return }
            push(distance)
            save(first, belowCFA: distance)
            save(second, belowCFA: distance - 8)
        } else if word & 0xffe0_0fe0 == 0xf800_0fe0 {
            let distance = -Int(Int32(bitPattern: word << 11) >> 23)
            guard distance > 0 else { return }
            push(distance)
            save(first, belowCFA: distance)
        } else if word & 0xff80_03ff == 0xd100_03ff {
            push(Int(word >> 10 & 0xfff) << (word >> 22 & 1 == 1 ? 12 : 0))
        } else if word & 0xffc0_03e0 == 0x6d80_03e0 {
            push(-(Int(Int32(bitPattern: word << 10) >> 25) * 8))
        }
    }

    private mutating func push(_ count: Int) {
        frame.advance(to: assembler.offset)
        frame.defineCFA(offset: count)
    }

    private mutating func save(_ register: UInt32, belowCFA distance: Int) {
        guard (19...30).contains(register) else { return }
        frame.save(DwarfRegister(number: UInt8(register)), belowCFA: distance)
    }
}
