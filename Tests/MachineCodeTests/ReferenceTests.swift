import MachineCode
import Testing

@Suite("labels, absolute targets and short jumps")
struct ReferenceTests {
    @Test("rip-relative operands count from the end of the instruction, immediates included")
    func ripRelative() throws {
        let base: UInt64 = 0x7000_0000
        var assembler = X86_64Assembler()
        let data = assembler.makeLabel()
        assembler.mov(.rax, .label(data))
        assembler.alu(.add, .label(data, 4), immediate: 1, .dword)
        assembler.mov(.label(data), immediate: 0x11223344, .dword)
        assembler.inc(.address(0x7100_0000), isLocked: true)
        assembler.lea(.rdi, .label(data))
        assembler.jmp(.address(0x7100_0008))
        assembler.bind(data)
        let start = UInt64(try #require(assembler.offset(of: data)))
        let code = try assembler.finish(at: base)
        var targets: [UInt64] = []
        // Each instruction's end plus what Capstone shows must be the target.
        var offset = 0
        for size in [7, 7, 10, 8, 7, 6] {
            let line = try #require(disassemble(Array(code[offset..<offset + size])).first)
            let digits = try #require(line.split(separator: "rip + ").last?.prefix { $0 != "]" })
            let displacement = digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
            offset += size
            targets.append(base + UInt64(offset) + (try #require(displacement)))
        }
        #expect(offset == code.count)
        #expect(
            targets == [
                base + start, base + start + 4, base + start, 0x7100_0000, base + start, 0x7100_0008,
            ])
    }

    @Test("calls and jumps reach fixed addresses up to 2 GiB away, no farther")
    func reach() throws {
        let lines = try assembled(at: 0x4000_0000_0000) {
            $0.call(address: 0x4000_1000_0000)
            $0.jmp(address: 0x3fff_f000_0000)
            $0.jcc(.notEqual, address: 0x4000_0000_0000)
        }
        #expect(lines == ["call 0x400010000000", "jmp 0x3ffff0000000", "jne 0x400000000000"])

        var assembler = X86_64Assembler()
        assembler.call(address: 0x1_0000_0000)
        #expect(throws: MachineCodeError.outOfReach(from: 5, to: 0x1_0000_0000, bits: 32)) {
            try assembler.finish(at: 0)
        }
        #expect(throws: MachineCodeError.outOfReach(from: 0x8000_0004, to: 0x1_0000_0004, bits: 32)) {
            var last = X86_64Assembler()
            last.call(address: 0x1_0000_0004)
            return try last.finish(at: 0x7fff_ffff)
        }
        #expect(try assembler.finish(at: 0xffff_0000).count == 5)
    }

    @Test("a short jump that does not reach and a label without a place are errors")
    func errors() throws {
        var far = X86_64Assembler()
        let label = far.makeLabel()
        far.jmp(label, .short)
        far.nop(127)
        far.bind(label)
        #expect(try far.finish(at: 0).count == 129)
        far = X86_64Assembler()
        let farther = far.makeLabel()
        far.jmp(farther, .short)
        far.nop(128)
        far.bind(farther)
        #expect(throws: MachineCodeError.outOfReach(from: 2, to: 130, bits: 8)) { try far.finish(at: 0) }

        var open = X86_64Assembler()
        let nowhere = open.makeLabel()
        open.jmp(nowhere)
        #expect(open.offset(of: nowhere) == nil)
        #expect(throws: MachineCodeError.unboundLabel(instructionOffset: 1)) { try open.finish(at: 0) }
    }

    @Test("the address of a label, in code and in data")
    func addresses() throws {
        var assembler = X86_64Assembler()
        let label = assembler.makeLabel()
        assembler.mov64(.r11, addressOf: label)
        assembler.bind(label)
        assembler.emitAddress(of: label)
        let code = try assembler.finish(at: 0x1234_5678_9000)
        #expect(disassemble(Array(code[..<10])) == ["movabs r11, 0x12345678900a"])
        #expect(Array(code[10...]) == [0x0a, 0x90, 0x78, 0x56, 0x34, 0x12, 0, 0])
    }

    @Test("relaxed code jumps to the same places, and no long jump stays that could be short")
    func relaxation() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            // Each block starts with its number in a register; so a jump's target can be read off.
            let blocks = Int.random(in: 2...60, using: &generator)
            let targets = (0..<blocks).map { _ in Int.random(in: 0..<blocks, using: &generator) }
            let conditional = (0..<blocks).map { _ in Bool.random(using: &generator) }
            let fillers = (0..<blocks).map { _ in Int.random(in: 0...30, using: &generator) }
            var assembler = X86_64Assembler()
            let labels = (0..<blocks).map { _ in assembler.makeLabel() }
            let data = assembler.makeLabel()
            for block in 0..<blocks {
                assembler.bind(labels[block])
                assembler.nop(fillers[block])
                if conditional[block] {
                    assembler.jcc(.less, labels[targets[block]], .automatic)
                } else {
                    assembler.jmp(labels[targets[block]], .automatic)
                }
                if block % 7 == 0 { assembler.lea(.rax, .label(data)) }
            }
            assembler.bind(data)
            let long = assembler.offset
            assembler.relaxJumps()
            #expect(assembler.offset <= long)
            let code = try assembler.finish(at: 0)
            #expect(code.count == assembler.offset)
            let places = try labels.map { try #require(assembler.offset(of: $0)) }
            for block in 0..<blocks {
                let start = places[block] + fillers[block]
                let isLong = code[start] == 0xE9 || code[start] == 0x0F
                let size = isLong ? (conditional[block] ? 6 : 5) : 2
                let line = disassemble(Array(code[start..<start + size]), at: UInt64(start))
                let place = places[targets[block]]
                let goal = place < 10 ? "\(place)" : "0x" + String(place, radix: 16)
                #expect(line == ["\(conditional[block] ? "jl" : "jmp") \(goal)"])
                let distance = place - (start + size)
                if isLong { #expect(Int8(exactly: distance) == nil) }
                if block % 7 == 0 {
                    let load = start + size
                    let expected = assembler.offset(of: data).map { $0 - load - 7 } ?? -1
                    let text = expected < 10 ? "\(expected)" : "0x" + String(expected, radix: 16)
                    let line = disassemble(Array(code[load..<load + 7]))
                    #expect(line == [expected == 0 ? "lea rax, [rip]" : "lea rax, [rip + \(text)]"])
                }
            }
        }
    }
}
