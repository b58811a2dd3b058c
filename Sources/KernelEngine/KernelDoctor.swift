import BPF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// What this machine's kernel lets fsession do: each answer is that of a real try, none a guess by a version number.
package enum KernelDoctor {
    package struct Finding: Sendable {
        package let what: String
        package let isGood: Bool
        /// What was found, or why not and what to change.
        package let text: String
    }

    package static func examine() -> [Finding] {
        var findings: [Finding] = []
        func say(_ what: String, _ isGood: Bool, _ text: String) {
            findings.append(Finding(what: what, isGood: isGood, text: text))
        }
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let machine = withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        say("kernel", true, "Linux \(release), \(machine)")
        say("bpf(2)", mapProblem == nil, mapProblem ?? "permitted: a map can be made")
        let jit = text("/proc/sys/net/core/bpf_jit_enable")
        say(
            "JIT", jit != "0",
            jit == "0" ? "off, and trampolines need it: sysctl net.core.bpf_jit_enable=1" : jit == nil ? "cannot be read" : "on")
        if let lockdown = text("/sys/kernel/security/lockdown") {
            let isLocked = lockdown.contains("[confidentiality]")
            say(
                "lockdown", !isLocked,
                isLocked ? "confidentiality: reading kernel memory is forbidden; boot without lockdown=confidentiality" : lockdown)
        }
        let isReadable = TraceFiles.isReadable
        say(
            "tracefs", isReadable,
            isReadable ? TraceFiles.folder ?? "" : "what can be traced is not known beforehand: \(TraceFiles.problem)")
        let kernel: KernelTypes
        do throws(EngineError) {
            kernel = try KernelTypes()
            say("types (BTF)", true, "\(kernel.vmlinux.types.endID - 1) types, \(KernelTypes.moduleNames.count) modules with types")
        } catch {
            say("types (BTF)", false, "\(error)")
            return findings
        }
        let isNative = KernelFeatures.hasSessions(kernel.vmlinux.types)
        let fentry = probe("fentry", "bpf_fentry_test1", kernel)
        let fexit = probe("fexit", "bpf_fentry_test1", kernel)
        say("fentry", fentry == nil, fentry ?? "attached and detached")
        say("fexit", fexit == nil, fexit ?? "attached and detached")
        let modify = probe("fmod_ret", "bpf_modify_return_test", kernel)
        say("fmod_ret", modify == nil, modify ?? "attached and detached")
        if isNative {
            let session = probe("fsession", "bpf_fentry_test1", kernel)
            say("sessions", session == nil, session.map { "this kernel has them, but: \($0)" } ?? "native: attached and detached")
        } else if let problem = fentry ?? fexit {
            say("sessions", false, "this kernel has none of its own, and they cannot be split: \(problem)")
        } else {
            say("sessions", true, "split into fentry and fexit: this kernel has none of its own (BPF_TRACE_FSESSION)")
        }
        say(
            "many functions", true,
            KernelFeatures.has(.sessionMulti, kernel.vmlinux.types) == true
                ? "one link at all of them (BPF_TRACE_FSESSION_MULTI), where a program does not read ctx itself" : "a link for each function")
        for (kind, isThere) in otherKinds(kernel) { say(kind, isThere.problem == nil, isThere.problem ?? isThere.text) }
        say(
            "reasons", reasons != nil,
            reasons ?? "the kernel gives error numbers only, but for programs (BPF_COMMON_ATTRS, \(KernelHistory.since(.reasons)))")
        return findings
    }

    /// What attaching a program that does nothing shows of the kinds that are not at functions.
    private static func otherKinds(_ kernel: KernelTypes) -> [(String, (problem: String?, text: String))] {
        var kernel = kernel
        var traceable = TraceableFunctions()
        return [
            "kprobe/bpf_fentry_test1", "kprobe.multi/bpf_fentry_test1", "kprobe.session/bpf_fentry_test1", "uprobe//proc/self/exe:0x1000",
            "uprobe.multi//proc/self/exe:main", "tracepoint/sched/sched_switch", "raw_tp/sched_switch", "tp_btf/sched_switch",
            "lsm/file_open", "perf_event",
        ].compactMap { name in
            guard let section = ProgramSection(name: name) else { return nil }
            let program = ObjectProgram(name: "probe", section: section, instructions: [.move(.r0, 0), .exit])
            let object = Object(name: "the probe", programs: [program], externs: [], license: "Dual MIT/GPL")
            do throws(EngineError) {
                let loader = try ProgramLoader(object, types: try ObjectTypes(object), maps: [], kernel: &kernel)
                _ = try Attacher(program, loader, place: FunctionPattern(section), cookie: 0).attach(&kernel, &traceable)
                return (section.kind.rawValue, (nil, "attached and detached"))
            } catch {
                return (section.kind.rawValue, (error.reason, ""))
            }
        }
    }

    /// What the kernel says of a map that cannot be: an array with something for Bloom filters.
    private static var reasons: String? {
        let attributes = MapCreate {
            $0.mapType = MapType.array.rawValue
            ($0.keySize, $0.valueSize, $0.maxEntries) = (4, 4, 1)
            $0.mapExtra = 77
        }
        return attributes.explanation(of: .mapCreate).map { "the kernel says why it refuses something, as in '\($0)'" }
    }

    private static var mapProblem: String? {
        do throws(EngineError) {
            _ = try KernelMap(
                MapDefinition(name: "probe", type: .array, keySize: 4, valueSize: 8, maxEntries: 1), types: nil)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Attaches a program that does nothing to one of the kernel's test functions; why it did not work.
    private static func probe(_ kind: String, _ function: String, _ kernel: KernelTypes) -> String? {
        var kernel = kernel
        guard let section = ProgramSection(name: kind), let id = kernel.vmlinux.types.id(named: function, .function) else {
            return "not tried: this kernel has no \(function)"
        }
        let program = ObjectProgram(name: "probe", section: section, instructions: [.move(.r0, 0), .exit])
        let object = Object(name: "the probe", programs: [program], externs: [], license: "Dual MIT/GPL")
        do throws(EngineError) {
            let loader = try ProgramLoader(object, types: try ObjectTypes(object), maps: [], kernel: &kernel)
            let target = KernelFunction(
                name: function, module: "kernel", target: LoadTarget(function: id, holder: nil),
                prototype: KernelPrototype(of: id, in: kernel.vmlinux.types))
            let loaded = try loader.load(program, as: ProgramType(section.kind), for: target.target)
            _ = try KernelLink.create(loaded, "probe", target, cookie: 0)
            return nil
        } catch {
            return error.reason
        }
    }

    private static func text(_ path: String) -> String? {
        guard let text = try? WholeFile.text(path) else { return nil }
        return text.last == "\n" ? String(text.dropLast()) : text
    }
}
