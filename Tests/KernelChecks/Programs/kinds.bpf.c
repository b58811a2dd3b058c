// A program of each kind beside those at functions; each counts its runs.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 kprobes, kretprobes, returned, ksyscalls, offsets, multis, multi_returns, multi_cookie, session_entries, session_exits;
u64 uprobes, uretprobes, umultis, usession_entries, usession_exits;
u64 tracepoints, raws, typed, hooks, listed, samples, cookie_seen, nevers;

struct pt_regs;
#define ADD(counter) __sync_fetch_and_add(&counter, 1)

SEC("kprobe/bpf_fentry_test1") int at_kprobe(void *ctx) { cookie_seen = bpf_get_attach_cookie(ctx); ADD(kprobes); return 0; }
SEC("kprobe/bpf_fentry_test1+0x0") int at_offset(void *ctx) { ADD(offsets); return 0; }
SEC("kretprobe/bpf_fentry_test2") int at_kretprobe(u64 *ctx)
{
    // regs->ax
    returned = ctx[10] & 0xffffffff;
    ADD(kretprobes);
    return 0;
}
SEC("ksyscall/getppid") int at_ksyscall(void *ctx) { ADD(ksyscalls); return 0; }
SEC("kprobe.multi/bpf_fentry_test[1-4]") int at_multi(void *ctx) { multi_cookie = bpf_get_attach_cookie(ctx); ADD(multis); return 0; }
SEC("kretprobe.multi/bpf_fentry_test[1-4]") int at_multi_return(void *ctx) { ADD(multi_returns); return 0; }

SEC("kprobe.session/bpf_fentry_test[1-4]")
int at_kprobe_session(void *ctx)
{
    if (bpf_session_is_return(ctx)) ADD(session_exits);
    else ADD(session_entries);
    return 0;
}

SEC("uprobe/./kernel-checks:probed_function") int at_uprobe(void *ctx) { ADD(uprobes); return 0; }
SEC("uretprobe/./kernel-checks:probed_function") int at_uretprobe(void *ctx) { ADD(uretprobes); return 0; }
SEC("uprobe.multi/./kernel-checks:probed_f*") int at_umulti(void *ctx) { ADD(umultis); return 0; }
SEC("uprobe.session/./kernel-checks:probed_function")
int at_uprobe_session(void *ctx)
{
    if (bpf_session_is_return(ctx)) ADD(usession_exits);
    else ADD(usession_entries);
    return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter") int at_tracepoint(void *ctx) { ADD(tracepoints); return 0; }
SEC("raw_tp/sys_enter") int at_raw(void *ctx) { ADD(raws); return 0; }
SEC("tp_btf/sys_enter") int at_typed(u64 *ctx) { if (ctx[1] < 1024) ADD(typed); return 0; }
SEC("lsm/file_open") int at_hook(u64 *ctx) { ADD(hooks); return 0; }
SEC("perf_event") int at_sample(void *ctx) { ADD(samples); return 0; }

struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
} __attribute__((preserve_access_index));
struct task_struct {
    int pid;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int at_iterator(struct bpf_iter__task *ctx)
{
    static const char format[] = "task %d\n";
    struct task_struct *task = ctx->task;
    u64 number;

    if (!task) return 0;
    number = task->pid;
    bpf_seq_printf(ctx->meta->seq, format, sizeof(format), &number, sizeof(number));
    ADD(listed);
    return 0;
}

// Only attached when asked for by name.
SEC("?kprobe/bpf_fentry_test1") int at_nothing(void *ctx) { ADD(nevers); return 0; }
SEC("kprobe/no_such_function_here") int at_unknown(void *ctx) { return 0; }
SEC("kprobe/bpf_fentry_test1+1") int at_half(void *ctx) { return 0; }
SEC("tracepoint/sched/sched_swich") int at_misspelt(void *ctx) { return 0; }
SEC("tp_btf/sched_swich") int at_misspelt_typed(void *ctx) { return 0; }
SEC("lsm/file_opn") int at_misspelt_hook(void *ctx) { return 0; }
SEC("kprobe") int at_nowhere(void *ctx) { return 0; }
