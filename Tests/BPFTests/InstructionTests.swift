import BPF
import TestSupport
import Testing

@Suite("Instructions")
struct InstructionTests {
    @Test("every operation encodes to slots that decode to it again")
    func operationsRoundTrip() throws {
        var generator = SeededGenerator(state: 1)
        for kind in 0..<130_000 {
            let operation = generator.operation(kind: kind)
            let slots = operation.instructions
            #expect(try slots[0].operation(followedBy: slots.count > 1 ? slots[1] : nil) == operation)
        }
    }

    @Test("random slots never crash the decoder, and what it accepts encodes back to the same bits")
    func randomSlots() {
        var generator = SeededGenerator(state: 2)
        var accepted = 0
        for _ in 0..<500_000 {
            var encoded = generator.next()
            // Most random fields are reserved somewhere; clear some to get through.
            if generator.chance() { encoded &= 0x0000_0000_ffff_ffff }
            if generator.chance() { encoded &= 0xffff_ffff_0000_ffff }
            if generator.chance() { encoded &= 0xffff_ffff_ffff_0fff }
            let slot = Instruction(encoded: encoded)
            let next = Instruction(encoded: generator.next() & 0xffff_ffff_0000_0000)
            guard let operation = try? slot.operation(followedBy: next) else { continue }
            accepted += 1
            #expect(operation.instructions.first == slot)
        }
        #expect(accepted > 50_000)
    }

    @Test("exactly the opcodes of RFC 9669 exist, and may_goto")
    func opcodes() {
        var valid: Set<UInt8> = []
        for opcode in UInt8.min...UInt8.max {
            // Some setting of the fields that instructions reserve or select by must be accepted.
            for immediate: Int32 in [0, 16] {
                for next in [nil, Instruction(opcode: Opcode(rawValue: 0))] {
                    let slot = Instruction(opcode: Opcode(rawValue: opcode), immediate: immediate)
                    if (try? slot.operation(followedBy: next)) != nil { valid.insert(opcode) }
                }
            }
        }
        var expected: Set<UInt8> = [0x18, 0x05, 0x06, 0xe5, 0x85, 0x95, 0x84, 0x87, 0xc3, 0xdb, 0xd4, 0xdc, 0xd7]
        // add sub mul div or and lsh rsh mod xor mov arsh, 32 and 64 bits, K and X
        for operation: UInt8 in [0, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0] {
            for low: UInt8 in [0x04, 0x0c, 0x07, 0x0f] { expected.insert(operation | low) }
        }
        for condition: UInt8 in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0] {
            for low: UInt8 in [0x05, 0x0d, 0x06, 0x0e] { expected.insert(condition | low) }
        }
        for size: UInt8 in [0x00, 0x08, 0x10, 0x18] {
            for low: UInt8 in [0x61, 0x62, 0x63] { expected.insert(size | low) }
            if size != 0x18 { expected.insert(size | 0x81) }
        }
        #expect(valid == expected)
    }

    @Test("reserved fields, address space casts, percpu moves, packet access, callx are refused")
    func refused() {
        let cases: [(UInt64, InstructionFault)] = [
            (0x0000_0001_0001_00b7, .reservedField("offset")),  // r0 = 1 with offset 1
            (0x0000_0000_0001_12bf, .reservedField("offset")),  // addr_space_cast
            (0x0000_0000_ffff_12bf, .reservedField("offset")),  // mov of a per-CPU address
            (0x0000_0000_0001_10e5, .unknownPseudoSource(.r1)),  // may_goto of another kind
            (0x0000_0000_0000_008d, .unknownOpcode(Opcode(rawValue: 0x8d))),  // callx
            (0x0000_0000_0000_0020, .packetAccess),
            (0x0000_0000_0000_0050, .packetAccess),
            (0x0000_0001_0000_0095, .reservedField("immediate")),
            (0x0000_0000_0000_0195, .reservedField("destination register")),
            (0x0000_0000_0000_1095, .reservedField("source register")),
            (0x0000_0000_0000_0b07, .noSuchRegister(Register(rawValue: 11))),
            (0x0000_0000_0000_f00f, .noSuchRegister(Register(rawValue: 15))),
            (0x0000_0000_0000_0a07, .writesFramePointer),
            (0x0000_0001_0000_a1db, .writesFramePointer),  // r10 = fetch_add
            (0x0000_0002_0000_21db, .unknownAtomic(2)),
            (0x0000_0100_0000_21db, .unknownAtomic(0x100)),  // load-acquire
            (0x0000_0008_0000_01d4, .reservedField("immediate")),
            (0x0000_0000_0020_21bc, .reservedField("offset")),  // 32 from 32 bits
            (0x0000_0000_0000_7118, .unknownPseudoSource(Register(rawValue: 7))),
            (0x0000_0000_0000_3085, .unknownPseudoSource(.r3)),
        ]
        for (encoded, fault) in cases {
            let slot = Instruction(encoded: encoded)
            let next = Instruction(opcode: Opcode(rawValue: 0))
            #expect(throws: fault, "0x\(String(encoded, radix: 16))") { try slot.operation(followedBy: next) }
        }
    }

    @Test("bytes are little-endian, and a program is a multiple of eight of them")
    func bytes() {
        let slot = Instruction.store(.u32, -2, to: .r10, offset: -8)
        #expect(slot.bytes == [0x62, 0x0a, 0xf8, 0xff, 0xfe, 0xff, 0xff, 0xff])
        #expect(Instruction(bytes: slot.bytes) == slot)
        #expect(Instruction(bytes: [1, 2, 3]) == nil)
        #expect(Instruction.program(bytes: slot.bytes + Instruction.exit.bytes) == [slot, .exit])
        #expect(Instruction.program(bytes: [0x95]) == nil)
    }

    @Test("helpers have the kernel's numbers and names, both ways")
    func helpers() {
        #expect(Helper.allCases.map(\.rawValue) == Array(1...211))
        #expect(Helper.mapLookupElem.name == "bpf_map_lookup_elem")
        #expect(Helper(name: "bpf_loop")?.rawValue == 181)
        #expect(Helper(name: "bpf_get_attach_cookie")?.rawValue == 174)
        #expect(Helper(name: "bpf_cgrp_storage_delete")?.rawValue == 211)
        #expect(Helper(name: "bpf_nothing") == nil)
        for helper in Helper.allCases { #expect(Helper(name: helper.name) == helper) }
    }
}
