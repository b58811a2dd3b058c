import BPF
import BTF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// tracepoint, raw_tp, tp_btf, lsm, iter and perf_event.
extension Attacher {
    /// "sched/sched_switch", by its number in tracefs.
    func tracepoint() throws(EngineError) -> Attached {
        let name = try text("tracepoint/sched/sched_switch", separator: "/")
        guard let folder = TraceFiles.path("events") else {
            throw .kernel(
                doing: "attach '\(self.program.name)'",
                because: "tracefs, which has the tracepoints' numbers, is not mounted; mount -t tracefs tracefs /sys/kernel/tracing")
        }
        guard name.split(separator: "/").count == 2, !name.contains(".."),
            let text = try? WholeFile.text("\(folder)/\(name)/id"), let id = UInt64(text.prefix { $0.isNumber })
        else {
            var names: [String] = []
            for group in Directory.names(folder) {
                names += Directory.names("\(folder)/\(group)").map { "\(group)/\($0)" }
            }
            throw unknown("tracepoint", name, names)
        }
        let program = try load()
        switch PerfEvent(type: PerfType.tracepoint.rawValue, config: id).attach(program, cookie: cookie) {
        case .success(let link): return attached(link, info(name, "tracepoint"))
        case .failure(let error): throw failure(error, name)
        }
    }

    /// `BPF_RAW_TRACEPOINT_OPEN` by name.
    func rawTracepoint() throws(EngineError) -> Attached {
        let name = try text("raw_tp/sched_switch")
        let program = try load()
        switch open(program, named: name) {
        case .success(let link): return attached(link, info(name, "tracepoint"))
        case .failure(let error):
            guard error.number == ENOENT else { throw failure(error, name) }
            let events = TraceFiles.path("events") ?? ""
            throw unknown("tracepoint", name, Directory.names(events).flatMap { Directory.names("\(events)/\($0)") })
        }
    }

    private func open(_ program: KernelProgram, named name: String?) -> Result<AttachedProgram, Errno> {
        AttributeArena.with { arena in
            var attributes = RawTracepointOpen {
                $0.name = name.map { arena.address(of: $0) } ?? 0
                $0.progFd = program.descriptor.number
                $0.cookie = cookie
            }
            return attributes.open(.rawTracepointOpen).map { AttachedProgram(link: $0, program: program.descriptor) }
        }
    }

    /// tp_btf, lsm and iter: the kernel has a type for each place, of vmlinux or of a module.
    func typed(
        _ prefix: String, _ sort: KernelKind.TypeKind, _ kernel: inout KernelTypes
    ) throws(EngineError) -> Attached {
        var name = try text(sort == .tracepoint ? "tp_btf/sched_switch" : sort == .hook ? "lsm/file_open" : "iter/task")
        var map: KernelMap?
        if sort == .iterator { (name, map) = try iterated(name) }
        let kind: BTFIndex.KindNumber = sort == .tracepoint ? .typedef : .function
        var target: LoadTarget?
        for source in try kernel.all() where target == nil {
            guard let id = source.types.id(named: prefix + name, kind) else { continue }
            target = LoadTarget(function: id, holder: source.descriptor)
        }
        guard let target else {
            let names = try kernel.all().flatMap { $0.types.names(kind, after: prefix) }
            throw unknown(sort == .tracepoint ? "tracepoint" : sort == .hook ? "hook" : "iterator", name, names)
        }
        if sort == .hook { try requireHooks() }
        let program = try load(for: target)
        if sort == .iterator { return try iterator(program, name, over: map) }
        switch open(program, named: nil) {
        case .success(let link): return attached(link, info(name, sort == .hook ? "lsm" : "tracepoint"))
        case .failure(let error): throw failure(error, name)
        }
    }

    /// Programs can be attached to hooks that nobody ever calls: where "bpf" is none of the active modules.
    private func requireHooks() throws(EngineError) {
        guard let active = try? WholeFile.text("/sys/kernel/security/lsm"), !active.split(whereSeparator: { ",\n".contains($0) }).contains("bpf")
        else { return }
        throw .kernel(
            doing: "attach '\(program.name)'",
            because: "lsm programs never run here: 'bpf' is not among the active security modules (\(active)); boot with lsm=\(active),bpf")
    }

    /// Samples of the CPUs' clocks: "perf_event", or "perf_event/cpu-clock:999" with so many a second.
    func samples() throws(EngineError) -> Attached {
        var frequency: UInt64 = 99
        if let place, !place.function.text.isEmpty {
            let text = try text("perf_event/cpu-clock:99")
            let parts = text.split(separator: ":")
            guard parts.first == "cpu-clock", parts.count <= 2, let number = parts.count == 2 ? UInt64(parts[1]) : 99, number > 0 else {
                throw .request("'\(text)' is not an event: write cpu-clock, or cpu-clock:FREQUENCY (samples a second)")
            }
            frequency = number
        }
        let program = try load()
        var event = PerfEvent(.cpuClock)
        event.sample(frequency: frequency)
        var links: [AttachedProgram] = []
        for cpu in 0..<ProcessorCount.possible {
            switch event.attach(program, cookie: cookie, cpu: Int32(cpu)) {
            case .success(let link): links.append(link)
            // Not there at the moment.
            case .failure(let error) where error.number == ENODEV: continue
            case .failure(let error): throw failure(error, "cpu-clock")
            }
        }
        return Attached(programs: AttachedPrograms(links), places: [info("cpu-clock:\(frequency)", "perf_event")])
    }

    private func unknown(_ what: String, _ name: String, _ names: [String]) -> EngineError {
        let nearest = NearestNames.of(name, in: names)
        return .kernel(
            doing: "attach '\(program.name)'",
            because: "this kernel has no \(what) '\(name)'"
                + (nearest.isEmpty ? "" : "; did you mean \(nearest.map { "'\($0)'" }.joined(separator: ", "))?"))
    }
}
