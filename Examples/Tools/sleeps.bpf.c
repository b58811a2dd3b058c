// How long a program meant to sleep, and how long it slept: the sums, and how late it woke up, by powers of two.
//
//     fsession run --maps --globals sleeps.bpf.o -- sleep 0.05
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: from 2^n nanoseconds too late */
    __type(value, u64);   /* sleeps */
} late SEC(".maps");

u64 sleeps, meant, slept, absolute;

struct time {
    s64 seconds, nanoseconds;
};

SEC("fsession/libc:clock_nanosleep")
int BPF_PROG(on_sleep, u64 clock, u64 flags, u64 request)
{
    u64 *start = bpf_session_cookie(ctx);
    struct time time = {};

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start;

    __sync_fetch_and_add(&sleeps, 1);
    __sync_fetch_and_add(&slept, taken);
    if (flags & 1) {   /* TIMER_ABSTIME */
        __sync_fetch_and_add(&absolute, 1);
        return 0;
    }
    if (bpf_probe_read_user(&time, sizeof time, (void *)request) < 0)
        return 0;

    u64 wanted = time.seconds * 1000000000 + time.nanoseconds;

    __sync_fetch_and_add(&meant, wanted);
    if (taken > wanted) {
        u32 power = log2_of(taken - wanted);
        u64 *count = bpf_map_lookup_elem(&late, &power);

        if (count)
            __sync_fetch_and_add(count, 1);
    }
    return 0;
}
