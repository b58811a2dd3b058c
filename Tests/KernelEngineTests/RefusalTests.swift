import Glibc
import KernelEngine
import Testing

@Suite("Why the kernel does not take something")
struct RefusalTests {
    @Test("a kernel without trampolines is told from a full function and a patched one")
    func links() {
        for number in [LinkRefusal.notSupported, EOPNOTSUPP] {
            let text = LinkRefusal.text(number)
            for piece in ["no BPF trampolines", "x86-64", "arm64", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "kprobe"] {
                #expect(text.contains(piece))
            }
        }
        #expect(LinkRefusal.text(E2BIG).contains("at most 38 programs"))
        #expect(LinkRefusal.text(EBUSY).contains("live patch"))
        #expect(LinkRefusal.text(EPERM).contains("not permitted"))
        #expect(LinkRefusal.text(EINVAL, explanation: "the kernel's words").hasSuffix(": the kernel's words"))
    }

    @Test("what runs around each program is refused, whatever the kernel says of it")
    func policy() {
        #expect(KernelFunctionPolicy.refusal(of: "__rcu_read_lock")?.contains("BPF programs themselves call it") == true)
        #expect(KernelFunctionPolicy.refusal(of: "icmp_rcv") == nil)
        #expect(KernelFunctionPolicy.neverReturns("do_exit") && !KernelFunctionPolicy.neverReturns("icmp_rcv"))
    }

    @Test("a function without a type: one, several of its name, or a symbol that cannot be traced")
    func types() {
        #expect(KernelFunctionPolicy.reasonWithoutType(places: 0, addresses: 0) == nil)
        #expect(KernelFunctionPolicy.reasonWithoutType(places: 0, addresses: 1)?.contains("written in assembly") == true)
        #expect(KernelFunctionPolicy.reasonWithoutType(places: 1, addresses: 1)?.contains("no type information") == true)
        #expect(KernelFunctionPolicy.reasonWithoutType(places: 3, addresses: 3)?.contains("stands for 3 functions") == true)
    }

    @Test("a kfunc's first release is named, and each stands in the table once")
    func kfuncs() {
        #expect(KfuncHistory.advice(on: "bpf_task_from_vpid").hasPrefix("Linux 6.14 and later"))
        #expect(KfuncHistory.advice(on: "nobody_knows").contains("not known"))
        let names = KfuncHistory.releases.flatMap(\.names)
        #expect(Set(names).count == names.count && names.count > 30)
    }
}
