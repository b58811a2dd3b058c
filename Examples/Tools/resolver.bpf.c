// Host names that a program looks up, how long that took, and what came of it.
//
//     fsession run resolver.bpf.o -- python3 -c 'import socket; print(len(socket.getaddrinfo("localhost", 80)))'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

u64 lookups, failures, nanoseconds;

SEC("fsession/libc:getaddrinfo")
int BPF_PROG(on_lookup, u64 host)
{
    u64 *start = bpf_session_cookie(ctx), result = 0;
    char name[64] = "(none)";

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start;

    bpf_get_func_ret(ctx, &result);
    __sync_fetch_and_add(&lookups, 1);
    __sync_fetch_and_add(&nanoseconds, taken);
    if ((s32)result)
        __sync_fetch_and_add(&failures, 1);
    if (host)
        bpf_probe_read_user_str(name, sizeof name, (void *)host);
    bpf_printk("%s: %d after %lu us", name, (s32)result, taken / 1000);
    return 0;
}
