import BPF
import Engine
import Glibc
import LinuxBPF

/// uprobe, uretprobe and the kinds for many functions: FILE:FUNCTION, in all processes that have the file mapped.
extension Attacher {
    func fileProbe(_ isReturn: Bool) throws(EngineError) -> Attached {
        let (file, name) = try probedFile("uprobe/libc.so.6:malloc")
        guard let type = PerfEvent.probeType("uprobe") else {
            throw .kernel(
                doing: "attach '\(self.program.name)'",
                because: "this kernel has no uprobes (CONFIG_UPROBE_EVENTS, \(KernelHistory.since(.uprobe)))")
        }
        let offset = try file.offset(of: name)
        let program = try load()
        let event = PerfEvent(type: type.type, config: isReturn ? type.returnBit : 0)
        switch event.attach(program, at: file.path, offset: offset, cookie: cookie) {
        case .success(let link): return attached(link, info(name, file.path))
        case .failure(let error): throw failure(error, "\(file.path):\(name)")
        }
    }

    /// One link at all functions of a file that a pattern matches: `BPF_TRACE_UPROBE_MULTI` or
    /// `BPF_TRACE_UPROBE_SESSION`.
    func fileProbes(_ isReturn: Bool) throws(EngineError) -> Attached {
        let (file, text) = try probedFile("uprobe.multi/libc.so.6:mem*")
        let found = try file.offsets(matching: Glob(text))
        let program = try load()
        let link = AttributeArena.with { arena in
            var attributes = LinkCreate(program) {
                $0.uprobeMultiPath = arena.address(of: file.path)
                $0.uprobeMultiOffsets = arena.address(of: found.map(\.offset))
                $0.uprobeMultiCookies = arena.address(of: repeatElement(cookie, count: cookie == 0 ? 0 : found.count))
                $0.uprobeMultiCnt = UInt32(found.count)
                if isReturn { $0.uprobeMultiFlags = LinuxFlag.bpfFUprobeMultiReturn }
            }
            return attributes.open(.linkCreate)
        }
        switch link {
        case .success(let link):
            return Attached(
                programs: AttachedPrograms([AttachedProgram(link: link, program: program.descriptor)]),
                places: found.map { info($0.name, file.path) })
        case .failure(let error): throw failure(error, "\(file.path):\(text)")
        }
    }

    private func probedFile(_ example: String) throws(EngineError) -> (ProbedFile, String) {
        _ = try text(example)
        guard let place, let module = place.module else {
            throw .request(
                "program '\(program.name)': '\(program.section.name)' names no file; write it as in '\(example)'")
        }
        return (try ProbedFile(module.text), place.function.text)
    }
}
