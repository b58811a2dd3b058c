import MachineCode
import Testing
import Trampoline

#if arch(x86_64)
@Suite("Images are filled into templates")
struct TemplateTests {
    private static let conventions: [CallingConvention] = [
        .unknown, CallingConvention(arguments: [.register(0), .stack(0)], stackWords: 1),
        CallingConvention(arguments: [.vector(0)], returnValue: .vector),
    ]

    private static func lists(_ kinds: [TrampolineProgramKind], cookie: UInt64) throws -> TrampolineLists {
        var lists = TrampolineLists()
        for (index, kind) in kinds.enumerated() {
            try lists.link(
                TrampolineLink(
                    id: index + 1, programID: index + 1, kind: kind, programAddress: 0x50_0000 + UInt64(index) * 256,
                    attachCookie: cookie + UInt64(index)))
        }
        return lists
    }

    @Test(
        "a template that was made for one function is filled in for another one as if it had been made for that",
        arguments: [[], [.fentry], [.session], [.session, .fexit], [.fmodRet, .fentry]] as [[TrampolineProgramKind]])
    func filled(kinds: [TrampolineProgramKind]) throws {
        let lanes = CallCounters.Lanes(owners: 0x61_0000, state: 0x7000_0000_0000, slowPath: 0x52_0000)
        for convention in Self.conventions {
            // Addresses and cookies that fit into 32 bits, and some that do not.
            for (base, cookie) in [(UInt64(0x40_0000), UInt64(7)), (0x5555_0000_0000, 1 << 40)] {
                let first = try Self.lists(kinds, cookie: cookie)
                // The cookie of an only link is filled in; several are part of the shape.
                let second = try Self.lists(kinds, cookie: kinds.count == 1 ? cookie + 1000 : cookie)
                let a = ImageValues(FunctionEntry(address: base, relocatedEntry: base + 0x1000), first, 0x60_0000)
                let b = ImageValues(FunctionEntry(address: base + 0x400, relocatedEntry: base + 0x1040), second, 0x60_0010)
                let shape = ImageShape(first, convention, a, isCounted: true)
                #expect(shape == ImageShape(second, convention, b, isCounted: true))
                let template = try X86_64.template(shape, a, lanes: lanes, safeCopy: 0x51_0000, at: base + 0x2000)
                let image = try X86_64.image(
                    second, function: FunctionEntry(address: b.address, relocatedEntry: b.relocatedEntry),
                    convention: convention, counters: CallCounters(address: b.counters, lanes: lanes), safeCopy: 0x51_0000,
                    at: base + 0x3000)
                #expect(try template.image(b, at: base + 0x3000) == image)
            }
        }
    }

    @Test("functions of other shapes have templates of their own")
    func shapes() throws {
        let one = try Self.lists([.session], cookie: 1)
        let two = try Self.lists([.session, .fexit], cookie: 1)
        func shape(
            _ lists: TrampolineLists, _ convention: CallingConvention = .unknown, address: UInt64 = 0x1000, isCounted: Bool = true
        ) -> ImageShape {
            ImageShape(
                lists, convention, ImageValues(FunctionEntry(address: address, relocatedEntry: 0), lists, 0), isCounted: isCounted)
        }
        let plain = shape(one)
        #expect(plain != shape(two))
        #expect(plain != shape(one, isCounted: false))
        #expect(plain != shape(one, address: 0x7fff_0000_0000))
        #expect(plain != shape(one, Self.conventions[1]))
        #expect(plain != shape(try Self.lists([.session], cookie: 1 << 40)))
        // With several links every cookie is written as a constant.
        #expect(shape(two) != shape(try Self.lists([.session, .fexit], cookie: 2)))
    }

    @Test("what a template refers to may be out of its reach elsewhere, and that is told")
    func outOfReach() throws {
        let lists = try Self.lists([.fentry], cookie: 0)
        let values = ImageValues(FunctionEntry(address: 0x40_0000, relocatedEntry: 0x41_0000), lists, nil)
        let template = try X86_64.template(
            ImageShape(lists, .unknown, values, isCounted: false), values, lanes: nil, safeCopy: nil, at: 0x42_0000)
        #expect(throws: TrampolineError.self) { try template.code(values, at: 0x7000_0000_0000) }
    }

    @Test("an instruction that was decoded before goes to another place from another address")
    func decodedAgain() throws {
        // je +0x10; mov eax, [rip + 0x100]; ret
        let bytes: [UInt8] = [0x74, 0x10, 0x8B, 0x05, 0, 1, 0, 0, 0xC3] + Array(repeating: 0x90, count: 32)
        for address: UInt64 in [0x40_0000, 0x40_0000, 0x7000_0000] {
            let place = address + 0x10_0000
            let entry = try X86_64.displace(
                DisplacementRequest(function: CodeRange(address: address, bytes: bytes)), at: place)
            func target(_ offset: Int) -> UInt64 {
                let distance = entry.code[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                return place &+ UInt64(offset + 4) &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
            }
            #expect(entry.code.starts(with: [0x0F, 0x84]) && target(2) == address + 0x12)
            #expect(entry.code[6...].starts(with: [0x8B, 0x05]) && target(8) == address + 0x108)
        }
    }

    @Test("sixteen bytes are kept in place")
    func shortBytes() {
        let bytes = (0..<16).map { UInt8($0 * 3) }
        let short = ShortBytes(bytes)
        #expect(Array(short) == bytes && short == ShortBytes(bytes) && short != ShortBytes(bytes.dropLast()))
        #expect(Array(ShortBytes([1, 2]) + ShortBytes([3])) == [1, 2, 3])
        var memory: [UInt8] = Array(repeating: 9, count: 18)
        memory.withUnsafeMutableBytes { memory in
            short.copy(to: memory, at: 1)
            #expect(short.isEqual(to: memory, at: 1) && !short.isEqual(to: memory, at: 0) && !short.isEqual(to: memory, at: 3))
        }
        #expect(memory == [9] + bytes + [9])
    }
}
#endif
