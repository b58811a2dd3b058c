import BPF
import CLinux
import Engine
import Glibc
import LinuxBPF

/// kprobe, kretprobe, ksyscall and kretsyscall, and the kinds for many functions.
extension Attacher {
    func probe(_ isReturn: Bool, _ traceable: inout TraceableFunctions) throws(EngineError) -> Attached {
        var name = try functionName("kprobe/tcp_v4_connect")
        guard let type = PerfEvent.probeType("kprobe") else {
            throw .kernel(
                doing: "attach '\(self.program.name)'", because: "this kernel has no kprobes (CONFIG_KPROBE_EVENTS, \(KernelHistory.since(.kprobe)))")
        }
        if [.ksyscall, .kretsyscall].contains(self.program.section.kind) { name = SystemCallNames.function(name) }
        var offset: UInt64 = 0
        var symbol = name
        if let plus = name.firstIndex(of: "+") {
            let text = name[name.index(after: plus)...]
            guard let number = UInt64(text) ?? (text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : nil), !isReturn else {
                throw .request("'\(name)': write FUNCTION, or for a kprobe FUNCTION+OFFSET")
            }
            (symbol, offset) = (String(name[..<plus]), number)
        }
        let program = try load()
        let event = PerfEvent(type: type.type, config: isReturn ? type.returnBit : 0)
        switch event.attach(program, at: symbol, offset: offset, cookie: cookie) {
        case .success(let link): return attached(link, info(name, "kernel"))
        case .failure(let error):
            traceable.read(Glob("*"))
            throw failure(error, name, nearest: NearestNames.of(symbol, in: traceable.names))
        }
    }

    /// One link at all functions that a pattern matches: `BPF_TRACE_KPROBE_MULTI` or `BPF_TRACE_KPROBE_SESSION`.
    func probes(_ isReturn: Bool, _ traceable: inout TraceableFunctions) throws(EngineError) -> Attached {
        let glob = Glob(try functionName("kprobe.multi/tcp_*"))
        traceable.read(glob)
        let names = traceable.unique(matching: glob)
        guard !names.isEmpty else {
            guard traceable.isKnown else {
                throw .refused(
                    function: glob.text,
                    because: "available_filter_functions, which lists the functions that can be probed, cannot be read: "
                        + TraceFiles.problem)
            }
            traceable.read(Glob("*"))
            throw .noFunction(pattern: glob.text, nearest: NearestNames.of(glob.text, in: traceable.names))
        }
        let program = try load()
        let link = AttributeArena.with { arena in
            var attributes = LinkCreate(program) {
                if isReturn { $0.kprobeMultiFlags = LinuxFlag.bpfFKprobeMultiReturn }
                $0.kprobeMultiCnt = UInt32(names.count)
                $0.kprobeMultiSyms = arena.address(of: names)
                $0.kprobeMultiCookies = arena.address(of: repeatElement(cookie, count: cookie == 0 ? 0 : names.count))
            }
            return attributes.open(.linkCreate)
        }
        switch link {
        case .success(let link):
            return Attached(
                programs: AttachedPrograms([AttachedProgram(link: link, program: program.descriptor)]),
                places: names.map { info($0, "kernel") })
        case .failure(let error): throw failure(error, glob.text)
        }
    }

    /// The place without "kernel:", which may stand in front.
    private func functionName(_ example: String) throws(EngineError) -> String {
        let text = try text(example)
        return text.hasPrefix("kernel:") ? String(text.dropFirst(7)) : text
    }
}

/// What the function of a system call is called.
enum SystemCallNames {
    /// The prefix of this architecture, where the kernel wraps its system calls (`__x64_sys_openat`, say).
    static let prefix: String = {
        let prefix = String(cString: clinux_system_call_prefix())
        return KernelSymbols.addresses(of: ["\(prefix)bpf"]).isEmpty ? "__se_sys_" : prefix
    }()

    static var isWrapped: Bool { prefix != "__se_sys_" }

    static func function(_ name: String) -> String { prefix + name }
}
