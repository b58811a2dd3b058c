import MachineCode
import Testing
import Trampoline

/// Entries without room for a long jump, which is made in the padding before them, though other code may run through it.
@Suite("Padding before an entry")
struct PaddingTests {
    static let base: UInt64 = 0x40_0000

    /// mov %rdi, %rax; cmp $64, %rdx; jb …: the second instruction is entered by a branch.
    static let memmove: [UInt8] = [0x48, 0x89, 0xF8, 0x48, 0x83, 0xFA, 0x40, 0x72, 0x37, 0x62, 0xE1, 0xFE, 0x48, 0x6F, 0x06, 0xC3]
    static let endbr64: [UInt8] = [0xF3, 0x0F, 0x1E, 0xFA]
    static let longNOP: [UInt8] = [0x66, 0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0]

    func displace(
        _ padding: [UInt8], codeBefore: [UInt8] = [], firstUsable: Int = 0, function: [UInt8] = memmove, enteredAt: [UInt64] = [base + 3]
    ) throws(DisplacementError) -> DisplacedEntry {
        var request = DisplacementRequest(function: CodeRange(address: Self.base, bytes: function), enteredAt: enteredAt)
        request.padding = EntryPadding(bytes: padding, codeBefore: codeBefore, firstUsable: firstUsable)
        return try X86_64.displace(request, at: 0x50_0000)
    }

    /// Runs the code from the padding's start with the patch in place, instruction by instruction, up to the jump: where that is made.
    func runThrough(_ padding: [UInt8], _ entry: DisplacedEntry, fromEntry: Bool = false) throws -> UInt64 {
        guard let decoder = X86_64Decoder() else { throw DisplacementError.decoderUnavailable }
        let start = Self.base - UInt64(padding.count)
        var code = padding + Self.memmove
        let patch: [UInt8] = [0xE9, 0x78, 0x56, 0x34, 0x12] + Array(entry.patch.tail)
        code.replaceSubrange(Int(entry.patch.address - start)..<(Int(entry.patch.address - start) + patch.count), with: patch)
        var address = fromEntry ? Self.base : start
        for _ in 0..<40 {
            let rest = code[Int(address - start)...]
            // No prefix may stand before it: 66 would make it a jump of 16 bits on some processors.
            if rest.first == 0xE9 { return address }
            guard let size = decoder.size(code, at: Int(address - start)) else { throw DisplacementError.undecodable(at: address) }
            let opcode = rest.drop { $0 == 0x66 || $0 == 0x2E }
            if rest.first == 0xEB, let distance = rest.dropFirst().first {
                address = address &+ 2 &+ UInt64(bitPattern: Int64(Int8(bitPattern: distance)))
            } else {
                try #require(opcode.first == 0x90 || opcode.starts(with: [0x0F, 0x1F]), "\(rest) is run")
                address += UInt64(size)
            }
        }
        Issue.record("no end")
        return 0
    }

    @Test("glibc's memmove for AVX-512: whoever runs through the padding comes to the jump, with no prefix before it")
    func memmoveAVX512() throws {
        // As they are before __memmove_avx512_unaligned_erms of glibc 2.36.
        let padding = Self.longNOP + Self.longNOP + Self.longNOP + [0x66, 0x0F, 0x1F, 0x44, 0, 0]
        let entry = try displace(padding)
        #expect(entry.patch.address == Self.base - 6)
        #expect(entry.patch.original == [0x66, 0x0F, 0x1F, 0x44, 0, 0, 0x48, 0x89])
        // The rest of the NOP, and back to the jump.
        #expect(entry.patch.tail == [0, 0xEB, 0xF8])
        #expect(entry.patch.overwritten == Self.base..<Self.base + 2 && entry.displacedCount == 3)
        #expect(try runThrough(padding, entry) == Self.base - 6)
        #expect(try runThrough(padding, entry, fromEntry: true) == Self.base - 6)
    }

    @Test("a patch says what is written, reads what any image's says, and knows where threads in it go on")
    func patch() throws {
        let patch = try displace(Self.longNOP + [0x66, 0x0F, 0x1F, 0x44, 0, 0]).patch
        let (image, other): (UInt64, UInt64) = (0x60_0000, 0x60_4000)
        let bytes = try #require(patch.bytes(to: image))
        #expect(bytes.count == patch.original.count && bytes.dropFirst(5).elementsEqual(patch.tail))
        #expect(patch.image(of: bytes) == image)
        #expect(patch.image(of: try #require(patch.bytes(to: other))) == other)
        // Neither the function's own bytes nor half of a patch.
        #expect(patch.image(of: patch.original) == nil && patch.image(of: ShortBytes(bytes.prefix(5))) == nil)
        #expect(patch.image(of: ShortBytes(bytes.dropLast() + [0])) == nil)
        #expect(patch.bytes(to: 0x1_0000_0000_0000) == nil)
        // At the entry a thread may stay; in the padding it goes on at the entry when that is padding again.
        #expect(patch.interior == Self.base + 1..<Self.base + 2)
        #expect(patch.betweenJumps?.patched == Self.base - 6 && patch.betweenJumps?.original == Self.base)
        // What an fsession that is gone has left.
        let left = try #require(LeftPatch(at: patch.address, original: patch.original))
        #expect(left.image { Array(bytes.prefix($0)) } == image && left.betweenJumps == nil)
        #expect(left.image { Array(patch.original.prefix($0)) } == nil && left.image { _ in nil } == nil)
        #expect(LeftPatch(at: Self.base, original: [0xCC]) == nil)
    }

    @Test("NOPs of every size: the jump takes the place of a whole one", arguments: 1...11)
    func sizes(size: Int) throws {
        let nops: [[UInt8]] = [
            [0x90], [0x66, 0x90], [0x0F, 0x1F, 0], [0x0F, 0x1F, 0x40, 0], [0x0F, 0x1F, 0x44, 0, 0], [0x66, 0x0F, 0x1F, 0x44, 0, 0],
            [0x0F, 0x1F, 0x80, 0, 0, 0, 0], [0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0], [0x66, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0],
            [0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0],
        ]
        let nop = size <= 10 ? nops[size - 1] : [0x66] + nops[9]
        for before in nops {
            for after in nops {
                let padding = before + nop + after
                // The nearest that is as long as a jump, and so near that the patch is not longer than 16 bytes.
                let starts = [(after.count, after.count), (size, after.count + size), (before.count, padding.count)]
                guard let place = starts.first(where: { $0.0 >= 5 && $0.1 <= 14 })?.1 else {
                    #expect(throws: DisplacementError.self) { try displace(padding) }
                    continue
                }
                let entry = try displace(padding)
                #expect(entry.patch.address == Self.base - UInt64(place) && entry.patch.original.count == place + 2)
                #expect(try runThrough(padding, entry) == entry.patch.address)
            }
        }
    }

    @Test("what is no NOP from the end of the code before on is left alone, whatever its last bytes look like")
    func noPadding() {
        let nop: [UInt8] = [0x0F, 0x1F, 0x44, 0, 0]
        for padding: [UInt8] in [
            // add $…, %rax; a constant of eight bytes; the operand of a NOP that is no such; small NOPs only.
            [0x48, 0x05] + nop, [0x48, 0xB9, 0, 0, 0] + nop, [0x66, 0x0F] + nop, [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90],
            [0x66, 0x90, 0x0F, 0x1F, 0x40, 0, 0x66, 0x90], [0, 0, 0, 0, 0, 0, 0, 0], Array(nop.dropLast()), nop + [0x48],
            [0xF3] + nop, [0xF2] + nop, [0x65] + nop, [0xF0] + nop, [0xC5] + nop, [0x0F, 0x1F, 0xE9] + nop.dropFirst(3) + [0xC3], [],
            // endbr64, pause, int3 among NOPs, a jump.
            nop + Self.endbr64, nop + [0xF3, 0x90], [0xCC] + nop, nop + [0xEB, 0],
        ] {
            #expect(throws: DisplacementError.self) { try displace(padding) }
        }
    }

    @Test("int3 becomes a jump only where nothing runs into it")
    func stops() throws {
        let stops = [UInt8](repeating: 0xCC, count: 9)
        for ends: [UInt8] in [[0x50, 0x58, 0xC3], [0xEB, 0x10], [0xE9, 0, 1, 0, 0], [0xFF, 0xE0], [0x0F, 0x0B], [0xC2, 8, 0]] {
            #expect(try displace(stops, codeBefore: ends).patch.address == Self.base - 5)
            #expect(try displace([0x66, 0x90] + stops, codeBefore: ends).patch.address == Self.base - 5)
        }
        // A call, a branch, a plain instruction, one that is cut off or unknown, nothing; a constant that looks like a return.
        for open: [UInt8] in [
            [0xE8, 0, 0, 0, 0], [0x74, 0x10], [0x50], [0xC3, 0x48], [0x06], [], [0x05, 0, 0, 0, 0xC3], [0xC3, 0x90],
        ] {
            #expect(throws: DisplacementError.self) { try displace(stops, codeBefore: open) }
        }
        #expect(throws: DisplacementError.self) { try displace([0xCC, 0xCC, 0xCC, 0xCC], codeBefore: [0xC3]) }
        #expect(throws: DisplacementError.self) { try displace(stops, codeBefore: [0xC3], firstUsable: 5) }
    }

    @Test("branches into the padding, loops to it and the jump of the function before are respected")
    func entered() throws {
        let padding: [UInt8] = [0x66, 0x90, 0x0F, 0x1F, 0x80, 0, 0, 0, 0]
        #expect(try displace(padding).patch.address == Self.base - 7)
        for inside in (Self.base - 6)...(Self.base - 3) {
            #expect(throws: DisplacementError.branchIntoEntry(from: nil, to: inside)) { try displace(padding, enteredAt: [inside]) }
        }
        #expect(throws: DisplacementError.branchIntoEntry(from: nil, to: Self.base + 1)) { try displace(padding, enteredAt: [Self.base + 1]) }
        for harmless in [Self.base - 9, Self.base - 7, Self.base - 2, Self.base, Self.base + 2] {
            #expect(throws: Never.self) { try displace(padding, enteredAt: [harmless]) }
        }
        #expect(throws: DisplacementError.self) { try displace(padding, firstUsable: 3) }
        #expect(throws: Never.self) { try displace(padding, firstUsable: 2) }
        // jmp back to the jump, into it, behind it, to the entry
        for back: UInt8 in [0xF0, 0xF3, 0xF4, 0xF5, 0xF7] {
            let loop = Array(Self.memmove.prefix(7)) + [0xEB, back, 0xC3]
            #expect(throws: DisplacementError.self, "\(back)") { try displace(padding, function: loop) }
        }
    }

    @Test("an endbr64 stays in front of the short jump")
    func endbr() throws {
        let padding: [UInt8] = [0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0]
        let entry = try displace(padding, function: Self.endbr64 + Self.memmove, enteredAt: [Self.base + 7])
        #expect(entry.patch.address == Self.base - 10)
        #expect(entry.patch.tail == [0, 0, 0, 0, 0, 0xF3, 0x0F, 0x1E, 0xFA, 0xEB, 0xF0])
    }
}
