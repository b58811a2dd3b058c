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
    /// Time, thread and process, and what `bpf_snprintf` said.
    private static let headBytes: Int32 = 24
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
    package func redirecting(_ program: ObjectProgram, _ types: BTF?) throws(ProgramPatcher.PatchError) -> ObjectProgram {
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
        let body = try program.replacing(zeros)
        var (instructions, subprograms, lines) = (body.instructions, body.subprograms, body.lines)
        for (helper, name, function) in [
            (Helper.tracePrintk, "fsession_printk", keepValues + print), (.traceVprintk, "fsession_vprintk", keepArray + print),
        ] {
            let calls = instructions.indices.filter { instructions[$0].printHelper == helper }
            guard !calls.isEmpty else { continue }
            let start = instructions.count
            for slot in calls { instructions[slot] = .call(.subprogram(Int32(start - slot - 1))) }
            instructions += function
            subprograms.append(ObjectProgram.Subprogram(name: name, start: start, isGlobal: false, typeID: typeID))
            if !lines.isEmpty { lines.append(SourceLine(slot: start, file: Self.file, line: 1, column: 1, text: Self.line)) }
        }
        return ObjectProgram(
            name: body.name, section: body.section, instructions: instructions, subprograms: subprograms, lines: lines,
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
    private var print: [Instruction] {
        let lost: [Instruction] =
            Instruction.loadMapValue(.r1, index: firstMap + 1, offset: 0)
            + [.move(.r2, 1), .atomic(.add, base: .r1, .r2), .move(.r0, -ENOSPC), .exit]
        return Instruction.loadMap(.r1, index: firstMap)
            + [
                .move(.r2, Self.headBytes + Self.textBytes), .move(.r3, 0), .call(Helper.ringbufReserve),
                .branch(.notEqual, .r0, 0, Int16(lost.count)),
            ] + lost
            + [
                .move(.r9, .r0),
                .call(Helper.ktimeGetNs), .store(.u64, .r0, to: .r9),
                .call(Helper.getCurrentPidTgid), .store(.u64, .r0, to: .r9, offset: 8),
                .move(.r1, .r9), .add(.r1, Self.headBytes), .move(.r2, Self.textBytes), .move(.r3, .r6),
                .move(.r4, .r7), .move(.r5, .r8), .call(Helper.snprintf),
                .store(.u64, .r0, to: .r9, offset: 16), .move(.r6, .r0),
                .move(.r1, .r9), .move(.r2, 0), .call(Helper.ringbufSubmit),
                // It counts the zero at the end.
                .move(.r0, .r6), .subtract(.r0, 1), .exit,
            ]
    }

    // MARK: The records

    /// A line; nil for a record without text: `bpf_snprintf` found none of its buffers free, as `bpf_trace_printk` may not.
    package static func event(_ record: UnsafeRawBufferPointer) -> EngineEvent? {
        guard record.count >= Int(headBytes) else { return nil }
        let length = record.loadUnaligned(fromByteOffset: 16, as: Int64.self)
        guard length > 0 else { return nil }
        let who = record.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        let text = String(decoding: record.dropFirst(Int(headBytes)).prefix { $0 != 0 }, as: UTF8.self)
        return .print(
            time: record.loadUnaligned(as: UInt64.self), processID: Int32(truncatingIfNeeded: who >> 32),
            threadID: Int32(truncatingIfNeeded: who), text: text.hasSuffix("\n") ? text : text + "\n")
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
