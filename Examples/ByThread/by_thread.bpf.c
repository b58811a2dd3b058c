// Calls of any function by thread: how many, how many took longer than a limit, and the time in them together.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* In nanoseconds; main.swift sets it. */
const volatile u64 limit = 1000 * 1000;

struct stats {
    u64 calls, slow, nanoseconds;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, u32);
    __type(value, struct stats);
} threads SEC(".maps");

SEC("fsession")
int by_thread(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start;
    u32 thread = bpf_get_current_pid_tgid();
    struct stats none = {}, *stats = bpf_map_lookup_elem(&threads, &thread);

    if (!stats) {
        bpf_map_update_elem(&threads, &thread, &none, BPF_NOEXIST);
        stats = bpf_map_lookup_elem(&threads, &thread);
        if (!stats)
            return 0;
    }
    __sync_fetch_and_add(&stats->calls, 1);
    if (taken > limit)
        __sync_fetch_and_add(&stats->slow, 1);
    __sync_fetch_and_add(&stats->nanoseconds, taken);
    return 0;
}
