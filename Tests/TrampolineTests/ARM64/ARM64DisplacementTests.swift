import MachineCode
import Testing
import Trampoline

/// Entries of arm64 functions, as clang's assembler writes them: what is moved, where to, and what is refused.
@Suite("arm64 entries, moved")
struct ARM64DisplacementTests {
    private static let base: UInt64 = 0x40_0000
    private static let far: UInt64 = 0x250_0000

    private func displace(
        _ lines: String..., enteredAt: [UInt64] = [], at address: UInt64 = far
    ) throws -> DisplacedEntry { try displace(lines, enteredAt: enteredAt, at: address) }

    private func displace(_ lines: [String], enteredAt: [UInt64] = [], at address: UInt64 = far) throws -> DisplacedEntry {
        let function = CodeRange(address: Self.base, bytes: ARM64Text.bytes(try ARM64Text.words(lines)))
        return try ARM64.displace(DisplacementRequest(function: function, enteredAt: enteredAt), at: address)
    }

    /// Moved code is what this text is at the same place.
    private func expect(
        _ entry: DisplacedEntry, is lines: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = hex(ARM64Text.bytes(try ARM64Text.words(lines)))
        #expect(hex(entry.code) == expected, "\(lines)", sourceLocation: sourceLocation)
    }

    private func hex(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 4).map { offset in
            String((0..<4).reversed().reduce(0) { $0 << 8 | UInt32(bytes[offset + $1]) }, radix: 16)
        }.joined(separator: " ")
    }

    /// `b` from an offset in the moved code to one in the function.
    private func jump(from: UInt64, to: UInt64) -> String { "b .+(\(Int64(bitPattern: Self.base &+ to &- Self.far &- from)))" }

    private func refusal(_ lines: String..., enteredAt: [UInt64] = [], at address: UInt64 = far) throws -> DisplacementError? {
        do {
            _ = try displace(lines, enteredAt: enteredAt, at: address)
            return nil
        } catch let error as DisplacementError {
            return error
        }
    }

    @Test("a plain instruction is copied, with a jump to the rest")
    func plain() throws {
        for first in [
            "stp x29, x30, [sp, #-32]!", "sub sp, sp, #48", "mov x9, x30", "ldr x0, [x0, #8]", "ldxr x0, [x1]", "cmp x0, #0",
            "fmov d0, #1.0", "mrs x0, tpidr_el0", "svc #0", "ldaddal x0, x1, [x2]", "irg sp, sp", "whilelo p0.s, xzr, x0",
        ] {
            let entry = try displace(first, "mov x0, #0", "ret")
            try expect(entry, is: first, jump(from: 4, to: 4))
            #expect(entry.patch.address == Self.base && entry.patch.overwritten == Self.base..<Self.base + 4)
            #expect(entry.codeAddress == Self.far && entry.bodyEntry == Self.far && entry.displacedCount == 4)
            #expect(try Array(entry.patch.original) == ARM64Text.assemble([first]))
            // Nobody can stand inside one instruction, and at it one may go on.
            #expect((Self.base..<Self.base + 5).allSatisfy { entry.patch.placeWhenPatched($0) == nil })
            #expect(entry.patch.placeWhenRestored(Self.far) == Self.base)
            #expect(entry.patch.placeWhenRestored(Self.far + 4) == Self.base + 4)
            #expect(entry.patch.placeWhenRestored(Self.far + 8) == nil && entry.patch.betweenJumps == nil)
        }
    }

    @Test("a landing pad stays in front of the jump")
    func landingPads() throws {
        for pad in ["bti c", "bti j", "bti jc", "bti"] {
            let entry = try displace(pad, "stp x29, x30, [sp, #-16]!", "ret")
            try expect(entry, is: "stp x29, x30, [sp, #-16]!", jump(from: 4, to: 8))
            #expect(entry.patch.function == Self.base && entry.patch.address == Self.base + 4)
            #expect(entry.patch.placeWhenRestored(Self.far) == Self.base + 4)
        }
        // Signed behind it, which the moved entry does: as it comes, the address is not signed yet.
        let entry = try displace("bti c", "paciasp", "stp x29, x30, [sp, #-16]!", "ret")
        try expect(entry, is: "paciasp", jump(from: 4, to: 8))
    }

    @Test("a pad that signs the return address is done again by the moved entry", arguments: ["paciasp", "pacibsp"])
    func signing(_ pad: String) throws {
        let entry = try displace(pad, "stp x29, x30, [sp, #-16]!", "ret")
        try expect(entry, is: pad, "stp x29, x30, [sp, #-16]!", jump(from: 8, to: 8))
        #expect(entry.patch.address == Self.base + 4)
        #expect(entry.patch.placeWhenRestored(Self.far) == Self.base)
        #expect(entry.patch.placeWhenRestored(Self.far + 4) == Self.base + 4)
        #expect(entry.patch.placeWhenRestored(Self.far + 8) == Self.base + 8)
        // Also in front of what need not be moved.
        try expect(try displace(pad, "nop", "ret"), is: pad, "nop", jump(from: 8, to: 8))
        // Who comes from elsewhere, with an address that is signed otherwise, or not at all, cannot be told.
        #expect(try refusal(pad, "mov x0, #1", "ret", enteredAt: [Self.base + 4]) == .branchIntoEntry(from: nil, to: Self.base + 4))
        #expect(try refusal("bti c", "mov x0, #1", "ret", enteredAt: [Self.base + 4]) == nil)
    }

    @Test("a NOP need not be moved: the body is entered behind it")
    func nops() throws {
        for (lines, body) in [(["nop", "ret"], UInt64(4)), (["bti c", "nop", "nop", "ret"], 8)] {
            let entry = try displace(lines)
            #expect(entry.code.isEmpty && entry.unwind == nil && entry.bodyEntry == Self.base + body)
        }
    }

    @Test("ret alone, and b alone, are enough of a function")
    func shortest() throws {
        for last in ["ret", "retaa", "retab", "br x3", "braa x3, sp", "ret x5"] {
            try expect(try displace(last), is: last)
            try expect(try displace("bti c", last), is: last)
        }
        try expect(try displace("b .+0x1000"), is: jump(from: 0, to: 0x1000))
        #expect(try refusal("bti c") == .tooShort(size: 4))
        let bytes = CodeRange(address: Self.base, bytes: [0xc0, 0x03, 0x5f])
        #expect(throws: DisplacementError.tooShort(size: 3)) { try ARM64.displace(DisplacementRequest(function: bytes), at: Self.far) }
    }

    @Test("conditional branches jump over a long jump, and keep condition, register and bit")
    func conditions() throws {
        for (head, target) in [
            ("b.eq", 0x8_0000), ("b.le", 0x40), ("b.al", 0x80), ("cbz x3,", -0x8_0000), ("cbnz w17,", 0x4000), ("tbz x9, #63,", 0x7ff0),
            ("tbnz w9, #3,", -0x8000),
        ] {
            let entry = try displace("\(head) .+(\(target))", "ret")
            try expect(entry, is: "\(head) .+8", jump(from: 4, to: 4), jump(from: 8, to: UInt64(bitPattern: Int64(target))))
            // The condition is asked again.
            #expect(entry.patch.placeWhenRestored(Self.far + 8) == Self.base)
        }
    }

    @Test("addresses are the same from elsewhere, in as few instructions as reach")
    func addresses() throws {
        try expect(try displace("adrp x3, #0x123000", "ret"), is: "adrp x3, #(0x523000-0x2500000)", jump(from: 4, to: 4))
        try expect(try displace("adrp x3, #-0x7000", "ret"), is: "adrp x3, #(0x3f9000-0x2500000)", jump(from: 4, to: 4))
        // From the page of the patch, not of the function.
        let function = CodeRange(address: Self.base + 0xffc, bytes: ARM64Text.bytes(try ARM64Text.words("bti c", "adrp x3, #0x1000", "ret")))
        let entry = try ARM64.displace(DisplacementRequest(function: function), at: Self.far)
        #expect(try Array(entry.code[..<4]) == ARM64Text.assemble(["adrp x3, #(0x402000-0x2500000)"]))
        let far = try displace("adr x3, #0x235", "ret")
        try expect(far, is: "adrp x3, #(0x400000-0x2500000)", "add x3, x3, #0x235", jump(from: 8, to: 4))
        #expect(far.patch.placeWhenRestored(Self.far + 4) == Self.base && far.patch.placeWhenRestored(Self.far + 8) == Self.base + 4)
        let near = try displace("adr x3, #0x235", "ret", at: Self.base + 0x1000)
        #expect(try Array(near.code[..<4]) == ARM64Text.assemble(["adr x3, #(0x235-0x1000)"]))
        // Four gigabytes away, over the edge.
        #expect(try refusal("adrp x3, #-0x3ff000", "ret", at: Self.base + 0x700_0000) == nil)
        #expect(try refusal("adrp x3, #0xfffff000", "ret", at: Self.base - 0x2000) == .outOfReach(from: Self.base - 0x2000, to: 0x1_003f_f000))
        // For nothing.
        try expect(try displace("adr xzr, #0x234", "ret"), is: "nop", jump(from: 4, to: 4))
    }

    @Test("what is loaded from beside the code is the same from elsewhere")
    func literals() throws {
        let page = "adrp x3, #(0x400000-0x2500000)"
        let low = "add x3, x3, #0x234"
        for (load, moved) in [("ldr x3,", "ldr x3, [x3]"), ("ldr w3,", "ldr w3, [x3]"), ("ldrsw x3,", "ldrsw x3, [x3]")] {
            let entry = try displace("\(load) .+0x234", "ret")
            try expect(entry, is: page, low, moved, jump(from: 12, to: 4))
            #expect(entry.patch.placeWhenRestored(Self.far + 8) == Self.base && entry.patch.placeWhenRestored(Self.far + 12) == Self.base + 4)
        }
        for register in ["s3", "d3", "q3", "xzr", "wzr"] {
            let entry = try displace("ldr \(register), .+0x234", "ret")
            try expect(
                entry, is: page.replacingRegister, low.replacingRegister, "ldr \(register), [x17]", jump(from: 12, to: 4))
        }
        try expect(try displace("prfm pldl1keep, .+0x234", "ret"), is: "nop", jump(from: 4, to: 4))
    }

    @Test("a call returns to where it would have")
    func calls() throws {
        let call = try displace("bl .+0x1000", "nop")
        try expect(
            call, is: "adrp x30, #(0x400000-0x2500000)", "add x30, x30, #4", jump(from: 8, to: 0x1000))
        #expect([0, 4, 8].allSatisfy { call.patch.placeWhenRestored(Self.far + $0) == Self.base })
        // To the next instruction: how code of old finds its own address.
        try expect(try displace("bl .+4", "nop"), is: "adrp x30, #(0x400000-0x2500000)", "add x30, x30, #4", jump(from: 8, to: 4))
        // Through x16, or no guarded page could be called.
        let through = try displace("bti c", "blr x3", "nop")
        try expect(through, is: "mov x16, x3", "adrp x30, #(0x400000-0x2500000)", "add x30, x30, #8", "br x16")
        #expect([0, 4, 8, 12].allSatisfy { through.patch.placeWhenRestored(Self.far + $0) == Self.base + 4 })
        #expect(try refusal("blr x30", "nop") == .immovable(at: Self.base, name: "blr"))
    }

    @Test("what cannot be moved is refused with its reason")
    func refusals() throws {
        let here = Self.base
        #expect(try refusal("brk #1", "ret") == .immovable(at: here, name: "brk"))
        #expect(try refusal("hlt #1", "ret") == .immovable(at: here, name: "hlt"))
        #expect(try refusal("udf #1", "ret") == .immovable(at: here, name: "udf"))
        #expect(try refusal("tstart x3", "ret") == .immovable(at: here, name: "tstart"))
        #expect(try refusal("hint #39", "paciasp", "ret") == .immovable(at: here, name: "pacm"))
        #expect(try refusal("blraaz x3", "ret") == .immovable(at: here, name: "blraa"))
        #expect(try refusal("blraa x3, x4", "ret") == .immovable(at: here, name: "blraa"))
        // paciasppc, autiasppc, retaasppc; cbgt of two registers; nothing yet.
        #expect(try refusal(".inst 0xdac1a3fe", "ret") == .immovable(at: here, name: "paciasppc"))
        #expect(try refusal(".inst 0xf380005f", "ret") == .immovable(at: here, name: "autiasppc"))
        for word in ["0x5500005f", "0x74010040", "0xf5010040", "0x02345678", "0xd4000002", "0xd69f03e0"] {
            #expect(try refusal(".inst \(word)", "ret") == .undecodable(at: here), "\(word)")
        }
        #expect(try refusal("b .+(-0x7f00000)", at: Self.base + 0x200_0000) != nil)
        var request = DisplacementRequest(function: CodeRange(address: Self.base, bytes: ARM64Text.bytes([0xd65f_03c0])))
        request.isInsideAnother = true
        #expect(throws: DisplacementError.insideAnother) { try ARM64.displace(request, at: Self.far) }
        request.isInsideAnother = false
        request.flagsReadAt = 0x1234
        #expect(throws: DisplacementError.leavesFlags(at: 0x1234)) { try ARM64.displace(request, at: Self.far) }
        request.flagsReadAt = nil
        request.referredTo = Self.base
        #expect(throws: DisplacementError.readAsData(at: Self.base)) { try ARM64.displace(request, at: Self.far) }
        request.referredTo = nil
        request.function.address += 2
        #expect(throws: DisplacementError.undecodable(at: Self.base + 2)) { try ARM64.displace(request, at: Self.far) }
        request.function.address = .max - 3
        #expect(throws: DisplacementError.empty) { try ARM64.displace(request, at: Self.far) }
    }

    @Test("loops to the entry, and branches behind its landing pad, are refused")
    func loops() throws {
        #expect(try refusal("sub x0, x0, #1", "cbnz x0, .-4", "ret") == .loopAtEntry(from: Self.base + 4))
        #expect(try refusal("bti c", "sub x0, x0, #1", "cbnz x0, .-4", "ret") == .loopAtEntry(from: Self.base + 8))
        #expect(try refusal("bti c", "sub x0, x0, #1", "cbnz x0, .-8", "ret") == .loopAtEntry(from: Self.base + 8))
        #expect(try refusal("paciasp", "sub x0, x0, #1", "tbz x0, #3, .-4", "ret") == .loopAtEntry(from: Self.base + 8))
        #expect(try refusal("b.ne .", "ret") == .loopAtEntry(from: Self.base))
        #expect(
            try refusal("paciasp", "sub x0, x0, #1", "bl .-4", "ret") == .branchIntoEntry(from: Self.base + 8, to: Self.base + 4))
        // Recursion is no loop; a loop behind the replaced instruction is none to the entry.
        #expect(try refusal("sub x0, x0, #1", "bl .-4", "ret") == nil)
        #expect(try refusal("bti c", "mov x0, #9", "sub x0, x0, #1", "cbnz x0, .-4", "ret") == nil)
    }

    @Test("unwinders are told of what the moved instruction did to the stack, and of a signed return address")
    func unwinding() throws {
        // From the CIE: the return address is in x30, and the CFA is the stack pointer.
        let plain: [UInt8] = [12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 30, 0x0C, 31, 0]
        func instructions(_ lines: String...) throws -> [UInt8] {
            let unwind = try #require(try displace(lines).unwind).description
            #expect(unwind.bytes.starts(with: plain) && unwind.bytes.count % 8 == 0)
            // Behind length, distance to the CIE, address and size.
            let all = Array(unwind.bytes[(unwind.offset + 24)...])
            return Array(all[..<((all.lastIndex { $0 != 0 } ?? -1) + 1)])
        }
        // advance_loc 4; negate_ra_state; advance_loc 4; def_cfa_offset 32; offset x29, x30
        #expect(
            try instructions("paciasp", "stp x29, x30, [sp, #-32]!", "ret") == [0x44, 0x2D, 0x44, 0x0E, 32, 0x9D, 4, 0x9E, 3])
        #expect(try instructions("stp x19, x20, [sp, #-16]!", "ret") == [0x44, 0x0E, 16, 0x93, 2, 0x94, 1])
        #expect(try instructions("bti c", "str x30, [sp, #-16]!", "ret") == [0x44, 0x0E, 16, 0x9E, 2])
        #expect(try instructions("stp d8, d9, [sp, #-48]!", "ret") == [0x44, 0x0E, 48])
        #expect(try instructions("sub sp, sp, #512", "ret") == [0x44, 0x0E, 0x80, 4])
        #expect(try instructions("sub sp, sp, #2, lsl #12", "ret") == [0x44, 0x0E, 0x80, 0x40])
        // Not saved, and not moved.
        #expect(try instructions("stp x0, x1, [sp, #-16]!", "ret") == [0x44, 0x0E, 16])
        #expect(try instructions("stp x0, x1, [x2, #-16]!", "ret") == [] && instructions("mov x29, sp", "ret") == [])
        // At the jump behind `bti c; paciasp` it is signed.
        #expect(try instructions("bti c", "paciasp", "ret") == [0x44, 0x2D])
    }

    @Test("the patch is one b, within 128 MiB, and is known again")
    func patch() throws {
        for (lines, offset) in [(["mov x0, #1", "ret"], UInt64(0)), (["bti c", "ret"], 4), (["paciasp", "autiasp", "ret"], 4)] {
            let entry = try displace(lines)
            let place = entry.patch.address
            for distance: Int64 in [0x1000, -0x1000, 0x7ff_fffc, -0x800_0000] {
                let image = place &+ UInt64(bitPattern: distance)
                let bytes = try #require(ARM64.jump(from: place, to: image))
                #expect(try Array(bytes) == ARM64Text.assemble(["b .+(\(distance))"]))
                #expect(ARM64.jumpTarget(of: bytes, at: place) == image)
                var code = ARM64Text.bytes(try ARM64Text.words(lines))
                code.replaceSubrange(Int(offset)..<Int(offset) + 4, with: bytes)
                #expect(ARM64.entryTarget(at: Self.base) { Array(code.prefix($0.count)) } == image)
            }
            #expect(ARM64.jump(from: place, to: place + 0x800_0000) == nil)
            #expect(ARM64.jump(from: place, to: place &- 0x800_0004) == nil)
            #expect(ARM64.jump(from: place, to: place + 2) == nil)
            #expect(ARM64.jumpTarget(of: entry.patch.original, at: place) == nil)
            #expect(place == Self.base + offset)
        }
        let called = ShortBytes(try ARM64Text.assemble(["bl .+8"]))
        #expect(ARM64.jumpTarget(of: called, at: Self.base) == nil)
    }
}

extension String {
    fileprivate var replacingRegister: String { replacing("x3", with: "x17") }
}

/// How code of arm64 is searched.
@Suite("arm64 code, searched")
struct ARM64ScanTests {
    private static let base: UInt64 = 0x40_0000

    private func branches(_ lines: String..., from offset: UInt64 = 0) throws -> [CodeBranch] {
        let code = ARM64Text.bytes(try ARM64Text.words(lines))
        var found: [CodeBranch] = []
        code.withUnsafeBytes { ARM64.forEachBranch($0, base: Self.base, in: Int(offset)..<$0.count) { found.append($0) } }
        return found
    }

    @Test("every direct branch is found, and nothing else")
    func directBranches() throws {
        let found = try branches(
            "b .+0x1000", "bl .-0x1000", "b.ne .+8", "cbz x1, .+0x100", "tbnz w1, #4, .-4", "ret", "br x1", "blr x1", "svc #0", "nop",
            "adr x0, .+8", "ldr x0, .+8")
        let expected: [(UInt64, Int64, Bool)] = [
            (0, 0x1000, false), (4, -0x1000, true), (8, 8, false), (12, 0x100, false), (16, -4, false),
        ]
        #expect(found.map(\.address) == expected.map { Self.base + $0.0 })
        #expect(found.map { Int64(bitPattern: $0.target &- $0.address) } == expected.map(\.1))
        #expect(found.map(\.isCall) == expected.map(\.2))
        // From the middle of an instruction on: from the next one.
        #expect(try branches("b .+8", "b .+8", "b .+8", from: 5).map(\.address) == [Self.base + 8])
    }

    @Test("addresses of one and of two instructions are found, and loads from them")
    func references() throws {
        let lines = [
            "adr x0, #0x20", "ldr w0, .+0x40", "adrp x1, #0x1000", "mov x5, x6", "add x1, x1, #0x124", "adrp x2, #0x2000",
            "ldr x3, [x2, #0x28]", "add x2, x3, #8",
        ]
        let code = ARM64Text.bytes(try ARM64Text.words(lines))
        var found: [CodeReference] = []
        code.withUnsafeBytes { ARM64.forEachReference($0, base: Self.base, in: 0..<$0.count) { found.append($0) } }
        #expect(
            found == [
                CodeReference(target: 0x40_0020, isLoad: false), CodeReference(target: 0x40_0044, isLoad: true),
                CodeReference(target: 0x40_1124, isLoad: false), CodeReference(target: 0x40_2028, isLoad: true),
            ])
    }

    @Test("a caller that looks at the flags is seen")
    func flags() throws {
        for (line, reads) in [
            ("b.eq .+8", true), ("csel x0, x1, x2, ne", true), ("cset w0, eq", true), ("ccmp x0, #1, #0, eq", true), ("adc x0, x0, x1", true),
            ("sbcs x0, x0, x1", true), ("fcsel d0, d1, d2, eq", true), ("fccmp d0, d1, #0, eq", true), ("mrs x0, nzcv", true),
            ("cbz x0, .+8", false), ("add x0, x0, #1", false), ("udiv x0, x0, x1", false), ("lsl x0, x0, x1", false), ("ret", false),
            ("fadd d0, d1, d2", false), ("fcmp d0, d1", false), ("madd x0, x1, x2, x3", false), ("rbit x0, x0", false),
        ] {
            let code = ARM64Text.bytes(try ARM64Text.words(["bl .+0x100", line]))
            let call = CodeBranch(address: Self.base, target: Self.base + 0x100, isCall: true)
            #expect(code.withUnsafeBytes { ARM64.readsFlags($0, behind: call, base: Self.base) } == reads, "\(line)")
        }
    }
}
