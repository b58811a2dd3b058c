/// Functions of the kernel that programs cannot be attached to, or at their entry only, and why.
package enum KernelFunctionPolicy {
    /// Functions that never return: the kernel could not run anything at their exit. Newer kernels refuse them
    /// themselves, older ones would crash.
    private static let noReturn: Set<String> = [
        "__fortify_panic", "__ia32_sys_exit", "__ia32_sys_exit_group", "__kunit_abort", "__module_put_and_kthread_exit",
        "__stack_chk_fail", "__tdx_hypercall_failed", "__ubsan_handle_builtin_unreachable", "__x64_sys_exit",
        "__x64_sys_exit_group", "arch_cpu_idle_dead", "arch_call_rest_init", "cpu_bringup_and_idle", "cpu_startup_entry",
        "do_exit", "do_group_exit", "do_task_dead", "ex_handler_msr_mce", "fpu_reset_from_exception_fixup",
        "hlt_play_dead", "kthread_complete_and_exit", "kthread_exit", "kunit_try_catch_throw",
        "machine_real_restart", "make_task_dead", "mpt_halt_firmware", "native_play_dead", "nmi_panic",
        "nmi_panic_self_stop", "panic", "panic_smp_self_stop", "play_dead", "resume_play_dead", "rest_init",
        "rewind_stack_and_make_dead", "snp_abort", "start_kernel", "stop_this_cpu", "usercopy_abort", "vpanic",
        "x86_64_start_kernel", "x86_64_start_reservations", "xen_cpu_bringup_again", "xen_start_kernel",
    ]

    /// What runs whenever a program starts or ends. Newer kernels refuse all of these; 6.1 takes `__rcu_read_lock`, and stands
    /// still from then on.
    private static let neededByPrograms: Set<String> = [
        "__rcu_read_lock", "__rcu_read_unlock", "migrate_disable", "migrate_enable", "preempt_count_add", "preempt_count_sub",
        "rcu_read_unlock_strict",
    ]

    /// Whether a function's exit never comes.
    package static func neverReturns(_ name: String) -> Bool { noReturn.contains(name) }

    /// Why nothing at all can be attached to a function.
    package static func refusal(of name: String) -> String? {
        neededByPrograms.contains(name)
            ? "BPF programs themselves call it: with one attached to it the kernel would stand still; trace one of its callers" : nil
    }

    /// Why a function without a type cannot be traced: there are so many of its name that the kernel can trace, and so many
    /// altogether. Nil where there is none.
    package static func reasonWithoutType(places: Int, addresses: Int) -> String? {
        switch (places, addresses) {
        case (2..., _):
            "the name stands for \(places) functions at different addresses, and the kernel's types have none of them; "
                + "trace one of its callers"
        case (1, _):
            "the kernel has that function, but no type information for it, without which sessions cannot be attached; "
                + "a kprobe program can"
        case (_, 1...):
            "the kernel has that symbol, but cannot trace it, and has no type for it: it is notrace, written in assembly, or no "
                + "function; trace one of its callers"
        default: nil
        }
    }
}
