/// Writes instructions in the syntax of the kernel's log.
package struct Disassembler: Sendable {
    /// The name of the map at an index of the object, for `map[name]` in place of `map[idx:3]`.
    package var mapName: @Sendable (Int32) -> String?
    /// The name of the extern at an index of the object.
    package var externName: @Sendable (Int32) -> String?

    package init(
        mapName: @escaping @Sendable (Int32) -> String? = { _ in nil },
        externName: @escaping @Sendable (Int32) -> String? = { _ in nil }
    ) {
        self.mapName = mapName
        self.externName = externName
    }

    package struct Line: Hashable, Sendable {
        package let slot: Int
        package let text: String
    }

    /// A line for each instruction: a wide load is one line. What is no instruction is written as `.quad`.
    package func lines(_ instructions: [Instruction]) -> [Line] {
        var lines: [Line] = []
        var slot = 0
        while slot < instructions.count {
            let next = slot + 1 < instructions.count ? instructions[slot + 1] : nil
            if let operation = try? instructions[slot].operation(followedBy: next) {
                lines.append(Line(slot: slot, text: text(operation)))
                if case .loadImmediate = operation { slot += 1 }
            } else {
                lines.append(Line(slot: slot, text: ".quad 0x\(String(instructions[slot].encoded, radix: 16))"))
            }
            slot += 1
        }
        return lines
    }

    /// The whole program, a line for each instruction, in a form that ``Assembler`` takes back exactly.
    package func text(_ instructions: [Instruction]) -> String {
        lines(instructions).map { $0.text + "\n" }.joined()
    }

    package func text(_ operation: Operation) -> String {
        switch operation {
        case .arithmetic(let operation, let width, let destination, let operand):
            "\(name(destination, width)) \(operation.sign) \(text(operand, width))"
        case .negate(let width, let register): "\(name(register, width)) = -\(name(register, width))"
        case .move(let width, let destination, let operand): "\(name(destination, width)) = \(text(operand, width))"
        case .moveSigned(let width, let destination, let source, let bits):
            "\(name(destination, width)) = (s\(bits))\(name(source, width))"
        case .byteOrder(let order, let bits, let register): "\(register) = \(order.word)\(bits) \(register)"
        case .loadImmediate(let kind, let destination, let first, let second):
            "\(destination) = \(text(kind, first, second))"
        case .load(let type, let destination, let base, let offset):
            "\(destination) = \(place(type, base, offset))"
        case .store(let type, let base, let offset, let operand):
            "\(place(type, base, offset)) = \(text(operand, .bits64))"
        case .atomic(let operation, let width, let base, let offset, let source):
            text(operation, width, base, offset, source)
        case .jump(let distance, let long): "\(long ? "gotol" : "goto") pc\(signed(distance))"
        case .branch(let condition, let width, let left, .register(let right), let distance):
            "if \(name(left, width)) \(condition.sign) \(name(right, width)) goto pc\(signed(distance))"
        case .branch(let condition, let width, let left, .immediate(let right), let distance):
            "if \(name(left, width)) \(condition.sign) 0x\(hex(right)) goto pc\(signed(distance))"
        case .mayGoto(let distance): "may_goto pc\(signed(distance))"
        case .call(.helper(let id)):
            "call \(Helper(rawValue: id)?.name ?? "unknown")#\(Int32(bitPattern: id))"
        case .call(.subprogram(let distance)): "call pc\(signed(distance))"
        case .call(.external(let index)): "call \(externName(index) ?? "kernel-function")#\(index)"
        case .exit: "exit"
        }
    }

    private func text(
        _ operation: AtomicOperation, _ width: Width, _ base: Register, _ offset: Int16, _ source: Register
    ) -> String {
        let place = "(\(width.memoryType.word) *)(\(base) \(signed(offset)))"
        if let sign = operation.sign { return "lock *\(place) \(sign) \(source)" }
        let function = width.atomicPrefix + (operation.word ?? "")
        return operation == .compareExchange
            ? "r0 = \(function)(\(place), r0, \(source))" : "\(source) = \(function)(\(place), \(source))"
    }

    private func text(_ kind: WideImmediate, _ first: Int32, _ second: Int32) -> String {
        let index = UInt32(bitPattern: first)
        let offset = UInt32(bitPattern: second)
        return switch kind {
        case .value: "0x\(String(UInt64(offset) << 32 | UInt64(index), radix: 16))"
        case .mapDescriptor: "map[id:\(index)]"
        case .mapDescriptorValue: "map[id:\(index)][0]+\(offset)"
        case .map: "map[\(mapName(first) ?? "idx:\(index)")]"
        case .mapValue: "map[\(mapName(first) ?? "idx:\(index)")]+\(offset)"
        case .variable: "ksym[\(externName(first) ?? "\(index)")]"
        case .function: "subprog[\(signed(first))]"
        }
    }

    private func text(_ operand: Operand, _ width: Width) -> String {
        switch operand {
        case .register(let register): name(register, width)
        case .immediate(let value): "\(value)"
        }
    }

    private func place(_ type: MemoryType, _ base: Register, _ offset: Int16) -> String {
        "*(\(type.word) *)(\(base) \(signed(offset)))"
    }

    private func name(_ register: Register, _ width: Width) -> String { "\(width.letter)\(register.rawValue)" }

    private func signed(_ value: some SignedInteger) -> String { value < 0 ? "\(value)" : "+\(value)" }

    private func hex(_ value: Int32) -> String { String(UInt32(bitPattern: value), radix: 16) }
}
