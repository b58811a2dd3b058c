import MachineCode
import Testing

private typealias Register = X86_64Register
private typealias Memory = X86_64Memory

/// Capstone's name of a register.
private func name(_ register: Register, _ width: X86_64Width = .qword) -> String {
    let base = "\(register)"
    if register.rawValue >= 8 {
        switch width {
        case .byte: return base + "b"
        case .word: return base + "w"
        case .dword: return base + "d"
        case .qword: return base
        }
    }
    let short = String(base.dropFirst())
    switch width {
    case .byte: return register.rawValue < 4 ? "\(short.first ?? "?")l" : short + "l"
    case .word: return short
    case .dword: return "e" + short
    case .qword: return base
    }
}

/// Capstone's way to write a number: small ones decimal.
private func number(_ value: Int64) -> String {
    value.magnitude < 10 ? "\(value.magnitude)" : "0x" + String(value.magnitude, radix: 16)
}

private func sum(_ parts: [String], _ displacement: Int32) -> String {
    var text = parts.joined(separator: " + ")
    if displacement != 0 { text += (displacement < 0 ? " - " : " + ") + number(Int64(displacement)) }
    return "[\(text)]"
}

/// Every addressing form with each register, and with displacements around the one-byte range.
private let memories: [(Memory, String)] = {
    var result: [(Memory, String)] = []
    for base in Register.allCases {
        for displacement: Int32 in [0, 1, 127, 128, -128, -129, .max, -0x7fff_ffff] {
            result.append((.at(base, displacement), sum([name(base)], displacement)))
        }
        for index in Register.allCases where index != .rsp {
            for (scale, displacement) in [(UInt8(1), Int32(0)), (2, 16), (4, -1000), (8, 0)] {
                let scaled = scale == 1 ? name(index) : "\(name(index))*\(scale)"
                result.append(
                    (
                        .at(base, index: index, scale: scale, displacement), sum([name(base), scaled], displacement)
                    ))
            }
        }
        if base != .rsp {
            result.append((.scaled(base, scale: 8, 0x40), sum(["\(name(base))*8"], 0x40)))
        }
    }
    result.append((.absolute(0x1234), "[0x1234]"))
    result.append((.absolute(0x10, segment: .fs), "fs:[0x10]"))
    return result
}()

@Suite("x86-64 encodings, read back by Capstone")
struct EncodingTests {
    @Test("every addressing form of every register, for loads, stores and lea")
    func addressing() throws {
        for (memory, place) in memories {
            for register in [Register.rax, .rsi, .r9, .r12] {
                let lines = try assembled {
                    $0.mov(register, memory)
                    $0.mov(memory, register, .dword)
                    $0.mov(memory, register, .byte)
                    $0.lea(register, memory)
                    $0.mov(memory, immediate: 5, .word)
                }
                #expect(
                    lines == [
                        "mov \(name(register)), qword ptr \(place)",
                        "mov dword ptr \(place), \(name(register, .dword))",
                        "mov byte ptr \(place), \(name(register, .byte))",
                        "lea \(name(register)), \(place)",
                        "mov word ptr \(place), 5",
                    ])
            }
        }
    }

    @Test("two-register instructions with all pairs of registers in all widths")
    func pairs() throws {
        for first in Register.allCases {
            for second in Register.allCases {
                for width in X86_64Width.allCases {
                    let pair = "\(name(first, width)), \(name(second, width))"
                    let lines = try assembled {
                        $0.mov(first, second, width)
                        for operation in X86_64ALUOperation.allCases { $0.alu(operation, first, second, width) }
                        $0.test(first, second, width)
                    }
                    var expected = ["mov \(pair)"]
                    expected += X86_64ALUOperation.allCases.map { "\($0) \(pair)" }
                    expected.append("test \(pair)")
                    #expect(lines == expected)
                    let exchange = try assembled { $0.xchg(first, second, width) }
                    #expect(exchange == ["xchg \(pair)"])
                    guard width != .byte else { continue }
                    let more = try assembled {
                        $0.imul(first, second, width)
                        $0.cmov(.less, first, second, width)
                    }
                    #expect(more == ["imul \(pair)", "cmovl \(pair)"])
                }
                for from in [X86_64Width.byte, .word] {
                    let lines = try assembled {
                        $0.movzx(first, second, from: from)
                        $0.movsx(first, second, from: from)
                        $0.movsx(first, second, from: from, to: .dword)
                    }
                    #expect(
                        lines == [
                            "movzx \(name(first, .dword)), \(name(second, from))",
                            "movsx \(name(first)), \(name(second, from))",
                            "movsx \(name(first, .dword)), \(name(second, from))",
                        ])
                }
                let lines = try assembled {
                    $0.movsx(first, second, from: .dword)
                    $0.movzx(first, second, from: .dword)
                    for operation in [X86_64ShiftOperation.shl, .shr, .sar] {
                        $0.shiftX(operation, first, second, by: .rcx)
                        $0.shiftX(operation, first, .rbx, by: second, .dword)
                    }
                }
                #expect(
                    lines == [
                        "movsxd \(name(first)), \(name(second, .dword))",
                        "mov \(name(first, .dword)), \(name(second, .dword))",
                        "shlx \(name(first)), \(name(second)), rcx",
                        "shlx \(name(first, .dword)), ebx, \(name(second, .dword))",
                        "shrx \(name(first)), \(name(second)), rcx",
                        "shrx \(name(first, .dword)), ebx, \(name(second, .dword))",
                        "sarx \(name(first)), \(name(second)), rcx",
                        "sarx \(name(first, .dword)), ebx, \(name(second, .dword))",
                    ])
            }
        }
    }

    @Test("instructions of one register, in all widths")
    func singles() throws {
        for register in Register.allCases {
            for width in X86_64Width.allCases {
                let operand = name(register, width)
                let lines = try assembled {
                    $0.neg(register, width)
                    $0.not(register, width)
                    $0.mul(register, width)
                    $0.imul(register, width)
                    $0.div(register, width)
                    $0.idiv(register, width)
                    $0.inc(register, width)
                    $0.dec(register, width)
                    for shift in X86_64ShiftOperation.allCases {
                        $0.shift(shift, register, by: 1, width)
                        $0.shift(shift, register, by: 5, width)
                        $0.shiftByCL(shift, register, width)
                    }
                }
                var expected = ["neg", "not", "mul", "imul", "div", "idiv", "inc", "dec"].map { "\($0) \(operand)" }
                for shift in X86_64ShiftOperation.allCases {
                    expected += ["\(shift) \(operand), 1", "\(shift) \(operand), 5", "\(shift) \(operand), cl"]
                }
                // Capstone writes the shift by one with or without its count, by version.
                let withoutOne = expected.map { $0.hasSuffix(", 1") ? String($0.dropLast(3)) : $0 }
                #expect(lines == expected || lines == withoutOne)
            }
            let lines = try assembled {
                $0.push(register)
                $0.pop(register)
                $0.bswap(register)
                $0.bswap(register, .dword)
                $0.jmp(register)
                $0.call(register)
                $0.set(.above, register)
                $0.movq(register, X86_64VectorRegister(9))
                $0.movq(X86_64VectorRegister(2), register)
            }
            #expect(
                lines == [
                    "push \(name(register))", "pop \(name(register))", "bswap \(name(register))",
                    "bswap \(name(register, .dword))", "jmp \(name(register))", "call \(name(register))",
                    "seta \(name(register, .byte))", "movq \(name(register)), xmm9", "movq xmm2, \(name(register))",
                ])
        }
    }

    @Test("immediates at the edges of the encodings")
    func immediates() throws {
        for register in Register.allCases {
            for value: Int32 in [1, 127, 128, -128, -129, .max, .min] {
                let lines = try assembled {
                    for operation in X86_64ALUOperation.allCases { $0.alu(operation, register, immediate: value) }
                    $0.test(register, immediate: value)
                    $0.imul(register, .r13, immediate: value)
                    $0.alu(.add, register, immediate: value, .dword)
                    $0.alu(.cmp, .at(register, 8), immediate: value, .qword)
                }
                let wide = "0x" + String(UInt64(bitPattern: Int64(value)), radix: 16)
                let narrow = "0x" + String(UInt32(bitPattern: value), radix: 16)
                let signed = (value < 0 ? "-" : "") + number(Int64(value))
                let accepted = { (mnemonic: String, place: String, line: String) in
                    [wide, narrow, signed].contains { line == "\(mnemonic) \(place), \($0)" }
                }
                #expect(lines.count == 12)
                for (operation, line) in zip(X86_64ALUOperation.allCases, lines) {
                    #expect(accepted("\(operation)", name(register), line), "\(line)")
                }
                #expect(accepted("test", name(register), lines[8]), "\(lines[8])")
                #expect(accepted("imul", "\(name(register)), r13", lines[9]), "\(lines[9])")
                #expect(accepted("add", name(register, .dword), lines[10]), "\(lines[10])")
                #expect(accepted("cmp", "qword ptr [\(name(register)) + 8]", lines[11]), "\(lines[11])")
            }
        }
    }

    @Test("immediates of bytes and words have their own size, in registers and memory")
    func narrowImmediates() throws {
        for register in Register.allCases {
            let place = "[\(name(register)) + 0x10]"
            let lines = try assembled {
                for operation in X86_64ALUOperation.allCases {
                    $0.alu(operation, register, immediate: 0x71, .byte)
                    $0.alu(operation, register, immediate: 0x1234, .word)
                    $0.alu(operation, .at(register, 16), immediate: 0x71, .byte)
                    $0.alu(operation, .at(register, 16), immediate: 0x1234, .word)
                    $0.alu(operation, register, .at(register, 16), .word)
                }
                $0.test(register, immediate: 0x71, .byte)
                $0.test(register, immediate: 0x1234, .word)
                $0.test(.at(register, 16), immediate: 0x12345, .dword)
                $0.test(.at(register, 16), immediate: 0x12345)
                $0.mov(.at(register, 16), immediate: 0x71, .byte)
                $0.mov(.at(register, 16), immediate: 0x12345, .dword)
                $0.mov(.at(register, 16), immediate: 0x12345)
                $0.imul(register, .rbp, immediate: 0x1234, .word)
            }
            var expected = X86_64ALUOperation.allCases.flatMap {
                [
                    "\($0) \(name(register, .byte)), 0x71", "\($0) \(name(register, .word)), 0x1234",
                    "\($0) byte ptr \(place), 0x71", "\($0) word ptr \(place), 0x1234",
                    "\($0) \(name(register, .word)), word ptr \(place)",
                ]
            }
            expected += [
                "test \(name(register, .byte)), 0x71", "test \(name(register, .word)), 0x1234",
                "test dword ptr \(place), 0x12345", "test qword ptr \(place), 0x12345",
                "mov byte ptr \(place), 0x71", "mov dword ptr \(place), 0x12345", "mov qword ptr \(place), 0x12345",
                "imul \(name(register, .word)), bp, 0x1234",
            ]
            #expect(lines == expected)
        }
    }

    @Test(
        "constants take the shortest move",
        arguments: [
            (UInt64(0), "xor", 2), (1, "mov", 5), (0xffff_ffff, "mov", 5), (0x1_0000_0000, "movabs", 10),
            (UInt64.max, "mov", 7), (0xffff_ffff_8000_0000, "mov", 7), (0xffff_ffff_7fff_ffff, "movabs", 10),
        ])
    func constants(value: UInt64, mnemonic: String, size: Int) throws {
        for register in Register.allCases {
            var assembler = X86_64Assembler()
            assembler.mov(register, immediate: value)
            let longer = register.rawValue >= 8 && size < 7 ? 1 : 0
            #expect(assembler.code.count == size + longer)
            #expect(disassemble(assembler.code).first?.hasPrefix(mnemonic) == true)
            #expect(disassemble(assembler.code).count == 1)
        }
        var assembler = X86_64Assembler()
        assembler.mov(.rax, immediate: 0, keepsFlags: true)
        #expect(disassemble(assembler.code) == ["mov eax, 0"])
    }

    @Test("atomic instructions are locked")
    func atomics() throws {
        for base in Register.allCases {
            let place = "[\(name(base)) + 8]"
            let lines = try assembled {
                for operation in [X86_64ALUOperation.add, .or, .and, .xor] {
                    $0.alu(operation, .at(base, 8), .r10, isLocked: true)
                }
                $0.lockXadd(.at(base, 8), .rdi, .dword)
                $0.lockCmpxchg(.at(base, 8), .r9)
                $0.xchg(.at(base, 8), .rsi)
                $0.inc(.at(base, 8), isLocked: true)
                $0.dec(.at(base, 8), .dword, isLocked: true)
                $0.alu(.sub, .at(base, 8), immediate: 3, isLocked: true)
            }
            #expect(
                lines == [
                    "lock add qword ptr \(place), r10", "lock or qword ptr \(place), r10",
                    "lock and qword ptr \(place), r10", "lock xor qword ptr \(place), r10",
                    "lock xadd dword ptr \(place), edi", "lock cmpxchg qword ptr \(place), r9",
                    "xchg qword ptr \(place), rsi", "lock inc qword ptr \(place)",
                    "lock dec dword ptr \(place)", "lock sub qword ptr \(place), 3",
                ])
        }
    }

    @Test("conditions of jcc, setcc and cmovcc")
    func conditions() throws {
        let names = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"]
        for (condition, suffix) in zip(X86_64Condition.allCases, names) {
            let lines = try assembled(at: 0x1000) {
                let here = $0.here()
                $0.jcc(condition, here)
                $0.jcc(condition, here, .short)
                $0.set(condition, .rcx)
                $0.cmov(condition, .rcx, .r8)
            }
            #expect(
                lines == [
                    "j\(suffix) 0x1000", "j\(suffix) 0x1000", "set\(suffix) cl", "cmov\(suffix) rcx, r8",
                ])
            #expect(condition.inverted.inverted == condition)
            #expect(condition.inverted != condition)
        }
    }

    @Test("instructions without operands, and those left over")
    func rest() throws {
        let lines = try assembled {
            $0.cqo(); $0.cdq(); $0.ret(); $0.leave(); $0.rdtsc(); $0.endbr64(); $0.int3(); $0.ud2()
            $0.syscall(); $0.pushfq(); $0.popfq(); $0.pause(); $0.mfence(); $0.lfence(); $0.cpuid()
            $0.push(immediate: 1); $0.push(immediate: 0x12345)
            $0.push(.at(.r12)); $0.pop(.at(.rsp, 8)); $0.jmp(.at(.r13)); $0.call(.at(.rbx, index: .rcx, scale: 8, 16))
            $0.movups(X86_64VectorRegister(8), .at(.rsp, 16)); $0.movups(.at(.rbp, -16), X86_64VectorRegister(1))
            $0.movq(.at(.r12, 8), X86_64VectorRegister(15))
            $0.test(.at(.rsp, 4), immediate: 1, .byte); $0.test(.rax, immediate: 1, .byte)
            $0.movsx(.rax, .at(.r12), from: .byte); $0.movsx(.rax, .at(.rbp), from: .dword)
            $0.movsx(.rax, .at(.rsp), from: .word, to: .dword); $0.movzx(.r8, .at(.r13), from: .word)
        }
        #expect(
            lines == [
                "cqo", "cdq", "ret", "leave", "rdtsc", "endbr64", "int3", "ud2", "syscall", "pushfq", "popfq", "pause",
                "mfence", "lfence", "cpuid", "push 1", "push 0x12345", "push qword ptr [r12]", "pop qword ptr [rsp + 8]",
                "jmp qword ptr [r13]", "call qword ptr [rbx + rcx*8 + 0x10]", "movups xmm8, xmmword ptr [rsp + 0x10]",
                "movups xmmword ptr [rbp - 0x10], xmm1", "movq qword ptr [r12 + 8], xmm15",
                "test byte ptr [rsp + 4], 1", "test al, 1", "movsx rax, byte ptr [r12]",
                "movsxd rax, dword ptr [rbp]", "movsx eax, word ptr [rsp]", "movzx r8d, word ptr [r13]",
            ])
        for count in 1...40 {
            var assembler = X86_64Assembler()
            assembler.nop(count)
            #expect(assembler.code.count == count)
            #expect(disassemble(assembler.code).allSatisfy { $0.hasPrefix("nop") })
        }
    }
}
