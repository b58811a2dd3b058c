import BPF
import BTF
import Engine
import Glibc

/// Where the lines of `bpf_printk` go: a ring of this session's own.
///
/// The kernel would write them into its trace buffer, among those of all programs of the machine, and whoever reads
/// `trace_pipe` takes them away from everybody else. So calls of `bpf_trace_printk` and `bpf_trace_vprintk` become calls
/// of two small functions behind the program, in which `bpf_snprintf` writes the same text into the ring.
///
/// Where the kernel's verifier does not take that (a format on the stack, no room on the stack, Linux before 5.13), the
/// program is loaded as it is and its lines come out of `trace_pipe`.
package struct PrintRing: Sendable {
    /// Where its maps are in the list of a loader.
    let firstMap: Int32
    /// The type of the two functions, if the object has types.
    let typeID: BTF.TypeID?

    /// The longest text, as the kernel's own: `BPF_TRACE_PRINTK_SIZE`.
    private static let textBytes: Int32 = 1024
    private static let file = "fsession"
    private static let line = "what a program prints"
    static let lineTexts = [file, line]

    /// The ring, and a count of the lines that found no room in it.
    static let maps = [
        MapDefinition(name: "bpf_trace_printk", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: 4 << 20),
        MapDefinition(name: "fsession_lost", type: .array, keySize: 4, valueSize: 8, maxEntries: 1),
    ]

    package init(firstMap: Int32, typeID: BTF.TypeID?) {
        self.firstMap = firstMap
        self.typeID = typeID
    }

    /// The program, of an object with these types, with its lines going into the ring.
    package func redirecting(_ program: ObjectProgram, _ types: BTF?) throws(EngineError) -> ObjectProgram {
        var parameters: [Int: Int] = [:]
        for function in program.subprograms {
            guard let types, let id = function.typeID, case .function(let prototype, _) = types[id].kind,
                case .prototype(_, let list) = types[prototype].kind
            else { continue }
            parameters[function.start] = list.count
        }
        let unset = UnsetRegisters(program.instructions, parameters: parameters)
        var zeros: [Int: [Instruction]] = [:]
        for (slot, call) in program.instructions.enumerated() where call.printHelper == .tracePrintk {
            // A format with fewer values leaves registers as they are. A helper may be called so, a function that reads
            // them may not.
            zeros[slot] = unset.among([.r3, .r4, .r5], at: slot).map { .move($0, 0) } + [call]
        }
        let body = try program.with(zeros)
        var (subprograms, lines) = (body.subprograms, body.lines)
        var code = ProgramBuilder()
        let functions = [
            (helper: Helper.tracePrintk, label: code.makeLabel(), name: "fsession_printk", start: keepValues),
            (helper: .traceVprintk, label: code.makeLabel(), name: "fsession_vprintk", start: keepArray),
        ]
        for instruction in body.instructions {
            if let function = functions.first(where: { $0.helper == instruction.printHelper }) {
                code.call(function.label)
            } else {
                code.append(instruction)
            }
        }
        for function in functions where body.instructions.contains(where: { $0.printHelper == function.helper }) {
            let start = code.instructions.count
            code.place(function.label)
            code.append(function.start)
            appendPrint(to: &code)
            subprograms.append(ObjectProgram.Subprogram(name: function.name, start: start, isGlobal: false, typeID: typeID))
            if !lines.isEmpty { lines.append(SourceLine(slot: start, file: Self.file, line: 1, column: 1, text: Self.line)) }
        }
        return ObjectProgram(
            name: body.name, section: body.section, instructions: try code.finish(body.name), subprograms: subprograms, lines: lines,
            typeID: body.typeID, coreRelocations: body.coreRelocations)
    }

    // MARK: The functions

    // r6: the format. r7: the values, r8: how many bytes they take.

    /// `bpf_trace_printk(format, size, a, b, c)`
    private var keepValues: [Instruction] {
        [
            .move(.r6, .r1), .store(.u64, .r3, to: .r10, offset: -24), .store(.u64, .r4, to: .r10, offset: -16),
            .store(.u64, .r5, to: .r10, offset: -8), .move(.r7, .r10), .add(.r7, -24), .move(.r8, 24),
        ]
    }

    /// `bpf_trace_vprintk(format, size, values, bytes)`
    private var keepArray: [Instruction] { [.move(.r6, .r1), .move(.r7, .r3), .move(.r8, .r4)] }

    /// Gives what the helpers give: the length of the text, or an error.
    private func appendPrint(to code: inout ProgramBuilder) {
        let hasRoom = code.makeLabel()
        let head = Int32(PrintRecord.text)
        code.append(Instruction.loadMap(.r1, index: firstMap))
        code.append([.move(.r2, head + Self.textBytes), .move(.r3, 0), .call(.ringbufReserve)])
        code.branch(.notEqual, .r0, 0, to: hasRoom)
        code.append(Instruction.loadMapValue(.r1, index: firstMap + 1, offset: 0))
        code.append([.move(.r2, 1), .atomic(.add, base: .r1, .r2), .move(.r0, -ENOSPC), .exit])
        code.place(hasRoom)
        code.append([
            .move(.r9, .r0),
            .call(.ktimeGetNs), .store(.u64, .r0, to: .r9, offset: Int16(PrintRecord.time)),
            .call(.getCurrentPidTgid), .store(.u64, .r0, to: .r9, offset: Int16(PrintRecord.identity)),
            .move(.r1, .r9), .add(.r1, head), .move(.r2, Self.textBytes), .move(.r3, .r6),
            .move(.r4, .r7), .move(.r5, .r8), .call(.snprintf),
            .store(.u64, .r0, to: .r9, offset: Int16(PrintRecord.length)), .move(.r6, .r0),
            .move(.r1, .r9), .move(.r2, 0), .call(.ringbufSubmit),
            // It counts the zero at the end.
            .move(.r0, .r6), .subtract(.r0, 1), .exit,
        ])
    }
}

extension Instruction {
    /// The helper that it prints with.
    fileprivate var printHelper: Helper? {
        [Helper.tracePrintk, .traceVprintk].first { self == .call($0) }
    }
}

extension ObjectProgram {
    /// Whether it calls `bpf_printk`.
    package var prints: Bool { instructions.contains { $0.printHelper != nil } }
}
