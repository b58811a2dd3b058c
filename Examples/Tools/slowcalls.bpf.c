// Calls of any function that take longer than a limit, one line each.
//
//     fsession run --set limit=50ms --at libc:clock_nanosleep slowcalls.bpf.o -- sleep 0.1
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* In nanoseconds. */
const volatile u64 limit = 1000 * 1000;

u64 calls, slow;

SEC("fsession")
int watch(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start, result = 0;

    __sync_fetch_and_add(&calls, 1);
    if (taken < limit)
        return 0;
    __sync_fetch_and_add(&slow, 1);
    bpf_get_func_ret(ctx, &result);
    bpf_printk("thread %u: 0x%lx took %lu us and returned", (u32)bpf_get_current_pid_tgid(), bpf_get_func_ip(ctx),
               taken / 1000);
    bpf_printk("    %ld", result);
    return 0;
}
