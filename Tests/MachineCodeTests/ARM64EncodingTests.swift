import CCapstone
import Foundation
import MachineCode
import TestSupport
import Testing

private typealias Register = ARM64Register

/// An instruction as Arm writes it, and what the encoder made.
private struct Encoding {
    var text: String
    var word: UInt32
}

private func name(_ register: Register, _ width: ARM64Width = .doubleword) -> String {
    switch register {
    case .sp: width == .doubleword ? "sp" : "wsp"
    case .zr: width == .doubleword ? "xzr" : "wzr"
    default: (width == .doubleword ? "x" : "w") + "\(register.rawValue)"
    }
}

/// The words of one emission.
private func words(_ body: (inout ARM64Assembler) -> Void) throws -> [UInt32] {
    var assembler = ARM64Assembler()
    body(&assembler)
    let code = try assembler.finish(at: 0)
    return stride(from: 0, to: code.count, by: 4).map { offset in
        (0..<4).reversed().reduce(0) { $0 << 8 | UInt32(code[offset + $1]) }
    }
}

/// Collects encodings, and has others read and write them.
private struct Collection {
    private(set) var all: [Encoding] = []

    mutating func add(_ text: String, _ body: (inout ARM64Assembler) -> Void) throws {
        let words = try words(body)
        #expect(words.count == 1, "\(text)")
        all.append(Encoding(text: text, word: words.first ?? 0))
    }
}

/// What clang's assembler makes of a text.
private func assemble(_ lines: [String]) throws -> [UInt32] {
    let folder = try Folder()
    _ = try folder.file("code.s", ".arch armv8.5-a+lse\n" + lines.joined(separator: "\n") + "\n")
    let place = URL(fileURLWithPath: folder.path)
    try run("clang", "--target=aarch64-linux-gnu", "-c", "-o", "code.o", "code.s", in: place)
    try run("llvm-objcopy", "-O", "binary", "--only-section=.text", "code.o", "code", in: place)
    let code = try folder.bytes("code")
    return stride(from: 0, to: code.count / 4 * 4, by: 4).map { offset in
        (0..<4).reversed().reduce(0) { $0 << 8 | UInt32(code[offset + $1]) }
    }
}

/// What Capstone reads.
private func disassemble(_ words: [UInt32]) throws -> [String] {
    var handle: csh = 0
    try #require(cs_open(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, &handle) == CS_ERR_OK)
    defer { cs_close(&handle) }
    return words.map { word in
        let code = (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
        var instructions: UnsafeMutablePointer<cs_insn>?
        let count = cs_disasm(handle, code, 4, 0, 1, &instructions)
        guard count == 1, let instruction = instructions?.pointee else { return "unknown" }
        defer { cs_free(instructions, count) }
        func text<Tuple>(_ tuple: Tuple) -> String {
            withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return text(instruction.mnemonic) + " " + text(instruction.op_str)
    }
}

@Suite("arm64 encodings, beside clang's and read back by Capstone")
struct ARM64EncodingTests {
    private static let registers: [Register] = [.x0, .x1, .x7, .x15, .x16, .x22, .x29, .x30, .zr]
    private static let widths: [ARM64Width] = [.word, .doubleword]

    private func compare(_ collection: Collection, knownShare: Double = 0.9) throws {
        let all = collection.all
        let theirs = try assemble(all.map(\.text))
        try #require(theirs.count == all.count)
        for (encoding, word) in zip(all, theirs) {
            #expect(encoding.word == word, "\(encoding.text): \(String(encoding.word, radix: 16)), not \(String(word, radix: 16))")
        }
        // Capstone's text, assembled again, is the same instruction. Old ones do not know all names.
        let texts = try disassemble(all.map(\.word))
        let known = zip(all, texts).filter { $0.1 != "unknown" }
        #expect(Double(known.count) >= Double(all.count) * knownShare)
        let again = try assemble(known.map(\.1))
        try #require(again.count == known.count)
        for ((encoding, text), word) in zip(known, again) {
            #expect(encoding.word == word, "\(encoding.text) is \(text) to Capstone")
        }
    }

    @Test("two and three registers, of both widths")
    func registers() throws {
        var list = Collection()
        for width in Self.widths {
            for a in Self.registers {
                for b in Self.registers {
                    let c = Self.registers[(Int(a.rawValue) * 3 + Int(b.rawValue) + 1) % Self.registers.count]
                    let (x, y, z) = (name(a, width), name(b, width), name(c, width))
                    try list.add("add \(x), \(y), \(z)") { $0.add(a, b, c, width) }
                    try list.add("sub \(x), \(y), \(z), lsl #3") { $0.sub(a, b, c, by: 3, width) }
                    try list.add("add \(x), \(y), \(z), asr #31") { $0.add(a, b, c, shift: .rightArithmetic, by: 31, width) }
                    try list.add("adds \(x), \(y), \(z)") { $0.adds(a, b, c, width) }
                    try list.add("subs \(x), \(y), \(z)") { $0.subs(a, b, c, width) }
                    try list.add("neg \(x), \(y)") { $0.neg(a, b, width) }
                    try list.add("cmp \(x), \(y)") { $0.cmp(a, b, width) }
                    try list.add("mvn \(x), \(y)") { $0.mvn(a, b, width) }
                    try list.add("mov \(x), \(y)") { $0.mov(a, b, width) }
                    for (operation, plain, inverse) in [
                        (ARM64LogicalOperation.and, "and", "bic"), (.or, "orr", "orn"), (.exclusiveOr, "eor", "eon"),
                        (.andSettingFlags, "ands", "bics"),
                    ] {
                        try list.add("\(plain) \(x), \(y), \(z)") { $0.logical(operation, a, b, c, width) }
                        try list.add("\(inverse) \(x), \(y), \(z), ror #5") {
                            $0.logical(operation, a, b, c, inverted: true, shift: .rotateRight, by: 5, width)
                        }
                    }
                    for (shift, mnemonic) in [(ARM64Shift.left, "lsl"), (.right, "lsr"), (.rightArithmetic, "asr"), (.rotateRight, "ror")] {
                        try list.add("\(mnemonic) \(x), \(y), \(z)") { $0.shift(shift, a, b, by: c, width) }
                        let count = UInt8(1 + (Int(a.rawValue) + 7 * Int(b.rawValue)) % 31)
                        try list.add("\(mnemonic) \(x), \(y), #\(count)") { $0.shift(shift, a, b, by: count, width) }
                    }
                    try list.add("udiv \(x), \(y), \(z)") { $0.udiv(a, b, c, width) }
                    try list.add("sdiv \(x), \(y), \(z)") { $0.sdiv(a, b, c, width) }
                    try list.add("mul \(x), \(y), \(z)") { $0.mul(a, b, c, width) }
                    try list.add("madd \(x), \(y), \(z), \(name(.x9, width))") { $0.madd(a, b, c, .x9, width) }
                    try list.add("msub \(x), \(y), \(z), \(name(.x9, width))") { $0.msub(a, b, c, .x9, width) }
                    try list.add("csel \(x), \(y), \(z), lt") { $0.csel(a, b, c, .less, width) }
                    try list.add("rev \(x), \(y)") { $0.rev(a, b, width) }
                    try list.add("rev16 \(x), \(y)") { $0.rev16(a, b, width) }
                    try list.add("ubfx \(x), \(y), #4, #9") { $0.ubfx(a, b, from: 4, count: 9, width) }
                    try list.add("sbfx \(x), \(y), #0, #\(width.rawValue)") { $0.sbfx(a, b, from: 0, count: width.rawValue, width) }
                    try list.add("sbfx \(x), \(y), #7, #16") { $0.sbfx(a, b, from: 7, count: 16, width) }
                    if width == .doubleword {
                        try list.add("umulh \(x), \(y), \(z)") { $0.umulh(a, b, c) }
                        try list.add("extr \(x), \(y), \(z), #32") { $0.extr(a, b, c, from: 32) }
                    }
                }
            }
        }
        try compare(list)
    }

    @Test("constants of additions, of logic, and of moves")
    func constants() throws {
        var list = Collection()
        for width in Self.widths {
            for value: UInt32 in [0, 1, 16, 0xfff, 0x1000, 0xfff000, 0x123000] {
                for (a, b) in [(Register.x0, Register.x1), (.sp, .sp), (.x30, .sp), (.sp, .x29)] {
                    try list.add("add \(name(a, width)), \(name(b, width)), #\(value)") { $0.add(a, b, immediate: value, width) }
                    try list.add("sub \(name(a, width)), \(name(b, width)), #\(value)") { $0.sub(a, b, immediate: value, width) }
                }
                try list.add("cmp \(name(.x9, width)), #\(value)") { $0.cmp(.x9, immediate: value, width) }
                try list.add("adds \(name(.zr, width)), \(name(.x9, width)), #\(value)") { $0.adds(.zr, .x9, immediate: value, width) }
                try list.add("subs \(name(.x3, width)), \(name(.sp, width)), #\(value)") { $0.subs(.x3, .sp, immediate: value, width) }
            }
            for place in 0..<(width == .word ? UInt8(2) : 4) {
                for value: UInt16 in [1, 0x1234, 0xfffe] {
                    let shift = Int(place) * 16
                    try list.add("movz \(name(.x5, width)), #\(value), lsl #\(shift)") { $0.movz(.x5, value, place, width) }
                    try list.add("movn \(name(.x5, width)), #\(value), lsl #\(shift)") { $0.movn(.x5, value, place, width) }
                    try list.add("movk \(name(.x5, width)), #\(value), lsl #\(shift)") { $0.movk(.x5, value, place, width) }
                }
            }
            // Every constant that logical instructions have.
            for size in [2, 4, 8, 16, 32, 64] where size <= Int(width.rawValue) {
                for ones in 1..<size {
                    for rotation in stride(from: 0, to: size, by: size > 16 ? 5 : 1) {
                        let mask = UInt64.max >> UInt64(64 - size)
                        let run = UInt64(1) << UInt64(ones) - 1
                        let element = rotation == 0 ? run : (run >> UInt64(rotation) | run << UInt64(size - rotation)) & mask
                        var value: UInt64 = 0
                        for place in stride(from: 0, to: Int(width.rawValue), by: size) { value |= element << UInt64(place) }
                        let text = "#0x" + String(value, radix: 16)
                        try list.add("and \(name(.x1, width)), \(name(.x2, width)), \(text)") {
                            $0.logical(.and, .x1, .x2, immediate: value, width)
                        }
                    }
                }
            }
            for (operation, mnemonic) in [(ARM64LogicalOperation.or, "orr"), (.exclusiveOr, "eor"), (.andSettingFlags, "ands")] {
                try list.add("\(mnemonic) \(name(.x1, width)), \(name(.x2, width)), #0x7f0") {
                    $0.logical(operation, .x1, .x2, immediate: 0x7f0, width)
                }
            }
        }
        try compare(list)
    }

    @Test("no other constant is taken for one of a logical instruction")
    func noConstants() {
        for value: UInt64 in [0, .max, 5, 0x1234, 0x1_0000_0003_0000, 0xff00_ff00_ff00_ff01, 0xa5a5_a5a5_a5a5_a5a5] {
            #expect(ARM64Constant.logical(value, .doubleword) == nil, "\(value)")
        }
        for value: UInt64 in [0, 0xffff_ffff, 0x1_0000_0000, 0x1234_5678] { #expect(ARM64Constant.logical(value, .word) == nil) }
    }

    @Test("any constant is made of at most four instructions, and of as many as was said")
    func moves() throws {
        var values: [UInt64] = [0, 1, .max, 0xffff, 0x10000, 0xffff_ffff, 0xffff_0000, 0xffff_fffe, 0x1234_ffff, 0xffff_1234, 1 << 63]
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var value = UInt64.random(in: 0...UInt64.max, using: &generator)
            for place in 0..<4 {
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: value &= ~(0xffff << UInt64(place * 16))
                case 1: value |= 0xffff << UInt64(place * 16)
                default: break
                }
            }
            values.append(value)
        }
        for value in values {
            let code = try words { $0.mov(.x3, immediate: value) }
            #expect(code.count <= 4 && code.count == ARM64Constant.length(value), "\(String(value, radix: 16))")
            // What the instructions do, one after the other.
            var register: UInt64 = 0xdead_beef_dead_beef
            for word in code {
                let shift = UInt64(word >> 21 & 3) * 16
                let field = UInt64(word >> 5 & 0xffff)
                switch word & 0xff80_0000 {
                case 0xd280_0000: register = field << shift
                case 0x9280_0000: register = ~(field << shift)
                case 0x1280_0000: register = ~(field << shift) & 0xffff_ffff
                case 0xf280_0000: register = register & ~(0xffff << shift) | field << shift
                case 0xb200_0000:
                    #expect(word >> 10 & 0x1fff == ARM64Constant.logical(value, .doubleword))
                    register = value
                case 0x3200_0000:
                    #expect(word >> 10 & 0x1fff == ARM64Constant.logical(value, .word))
                    register = value
                default: Issue.record("\(String(word, radix: 16))")
                }
            }
            #expect(register == value, "\(String(value, radix: 16)): \(String(register, radix: 16))")
        }
    }

    @Test("loads, stores and pairs, of every kind of address")
    func memory() throws {
        var list = Collection()
        let accesses: [(ARM64Access, String)] = [(.byte, "b"), (.half, "h"), (.word, ""), (.doubleword, "")]
        for (access, suffix) in accesses {
            let width: ARM64Width = access == .doubleword ? .doubleword : .word
            let size = access.byteCount
            for base in [Register.x0, .x22, .sp] {
                let data = Register.x7
                var addresses: [(ARM64Memory, String)] = [
                    (.at(base), "[\(name(base))]"), (.before(base, -16), "[\(name(base)), #-16]!"),
                    (.after(base, 255), "[\(name(base))], #255"), (.indexed(base, .x9), "[\(name(base)), x9]"),
                ]
                if access != .byte {
                    addresses.append((.indexed(base, .x9, scaled: true), "[\(name(base)), x9, lsl #\(access.rawValue)]"))
                }
                for offset in [size, 4095 * size] { addresses.append((.at(base, offset), "[\(name(base)), #\(offset)]")) }
                for (memory, text) in addresses {
                    try list.add("ldr\(suffix) \(name(data, width)), \(text)") { $0.ldr(data, memory, access) }
                    try list.add("str\(suffix) \(name(.zr, width)), \(text)") { $0.str(.zr, memory, access) }
                }
                for offset in [-1, -256] + (size > 1 ? [255] : []) {
                    let memory = ARM64Memory.at(base, offset)
                    try list.add("ldur\(suffix) \(name(data, width)), [\(name(base)), #\(offset)]") { $0.ldr(data, memory, access) }
                    try list.add("stur\(suffix) \(name(data, width)), [\(name(base)), #\(offset)]") { $0.str(data, memory, access) }
                }
                if access != .doubleword {
                    let signed = access == .word ? "w" : suffix
                    try list.add("ldrs\(signed) \(name(data)), [\(name(base)), #\(size)]") { $0.ldrs(data, .at(base, size), access) }
                }
                if access == .byte || access == .half {
                    try list.add("ldrs\(suffix) \(name(data, .word)), [\(name(base)), #\(size)]") { $0.ldrs(data, .at(base, size), access, .word) }
                }
            }
        }
        for (first, second) in [(Register.x29, Register.x30), (.x19, .x20), (.x0, .zr)] {
            for offset in [0, 16, 504, -512, -8] {
                try list.add("stp \(name(first)), \(name(second)), [sp, #\(offset)]!") { $0.stp(first, second, .before(.sp, offset)) }
                try list.add("ldp \(name(first)), \(name(second)), [sp], #\(offset)") { $0.ldp(first, second, .after(.sp, offset)) }
                try list.add("stp \(name(first)), \(name(second)), [x5, #\(offset)]") { $0.stp(first, second, .at(.x5, offset)) }
                try list.add("ldp \(name(first)), \(name(second)), [x5, #\(offset)]") { $0.ldp(first, second, .at(.x5, offset)) }
            }
        }
        #expect(ARM64Memory.isEncodable(offset: 256, .byte) && ARM64Memory.isEncodable(offset: -256, .doubleword))
        #expect(!ARM64Memory.isEncodable(offset: 257, .half) && !ARM64Memory.isEncodable(offset: -257, .byte))
        #expect(!ARM64Memory.isEncodable(offset: 4096 * 8, .doubleword) && ARM64Memory.isEncodable(offset: 4095 * 8, .doubleword))
        try compare(list)
    }

    @Test("atomics, exclusive loads and stores, barriers")
    func atomics() throws {
        var list = Collection()
        for width in Self.widths {
            for base in [Register.x9, .sp] {
                let (a, b, place) = (name(.x1, width), name(.x17, width), "[\(name(base))]")
                try list.add("ldar \(a), \(place)") { $0.ldar(.x1, base, width) }
                try list.add("stlr \(a), \(place)") { $0.stlr(.x1, base, width) }
                for (order, acquire, release, both) in [(ARM64Order.relaxed, "", "", ""), (.acquireRelease, "a", "l", "al")] {
                    try list.add("ld\(acquire)xr \(a), \(place)") { $0.ldxr(.x1, base, order, width) }
                    try list.add("st\(release)xr w16, \(b), \(place)") { $0.stxr(failed: .x16, .x17, base, order, width) }
                    for (operation, mnemonic) in [
                        (ARM64AtomicOperation.add, "ldadd"), (.clear, "ldclr"), (.exclusiveOr, "ldeor"), (.set, "ldset"), (.swap, "swp"),
                    ] {
                        try list.add("\(mnemonic)\(both) \(a), \(b), \(place)") { $0.atomic(operation, .x1, old: .x17, base, order, width) }
                    }
                    try list.add("cas\(both) \(a), \(b), \(place)") { $0.cas(expected: .x1, .x17, base, order, width) }
                }
            }
        }
        for (barrier, text) in [(ARM64Barrier.all, "ish"), (.loads, "ishld"), (.stores, "ishst")] {
            try list.add("dmb \(text)") { $0.dmb(barrier) }
        }
        try list.add("isb") { $0.isb() }
        // Capstone 4 knows no LSE.
        try compare(list, knownShare: 0.3)
    }

    @Test("branches, addresses and the processor's own")
    func control() throws {
        var list = Collection()
        for condition in ARM64Condition.allCases {
            let text = ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"][Int(condition.rawValue)]
            try list.add("b.\(text) .") { $0.b(condition, $0.here()) }
            #expect(condition.inverted != condition && condition.inverted.inverted == condition)
        }
        for width in Self.widths {
            try list.add("cbz \(name(.x9, width)), .") { $0.cb(zero: true, .x9, $0.here(), width) }
            try list.add("cbnz \(name(.x9, width)), .") { $0.cb(zero: false, .x9, $0.here(), width) }
        }
        for bit: UInt8 in [0, 5, 31, 32, 63] {
            try list.add("tbz \(bit > 31 ? "x3" : "w3"), #\(bit), .") { $0.tb(zero: true, .x3, bit: bit, $0.here()) }
            try list.add("tbnz \(bit > 31 ? "x3" : "w3"), #\(bit), .") { $0.tb(zero: false, .x3, bit: bit, $0.here()) }
        }
        try list.add("b .") { $0.b($0.here()) }
        try list.add("bl .") { $0.bl($0.here()) }
        try list.add("adr x4, .") { $0.adr(.x4, $0.here()) }
        try list.add("ldr x17, .") { $0.ldr(.x17, literal: $0.here()) }
        try list.add("str d7, [sp, #24]") { $0.str(vector: 7, .sp, 24) }
        try list.add("str d31, [x9, #32760]") { $0.str(vector: 31, .x9, 32760) }
        try list.add("fmov d5, x30") { $0.fmov(vector: 5, .x30) }
        for register in [Register.x0, .x16, .x30] {
            try list.add("br \(name(register))") { $0.br(register) }
            try list.add("blr \(name(register))") { $0.blr(register) }
        }
        try list.add("ret") { $0.ret() }
        try list.add("nop") { $0.nop() }
        try list.add("bti c") { $0.bti(.calls) }
        try list.add("bti j") { $0.bti(.jumps) }
        try list.add("bti jc") { $0.bti(.both) }
        try list.add("paciasp") { $0.paciasp() }
        try list.add("autiasp") { $0.autiasp() }
        try list.add("autibsp") { $0.autibsp() }
        for (register, text) in [
            (ARM64SystemRegister.threadPointer, "tpidr_el0"), (.counter, "cntvct_el0"), (.counterFrequency, "cntfrq_el0"),
            (.flags, "nzcv"),
        ] {
            try list.add("mrs x7, \(text)") { $0.mrs(.x7, register) }
        }
        try list.add("msr nzcv, x7") { $0.msr(.flags, .x7) }
        try list.add("svc #0") { $0.svc() }
        try list.add("brk #0x123") { $0.brk(0x123) }
        try compare(list)
    }

    @Test("labels, addresses and how far branches reach")
    func references() throws {
        var assembler = ARM64Assembler()
        let data = assembler.makeLabel()
        assembler.adr(.x0, data)
        assembler.address(.x1, of: data)
        assembler.b(address: 0x7000_1000)
        assembler.bind(data)
        assembler.emitAddress(of: data)
        #expect(assembler.offset(of: data) == 16)
        let code = try assembler.finish(at: 0x7000_0ff8)
        #expect(Array(code[16...]) == [0x08, 0x10, 0, 0x70, 0, 0, 0, 0])
        func word(_ offset: Int) -> UInt32 { (0..<4).reversed().reduce(0) { $0 << 8 | UInt32(code[offset + $1]) } }
        #expect(
            try disassemble([word(0), word(4), word(8), word(12)]) == [
                "adr x0, #0x10", "adrp x1, #0x1000", "add x1, x1, #8", "b #0xfffffffffffffffc",
            ])
        func far(_ distance: UInt64, _ body: (inout ARM64Assembler, ARM64Label) -> Void) -> Bool {
            var assembler = ARM64Assembler()
            let label = assembler.makeLabel()
            body(&assembler, label)
            for _ in 1..<distance / 4 { assembler.nop() }
            assembler.bind(label)
            return (try? assembler.finish(at: 0)) == nil
        }
        #expect(!far(1 << 20 - 4) { $0.b(.equal, $1) } && far(1 << 20) { $0.b(.equal, $1) })
        #expect(!far(1 << 15 - 4) { $0.tb(zero: true, .x0, bit: 1, $1) } && far(1 << 15) { $0.tb(zero: true, .x0, bit: 1, $1) })
        #expect(!far(1 << 20 - 4) { $0.adr(.x0, $1) } && far(1 << 20) { $0.adr(.x0, $1) })
        var call = ARM64Assembler()
        call.bl(address: 1 << 27)
        #expect(throws: MachineCodeError.outOfReach(from: 0, to: 1 << 27, bits: 28)) { try call.finish(at: 0) }
        #expect(try call.finish(at: 4).count == 4)
        #expect(throws: MachineCodeError.self) { try call.finish(at: 2) }
        var open = ARM64Assembler()
        open.b(open.makeLabel())
        #expect(throws: MachineCodeError.unboundLabel(instructionOffset: 0)) { try open.finish(at: 0) }
    }
}
