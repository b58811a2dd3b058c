import Foundation
import Testing

/// The kernel engine in real kernels. What needs one is done by `kernel-checks` and `fsession` inside a virtual
/// machine of `scripts/vm`, which is started once for each kernel; what they say is judged here.
@Suite(.serialized)
struct KernelVMTests {
    @Test("what a session means holds in the kernel", arguments: VirtualMachine.kernels, KernelCheck.names)
    func meaning(kernel: String, check: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let line = try #require(
            machine.lines.first { $0 == "ok \(check)" || $0.hasPrefix("failed \(check): ") },
            "the machine said nothing of it: \(machine.ending)")
        #expect(line == "ok \(check)", "Linux \(kernel)")
    }

    @Test("the machine ran these checks and no others", arguments: VirtualMachine.kernels)
    func complete(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        // The checks come before the first part.
        let ran = machine.lines.prefix { !$0.hasPrefix("== ") }.filter { $0.hasPrefix("ok ") || $0.hasPrefix("failed ") }.count
        #expect(ran == KernelCheck.names.count, "\(machine.ending)")
    }

    @Test("the structures of bpf(2) are as this kernel's types say", arguments: VirtualMachine.kernels)
    func structures(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let lines = try #require(machine.part("structures"), "\(machine.ending)")
        #expect(lines.count == 2 && lines.last == "status 0", "\(lines)")
        let members = try #require(lines.first?.split(separator: " ").first.flatMap { Int($0) })
        #expect(members > 400)
    }

    @Test("the article's programs print its lines for a ping", arguments: VirtualMachine.kernels)
    func article(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        // A ping of this machine itself arrives twice: as request and as reply.
        #expect(
            machine.part("entry_exit") == [
                "fsession entry.", "fsession exit.", "fsession entry.", "fsession exit.", "fsession: 1 link", "status 0",
            ], "\(machine.ending)")
        #expect(
            machine.part("cookie") == [
                "fsession cookie: 0xdeadbeef", "fsession cookie: 0xdeadbeef", "fsession: 1 link", "status 0",
            ])
        #expect(machine.part("links of cookie") == (kernel == "7.2" ? ["58"] : ["24", "25"]))
    }

    @Test("nothing stays behind after Ctrl-C, kill -9 and errors: no link, program or map", arguments: VirtualMachine.kernels)
    func cleanUp(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        #expect(machine.part("links before kill")?.isEmpty == false)
        for part in ["interrupt", "kill", "many were killed", "attaching was interrupted", "bad input", "lockdown"] {
            #expect(machine.part("left after \(part)") == ["nothing"], "\(part)")
        }
    }

    @Test("each session shows its own lines and nobody else's, however many print", arguments: VirtualMachine.kernels)
    func prints(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        #expect(
            machine.part("cookie beside others") == [
                "fsession cookie: 0xdeadbeef", "fsession cookie: 0xdeadbeef", "fsession: 1 link", "status 0",
            ])
        #expect(
            machine.part("entry_exit beside others") == [
                "fsession entry.", "fsession exit.", "fsession entry.", "fsession exit.", "fsession: 1 link", "status 0",
            ])
        // The classifier's lines were printed, and are where all others look for lines; ours are not.
        #expect(machine.part("what the others printed") == ["2", "0"])
    }

    @Test("a kernel that is locked down has sessions, and what they print", arguments: VirtualMachine.kernels)
    func lockdown(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        #expect(
            machine.part("cookie while locked down") == [
                "fsession cookie: 0xdeadbeef", "fsession cookie: 0xdeadbeef", "fsession: 1 link", "status 0",
            ])
    }

    @Test("trace shows typed calls: of vmlinux and of a module", arguments: VirtualMachine.kernels)
    func trace(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let calls = try #require(machine.part("trace"))
        #expect(calls.filter { $0.contains("icmp_rcv(skb=0xff") && $0.contains(") = ") }.count == 2, "\(calls)")
        #expect(calls.suffix(2) == ["fsession: 2 calls of 1 function", "status 0"])
        let module = try #require(machine.part("trace of a module"))
        #expect(module.contains { $0.contains("dummy_xmit(skb=0xff") && $0.contains("dev=0xff") && $0.contains("= NETDEV_TX_OK") }, "\(module)")
    }

    @Test("sessions at a loaded BPF program", arguments: VirtualMachine.kernels)
    func program(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let lines = try #require(machine.part("session at a program"))
        #expect(lines.filter { $0 == "classify returned 7" }.count == 1, "\(lines)")
    }

    @Test("the doctor tells native and split sessions apart by trying", arguments: VirtualMachine.kernels)
    func doctor(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let lines = try #require(machine.part("doctor"))
        #expect(lines.last == "status 0")
        // Debian's 6.1 lets programs modify no return values.
        let missing = lines.filter { $0.hasPrefix("no ") }.map { $0.split(separator: " ").dropFirst().first ?? "" }
        let expected: Set<Substring> =
            switch kernel {
            case "6.1": ["fmod_ret", "kprobe.multi", "kprobe.session", "uprobe.multi", "reasons"]
            case "6.12": ["fmod_ret", "reasons"]
            default: []
            }
        #expect(Set(missing).isSubset(of: expected), "\(lines)")
        let sessions = try #require(lines.first { $0.hasPrefix("ok  sessions ") })
        #expect(sessions.contains(kernel == "7.2" ? "native" : "split into fentry and fexit"))
    }

    @Test("bad input: one line with what, why and what to do; nothing attached", arguments: VirtualMachine.kernels)
    func badInput(kernel: String) async throws {
        guard let machine = try await VirtualMachine.of(kernel) else { return }
        let expected: [(part: String, pieces: [String])] = [
            ("unknown function", ["no function matches 'kernel:icmp_rcvv'", "did you mean 'icmp_rcv'"]),
            ("unknown module", ["no module 'nosuch*' is loaded", "dummy"]),
            ("no permission", ["not permitted", "run fsession as root"]),
            ("rejected", ["answers_session", "R0", "answers.bpf.c:"]),
            ("no return", ["do_exit", "never returns", "fentry"]),
            ("unknown helper", ["calls_unknown_helper", "4711", "no kernel has a helper of that number", "bad.bpf.c:"]),
            ("other helper", ["calls_other_helper", "sock_map_update", "helper"]),
            ("not traceable", ["sched_clock", "cannot trace it"]),
            ("needed by programs", ["__rcu_read_lock", "BPF programs themselves call it", "stand still", "trace one of its callers"]),
            ("of no type", ["entry_SYSCALL_64", "cannot trace it", "no type for it", "assembly", "trace one of its callers"]),
            ("many of that name", ["type_show", "the name stands for", "different addresses", "trace one of its callers"]),
            ("unknown kfunc", ["no kfunc 'fsession_no_such_kfunc'", "not known", "load the module", "__weak"]),
            ("kfunc of a module that is not loaded", ["no kfunc 'bbr_init'", "load the module"]),
            ("kfunc of a module", ["calls_kfunc", "bbr_init is not allowed", "programs of this kind do not have that kfunc"]),
            ("no such object", ["nowhere.bpf.o"]),
            ("no program of that name", ["no program 'nobody'"]),
            ("no types", ["/sys/kernel/btf/vmlinux does not exist", "CONFIG_DEBUG_INFO_BTF"]),
            ("spoilt types", ["cannot read the types in /sys/kernel/btf/vmlinux", "truncated", "umount"]),
            ("no capability", ["not permitted", "run fsession as root", "CAP_BPF"]),
            ("locked down", ["bpf_fentry_test1", "locked down (confidentiality)", "boot it without lockdown="]),
            ("locked down, many functions", ["available_filter_functions", "locked down (confidentiality)", "boot it without lockdown="]),
        ]
        for (part, pieces) in expected {
            let lines = try #require(machine.part(part), "\(part)")
            #expect(lines.count == 2 && lines.last == "status 1", "\(part): \(lines)")
            for piece in pieces { #expect(lines.first?.contains(piece) == true, "\(part): \(lines)") }
        }
        let newer = try #require(machine.part("a section of a newer kernel"))
        if kernel == "6.1" {
            #expect(newer.count == 2 && newer[0].contains("Linux 6.10") && newer[1] == "status 1", "\(newer)")
        } else {
            #expect(newer.last == "status 0", "\(newer)")
        }
        let kfunc = try #require(machine.part("kfunc of a newer kernel"))
        if kernel == "7.2" {
            #expect(kfunc.last == "status 0", "\(kfunc)")
        } else {
            #expect(kfunc.count == 2 && kfunc[0].contains("no kfunc 'bpf_task_from_vpid'") && kfunc[0].contains("Linux 6.14"), "\(kfunc)")
            #expect(kfunc.last == "status 1")
        }
    }
}
