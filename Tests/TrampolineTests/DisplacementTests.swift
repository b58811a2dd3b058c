import MachineCode
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
/// Entry shapes as bytes: what is moved, and what is refused.
@Suite struct Displacement {
    static let base: UInt64 = 0x40_0000
    static let far: UInt64 = 0x50_0000

    func displace(
        _ bytes: [UInt8], following: [UInt8] = [], enteredAt: [UInt64] = [], neighbours: [CodeRange] = [],
        at: UInt64 = far
    ) throws(DisplacementError) -> DisplacedEntry {
        try X86_64.displace(
            DisplacementRequest(
                function: CodeRange(address: Self.base, bytes: bytes), following: following,
                enteredAt: enteredAt, neighbours: neighbours), at: at)
    }

    func rel32(_ target: UInt64, _ end: UInt64) -> [UInt8] {
        let value = UInt32(truncatingIfNeeded: target &- end)
        return (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    let tail: [UInt8] = [0x31, 0xC0, 0x31, 0xC0, 0xC3]  // xor eax, eax; xor eax, eax; ret

    @Test("plain instructions are copied, with a jump to the rest")
    func plain() throws {
        // push rbp; mov rbp, rsp; push rbx; …
        let entry = try displace([0x55, 0x48, 0x89, 0xE5, 0x53] + tail)
        #expect(entry.code == [0x55, 0x48, 0x89, 0xE5, 0x53, 0xE9] + rel32(Self.base + 5, Self.far + 10))
        #expect(entry.displacedCount == 5 && entry.patch.address == Self.base && entry.bodyEntry == Self.far)
        #expect(entry.patch.original == [0x55, 0x48, 0x89, 0xE5, 0x53])
        #expect(entry.patch.placeWhenPatched(Self.base) == nil)
        #expect(entry.patch.placeWhenPatched(Self.base + 1) == Self.far + 1 && entry.patch.placeWhenPatched(Self.base + 4) == Self.far + 4)
        #expect(entry.patch.placeWhenPatched(Self.base + 5) == nil && entry.patch.placeWhenPatched(Self.base + 2) == nil)
        #expect(entry.patch.placeWhenRestored(Self.far) == Self.base && entry.patch.placeWhenRestored(Self.far + 5) == Self.base + 5)
        #expect(entry.patch.placeWhenRestored(Self.far + 2) == nil)
    }

    @Test("endbr64 stays in front of the jump")
    func endbr() throws {
        let entry = try displace([0xF3, 0x0F, 0x1E, 0xFA, 0x41, 0x57, 0x41, 0x56, 0x50] + tail)
        #expect(entry.patch.address == Self.base + 4)
        #expect(entry.patch.original == [0x41, 0x57, 0x41, 0x56, 0x50] && entry.displacedCount == 5)
        #expect(Array(entry.code.prefix(5)) == [0x41, 0x57, 0x41, 0x56, 0x50])
        let function = CodeRange(address: Self.base, bytes: [0xF3, 0x0F, 0x1E, 0xFA, 0x50])
        #expect(X86_64.patchedInterior(of: function) == Self.base + 5..<Self.base + 9)
    }

    @Test("compilers' NOPs need no moved code: the body is entered behind them")
    func nops() throws {
        for (nops, size) in [
            ([0x0F, 0x1F, 0x44, 0x00, 0x00], 5), ([0x90, 0x90, 0x90, 0x90, 0x90], 5),
            ([0x66, 0x90, 0x66, 0x90, 0x66, 0x90], 6), ([0x66, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0], 9),
            ([0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0], 10),
        ] as [([UInt8], Int)] {
            for prefix: [UInt8] in [[], [0xF3, 0x0F, 0x1E, 0xFA]] {
                let entry = try displace(prefix + nops + tail)
                #expect(entry.code.isEmpty && entry.unwind == nil)
                #expect(entry.bodyEntry == Self.base + UInt64(prefix.count + size))
                #expect(entry.patch.places.allSatisfy { $0.moved == entry.bodyEntry })
            }
        }
        // pause and rdsspq look like NOPs.
        let entry = try displace([0xF3, 0x90, 0xF3, 0x48, 0x0F, 0x1E, 0xC8] + tail)
        #expect(Array(entry.code.prefix(7)) == [0xF3, 0x90, 0xF3, 0x48, 0x0F, 0x1E, 0xC8])
    }

    @Test("NOPs among other instructions are dropped")
    func mixedNops() throws {
        let entry = try displace([0x50, 0x66, 0x90, 0x53, 0x90] + tail)
        #expect(Array(entry.code.prefix(3)) == [0x50, 0x53, 0xE9])
        #expect(entry.patch.placeWhenPatched(Self.base + 1) == Self.far + 1 && entry.patch.placeWhenPatched(Self.base + 3) == Self.far + 1)
    }

    @Test("RIP-relative operands still name the same memory")
    func ripRelative() throws {
        let target: UInt64 = 0x41_2345
        // (instruction before the field, bytes behind it)
        let shapes: [([UInt8], [UInt8])] = [
            ([0x48, 0x8B, 0x05], []),  // mov rax, [rip+…]
            ([0x48, 0x8D, 0x3D], []),  // lea rdi, [rip+…]
            ([0x80, 0x3D], [0x05]),  // cmp byte [rip+…], 5
            ([0xC7, 0x05], [0x05, 0, 0, 0]),  // mov dword [rip+…], 5
            ([0x48, 0x81, 0x3D], [0x05, 0, 0, 0x05]),  // cmp qword [rip+…], imm32
            ([0x66, 0x0F, 0x6F, 0x05], []),  // movdqa xmm0, [rip+…]
            ([0xC5, 0xFA, 0x6F, 0x05], []),  // vmovdqu xmm0, [rip+…]
            ([0xC4, 0xE3, 0x79, 0x0F, 0x05], [0x08]),  // vpalignr xmm0, xmm0, [rip+…], 8
            ([0x62, 0xF1, 0xFE, 0x08, 0x6F, 0x05], []),  // vmovdqu64 xmm0, [rip+…]
            ([0xF0, 0x48, 0x0F, 0xB1, 0x0D], []),  // lock cmpxchg [rip+…], rcx
            ([0x0F, 0x38, 0xF0, 0x05], []),  // movbe eax, [rip+…]
            ([0xF3, 0x0F, 0x10, 0x05], []),  // movss xmm0, [rip+…]
            ([0x64, 0x48, 0x8B, 0x05], []),  // mov rax, fs:[rip+…]
        ]
        for (head, trailing) in shapes {
            let size = head.count + 4 + trailing.count
            let bytes = head + rel32(target, Self.base + UInt64(size)) + trailing
            let entry = try displace(bytes + tail)
            #expect(
                Array(entry.code.prefix(size)) == head + rel32(target, Self.far + UInt64(size)) + trailing,
                "\(head)")
            // Out of reach from there.
            #expect(throws: DisplacementError.self) { try displace(bytes + tail, at: 0x7000_0000_0000) }
        }
        // jmp [rip+…] ends the entry: no jump to the rest.
        let jump = try displace([0xFF, 0x25] + rel32(target, Self.base + 6) + tail)
        #expect(jump.code == [0xFF, 0x25] + rel32(target, Self.far + 6))
        let notrack = try displace([0xF2, 0xFF, 0x25] + rel32(target, Self.base + 7) + tail)
        #expect(notrack.code == [0xF2, 0xFF, 0x25] + rel32(target, Self.far + 7))
    }

    @Test("branches are widened and keep their targets")
    func branches() throws {
        let target = Self.base + 0x32
        let rest = [UInt8](repeating: 0x90, count: 0x40) + tail
        // test edi, edi; je +; (a byte of the rest)
        var entry = try displace([0x85, 0xFF, 0x74, 0x2E, 0x50] + rest)
        #expect(
            entry.code == [0x85, 0xFF, 0x0F, 0x84] + rel32(target, Self.far + 8) + [0x50, 0xE9]
                + rel32(Self.base + 5, Self.far + 14))
        entry = try displace([0xEB, 0x30, 0x90, 0x90, 0x90] + rest)
        #expect(Array(entry.code.prefix(5)) == [0xE9] + rel32(target, Self.far + 5))
        entry = try displace([0xE9] + rel32(0x48_0000, Self.base + 5) + rest)
        #expect(entry.code == [0xE9] + rel32(0x48_0000, Self.far + 5))
        entry = try displace([0x0F, 0x8F] + rel32(0x48_0000, Self.base + 6) + rest)
        #expect(Array(entry.code.prefix(6)) == [0x0F, 0x8F] + rel32(0x48_0000, Self.far + 6))
        // A call returns to where it would have: push, the upper half by mov, jmp.
        func pushed(_ address: UInt64) -> [UInt8] {
            let bytes = (0..<8).map { UInt8(truncatingIfNeeded: address >> (8 * UInt64($0))) }
            return [0x68] + bytes[..<4] + [0xC7, 0x44, 0x24, 0x04] + bytes[4...]
        }
        entry = try displace([0xE8] + rel32(0x48_0000, Self.base + 5) + rest)
        #expect(entry.code == pushed(Self.base + 5) + [0xE9] + rel32(0x48_0000, Self.far + 18))
        // call *rax; call *8(rbx); through the stack pointer there is no way.
        entry = try displace([0x50, 0x50, 0x50, 0xFF, 0xD0] + rest)
        #expect(entry.code == [0x50, 0x50, 0x50] + pushed(Self.base + 5) + [0xFF, 0xE0])
        entry = try displace([0x50, 0x50, 0xFF, 0x53, 0x08] + rest)
        #expect(entry.code == [0x50, 0x50] + pushed(Self.base + 5) + [0xFF, 0x63, 0x08])
        #expect(throws: DisplacementError.self) { try displace([0x50, 0xFF, 0x54, 0x24, 0x08] + rest) }
        // A call of padding prefixes, as of __tls_get_addr.
        entry = try displace([0x66, 0x66, 0x48, 0xE8] + rel32(0x48_0000, Self.base + 8) + rest)
        #expect(entry.code == pushed(Self.base + 8) + [0xE9] + rel32(0x48_0000, Self.far + 18))
        // jrcxz and loop have no long form.
        entry = try displace([0xE3, 0x30, 0x50, 0x50, 0x50] + rest)
        #expect(Array(entry.code.prefix(9)) == [0xE3, 0x02, 0xEB, 0x05, 0xE9] + rel32(target, Self.far + 9))
        #expect(entry.patch.placeWhenRestored(Self.far + 4) == target && entry.patch.placeWhenRestored(Self.far + 2) == Self.base + 2)
        entry = try displace([0x67, 0xE3, 0x2F, 0x50, 0x50] + rest)
        #expect(Array(entry.code.prefix(10)) == [0x67, 0xE3, 0x02, 0xEB, 0x05, 0xE9] + rel32(target, Self.far + 10))
    }

    @Test("a short function is displaced whole when padding follows")
    func short() throws {
        let body: [UInt8] = [0x31, 0xC0, 0xC3]
        for padding: [UInt8] in [[0x90, 0x90], [0xCC, 0xCC], [0x0F, 0x1F, 0x00], [0x66, 0x90]] {
            let entry = try displace(body, following: padding)
            #expect(entry.code == body && entry.patch.original.elementsEqual((body + padding).prefix(5)))
        }
        #expect(throws: DisplacementError.tooShort(size: 3)) { try displace(body) }
        #expect(throws: DisplacementError.tooShort(size: 3)) { try displace(body, following: [0x90]) }
        #expect(throws: DisplacementError.tooShort(size: 3)) { try displace(body, following: [0x31, 0xC0]) }
        #expect(throws: DisplacementError.tooShort(size: 3)) { try displace(body, following: [0, 0, 0, 0]) }
        #expect(throws: DisplacementError.empty) { try displace([]) }
        // One that falls through its padding goes on behind the jump; one that falls into a trap is refused.
        let falling = try displace([0x31, 0xC0], following: [0x66, 0x90, 0x66, 0x90, 0x50])
        #expect(falling.code == [0x31, 0xC0, 0xE9] + rel32(Self.base + 6, Self.far + 7))
        #expect(throws: DisplacementError.immovable(at: Self.base + 2, name: "int3")) {
            try displace([0x31, 0xC0], following: [0xCC, 0xCC, 0xCC])
        }
        // Nothing reaches what is behind a jump.
        let jumping = try displace([0xEB, 0x30, 0xCC, 0xCC, 0xCC] + [UInt8](repeating: 0x90, count: 0x40))
        #expect(jumping.code == [0xE9] + rel32(Self.base + 0x32, Self.far + 5))
        let endbr = try displace([0xF3, 0x0F, 0x1E, 0xFA, 0xC3], following: [0x66, 0x90, 0x66, 0x90])
        #expect(endbr.code == [0xC3])
    }

    @Test("branches into the displaced bytes, and loops to the entry, are refused")
    func intoEntry() {
        let five: [UInt8] = [0x55, 0x48, 0x89, 0xE5, 0x53]
        func refusal(_ bytes: [UInt8], neighbours: [CodeRange] = [], enteredAt: [UInt64] = []) -> DisplacementError? {
            do throws(DisplacementError) {
                _ = try displace(bytes, enteredAt: enteredAt, neighbours: neighbours)
                return nil
            } catch { return error }
        }
        let base = Self.base
        #expect(refusal(five + [0xEB, 0xFA] + tail) == .branchIntoEntry(from: base + 5, to: base + 1))
        #expect(refusal(five + [0x75, 0xFD] + tail) == .branchIntoEntry(from: base + 5, to: base + 4))
        #expect(refusal(five + [0x75, 0xFE] + tail) == nil)
        #expect(refusal(five + [0xE2, 0xFA] + tail) == .branchIntoEntry(from: base + 5, to: base + 1))
        #expect(refusal(five + [0xE9] + rel32(base + 1, base + 10)) == .branchIntoEntry(from: base + 5, to: base + 1))
        #expect(refusal(five + [0x74, 0xF9] + tail) == .loopAtEntry(from: base + 5))
        #expect(refusal(five + [0xE9] + rel32(base, base + 10)) == .loopAtEntry(from: base + 5))
        #expect(refusal([0xF3, 0x0F, 0x1E, 0xFA] + five + [0x74, 0xF9] + tail) == .loopAtEntry(from: base + 9))
        // A recursive call is no loop.
        #expect(refusal(five + [0xE8] + rel32(base, base + 10) + tail) == nil)
        // Far behind: found without knowing where instructions start.
        let long = five + [UInt8](repeating: 0x90, count: 1000)
        #expect(
            refusal(long + [0x0F, 0x85] + rel32(base + 1, base + 1011)) == .branchIntoEntry(from: base + 1005, to: base + 1))
        #expect(refusal(long + [0xE9] + rel32(base, base + 1010)) == .loopAtEntry(from: base + 1005))
        // Inside the displaced instructions.
        #expect(refusal([0x31, 0xC0, 0x75, 0xFE, 0x53] + tail) == .branchIntoEntry(from: base + 2, to: base + 2))
        // From outside.
        #expect(refusal(five + tail, enteredAt: [base, base + 5]) == nil)
        #expect(refusal(five + tail, enteredAt: [base + 3]) == .branchIntoEntry(from: nil, to: base + 3))
        let before = CodeRange(address: base - 16, bytes: [0x90, 0x90, 0xEB, 0x0D] + [UInt8](repeating: 0x90, count: 12))
        #expect(refusal(five + tail, neighbours: [before]) == .branchIntoEntry(from: base - 14, to: base + 1))
        let harmless = CodeRange(address: base - 16, bytes: [0x90, 0x90, 0xEB, 0x0C] + [UInt8](repeating: 0x90, count: 12))
        #expect(refusal(five + tail, neighbours: [harmless]) == nil)
        let after = CodeRange(address: base + 32, bytes: [0x90, 0x74, 0xE0])
        #expect(refusal(five + tail, neighbours: [after]) == .branchIntoEntry(from: base + 33, to: base + 3))
        #expect(refusal(five + tail, neighbours: [CodeRange(address: 0, bytes: [0x90]), CodeRange(address: .max, bytes: [0xEB, 0x00])]) == nil)
    }

    @Test(
        "instructions that cannot move are refused",
        arguments: [
            [0xCC, 0x90, 0x90, 0x90, 0x90], [0xF4, 0x90, 0x90, 0x90, 0x90], [0x0F, 0x0B, 0x90, 0x90, 0x90],
            [0xCD, 0x80, 0x90, 0x90, 0x90], [0x50, 0x0F, 0x0B, 0x90, 0x90],
            [0xC7, 0xF8, 0, 0, 0, 0],  // xbegin
            [0x67, 0x8B, 0x05, 0, 0, 0, 0],  // mov eax, [eip]
        ] as [[UInt8]])
    func immovable(bytes: [UInt8]) {
        #expect(throws: DisplacementError.self) { try displace(bytes + tail) }
        do throws(DisplacementError) {
            _ = try displace(bytes + tail)
        } catch {
            #expect(error.reason == "an instruction that cannot move")
        }
    }

    @Test("calls whose return address would be overwritten or read are refused")
    func calls() {
        #expect(throws: DisplacementError.callOfNextInstruction(at: Self.base)) {
            try displace([0xE8, 0, 0, 0, 0, 0x58] + tail)
        }
        #expect(throws: DisplacementError.callAmongDisplaced(at: Self.base)) {
            try displace([0xFF, 0xD0, 0x90, 0x90, 0x90] + tail)
        }
        #expect(throws: Never.self) { try displace([0x50, 0x50, 0x50, 0xFF, 0xD0] + tail) }
        #expect(throws: Never.self) { try displace([0x50, 0xE8, 0, 1, 0, 0] + tail) }
        #expect(throws: DisplacementError.undecodable(at: Self.base)) { try displace([0x06, 0x06, 0x06, 0x06, 0x06]) }
        // An instruction that the symbol cuts off.
        #expect(throws: DisplacementError.undecodable(at: Self.base + 1)) { try displace([0x50, 0x48, 0x81, 0xEC]) }
    }

    @Test("no bytes at all make it crash")
    func fuzz() {
        var generator = SystemRandomNumberGenerator()
        var moved = 0
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let following = (0..<Int.random(in: 0...4, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            for base: UInt64 in [0x40_0000, 0, UInt64.max - 3] {
                let entry = try? X86_64.displace(
                    DisplacementRequest(function: CodeRange(address: base, bytes: bytes), following: following),
                    at: Self.far)
                if let entry {
                    moved += 1
                    #expect(entry.displacedCount > 0 && entry.patch.original.count == 5)
                }
            }
        }
        #expect(moved > 1000)
    }

    @Test("a scan of a module's text finds the long branches into displaced bytes")
    func scan() {
        var text = [UInt8](repeating: 0x90, count: 4096)
        func put(_ bytes: [UInt8], at offset: Int) { text.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
        let base = Self.base
        put([0xE9] + rel32(base + 0x101, base + 0x805), at: 0x800)  // into the first
        put([0x0F, 0x84] + rel32(base + 0x204, base + 0x906), at: 0x900)  // into the second
        put([0xE8] + rel32(base + 0x300, base + 0xA05), at: 0xA00)  // to the entry of the third
        put([0xE9] + rel32(base + 0x405, base + 0xFFB + 5), at: 0xFFB)  // behind the fourth, at the very end
        let entries: [UInt64] = [0x100, 0x200, 0x300, 0x400, 0x500]
        let interiors = entries.map { entry -> Range<UInt64> in base + entry + 1..<base + entry + 5 }
        let hits = text.withUnsafeBytes { X86_64.branches(in: $0, base: base, into: interiors) }
        #expect(hits.map(\.interior) == [0, 1] && hits.map(\.branch.address) == [base + 0x800, base + 0x900])
        // The same bytes inside an instruction's constant are none: mov rax, 0x…E9….
        put([0x48, 0xB8], at: 0x7FE)
        let real = text.withUnsafeBytes { X86_64.branches(in: $0, base: base, into: interiors) }
        #expect(real.map(\.interior) == [1])
        #expect(text.withUnsafeBytes { X86_64.branches(in: $0, base: base, into: []) }.isEmpty)
        #expect(X86_64.branches(in: UnsafeRawBufferPointer(start: nil, count: 0), base: 0, into: interiors).isEmpty)
    }
}
#endif
