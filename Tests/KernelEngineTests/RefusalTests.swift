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

    @Test("the first release of a helper, kfunc or type of maps is named")
    func releases() {
        #expect(KernelHistory.advice(on: .arena, running: KernelVersion(6, 1)) == "Linux 6.9 and later have maps of type arena")
        #expect(KernelHistory.advice(on: .arena, running: KernelVersion(6, 10)) == nil)
        #expect(KernelHistory.advice(onKfunc: "bpf_task_from_vpid").hasPrefix("Linux 6.14 and later"))
        #expect(KernelHistory.advice(onKfunc: "nobody_knows").contains("not known"))
        #expect(KernelHistory.advice(onHelper: 209).hasPrefix("Linux 6.1 and later") && KernelHistory.advice(onHelper: 210).hasPrefix("Linux 6.2 "))
        for number in [0, 212, 4711] as [UInt32] { #expect(KernelHistory.advice(onHelper: number).hasPrefix("no kernel")) }
    }
}
