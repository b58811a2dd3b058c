import BPF
import Engine
import Glibc

/// uprobe, uretprobe and the kinds for many functions: FILE:FUNCTION, in all processes that have the file mapped.
extension Attacher {
    func fileProbe(_ isReturn: Bool) throws(EngineError) -> Attached {
        let (file, name) = try probedFile("uprobe/libc.so.6:malloc")
        guard let type = PerfEvent.probeType("uprobe") else {
            throw .kernel(
                doing: "attach '\(self.program.name)'", because: "this kernel has no uprobes (CONFIG_UPROBE_EVENTS, Linux 4.17)")
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
    func fileProbes(_ flags: UInt32) throws(EngineError) -> Attached {
        let (file, text) = try probedFile("uprobe.multi/libc.so.6:mem*")
        let found = try file.offsets(matching: Glob(text))
        let program = try load()
        let cookies = Array(repeating: cookie, count: cookie == 0 ? 0 : found.count)
        let link = file.path.withCString { path in
            found.map(\.offset).withUnsafeBytes { offsets in
                cookies.withUnsafeBytes { cookies -> Result<BPFDescriptor, Errno> in
                    var attributes = BPFAttributes()
                    attributes.set(0, program.descriptor.number)
                    attributes.set(4, UInt32(0))
                    attributes.set(8, kind.type.attachType)
                    attributes.set(12, UInt32(0))
                    attributes.set(16, UnsafeRawPointer(path))
                    attributes.set(24, offsets.baseAddress)
                    attributes.set(32, UInt64(0))
                    attributes.set(40, cookies.isEmpty ? nil : cookies.baseAddress)
                    attributes.set(48, UInt32(found.count))
                    attributes.set(52, flags)
                    attributes.set(56, UInt32(0))
                    return attributes.open(.linkCreate)
                }
            }
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
