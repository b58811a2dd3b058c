import CLinux
import BPF
import Engine
import Glibc

/// kprobe, kretprobe, ksyscall and kretsyscall, and the kinds for many functions.
extension Attacher {
    func probe(_ isReturn: Bool, _ traceable: inout TraceableFunctions) throws(EngineError) -> Attached {
        var name = try functionName("kprobe/tcp_v4_connect")
        guard let type = PerfEvent.probeType("kprobe") else {
            throw .kernel(
                doing: "attach '\(self.program.name)'", because: "this kernel has no kprobes (CONFIG_KPROBE_EVENTS, Linux 4.17)")
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
    func probes(_ flags: UInt32, _ traceable: inout TraceableFunctions) throws(EngineError) -> Attached {
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
        let link = CStrings.withPointers(names) { symbols -> Result<BPFDescriptor, Errno> in
            let cookies = Array(repeating: cookie, count: cookie == 0 ? 0 : names.count)
            return cookies.withUnsafeBytes { cookies in
                var attributes = BPFAttributes()
                attributes.set(0, program.descriptor.number)
                attributes.set(4, UInt32(0))
                attributes.set(8, kind.type.attachType)
                attributes.set(12, UInt32(0))
                attributes.set(16, flags)
                attributes.set(20, UInt32(names.count))
                attributes.set(24, UnsafeRawPointer(symbols))
                attributes.set(32, UInt64(0))
                attributes.set(40, cookies.isEmpty ? nil : cookies.baseAddress)
                return attributes.open(.linkCreate)
            }
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

/// Texts for a system call that takes an array of pointers to them.
enum CStrings {
    static func withPointers<Result>(_ texts: [String], _ body: (UnsafePointer<UInt>?) -> Result) -> Result {
        var starts: [Int] = []
        var bytes: [UInt8] = []
        for text in texts {
            starts.append(bytes.count)
            bytes += text.utf8
            bytes.append(0)
        }
        return bytes.withUnsafeBytes { bytes in
            let base = UInt(bitPattern: bytes.baseAddress)
            return starts.map { base + UInt($0) }.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }
}
