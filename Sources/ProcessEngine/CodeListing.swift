import BPF
import LinuxProcess
import PlainText
import Trampoline

/// The machine code that an fsession has in a process, as text.
package enum CodeListing {
    /// The trampoline of the one function that `pattern` matches, and the programs that it calls, each beside
    /// its BPF assembly.
    package static func text(of pattern: FunctionPattern, in pid: Int32) throws(EngineError) -> String {
        let memory: ProcessMemory
        do throws(ProcessError) {
            try StoppedProcess.checkTraceable(pid)
            memory = try ProcessMemory(pid: pid)
        } catch {
            throw .request("\(error)")
        }
        var functions = FunctionTable(processID: pid)
        let matches = functions.matching(pattern)
        guard !matches.isEmpty else {
            throw functions.nothingMatches(pattern)
        }
        for info in matches {
            let analysis = try functions.analysis(of: info.modulePath, for: [info], memory: memory, patched: [])
            guard let target = analysis.entryTarget(at: info.address),
                let trampoline = record(at: target, in: pid, memory)
            else { continue }
            return text(of: info, trampoline, in: pid, memory)
        }
        throw .request("no fsession traces '\(pattern)' in process \(pid); attach one first ('fsession trace … -p \(pid)')")
    }

    private static func record(
        at address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> (address: UInt64, record: CodeRecord)? {
        ForeignCode.records(around: address, in: pid, memory).first {
            let start = $0.address + UInt64($0.record.codeOffset)
            return (start..<(start + UInt64($0.record.code.count))).contains(address)
        }
    }

    private static func text(
        of info: FunctionInfo, _ trampoline: (address: UInt64, record: CodeRecord), in pid: Int32,
        _ memory: borrowing ProcessMemory
    ) -> String {
        let start = trampoline.address + UInt64(trampoline.record.codeOffset)
        let lines = MachineCodeText.lines(trampoline.record.code, at: start)
        let name = info.displayName.escapingControls()
        var text = "trampoline of \(info.module.escapingControls()):\(name) at 0x\(String(info.address, radix: 16))\n"
        var programs: [(address: UInt64, record: CodeRecord)] = []
        for line in lines {
            var note = ""
            if let target = line.target ?? line.farTarget, let called = record(at: target, in: pid, memory) {
                note = "    ; \(called.record.name.escapingControls())"
                if called.record.kind == .program, !programs.contains(where: { $0.address == called.address }) {
                    programs.append(called)
                }
            } else if let target = line.target, !(start..<(start + UInt64(trampoline.record.code.count))).contains(target) {
                note = "    ; \(name), moved entry"
            }
            text += line.text + note + "\n"
        }
        for program in programs { text += "\n" + self.text(ofProgram: program) }
        return text
    }

    private static func text(ofProgram program: (address: UInt64, record: CodeRecord)) -> String {
        let record = program.record
        let start = program.address + UInt64(record.codeOffset)
        var text = "program \(record.name.escapingControls())\n"
        let assembly = Disassembler().lines(record.instructions.map(Instruction.init(encoded:)))
        var machine = MachineCodeText.lines(record.code, at: start)[...]
        for (index, line) in assembly.enumerated() {
            text += "\(line.slot): \(line.text)\n"
            let next = assembly.indices.contains(index + 1) ? assembly[index + 1].slot : nil
            let end = next.flatMap { record.slotOffsets.indices.contains($0) ? start + UInt64(record.slotOffsets[$0]) : nil }
            while let first = machine.first, first.address < end ?? .max, !first.isPadding {
                text += "  " + first.text + "\n"
                machine = machine.dropFirst()
            }
        }
        return text
    }
}
