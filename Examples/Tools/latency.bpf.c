// How long calls of any function take: a histogram by powers of two of nanoseconds, and the longest one.
//
//     fsession run --maps --globals --at libz:deflate latency.bpf.o -- \
//         python3 -c 'import zlib; print(len(zlib.compress(b"abc" * 100000)))'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: from 2^n nanoseconds */
    __type(value, u64);   /* calls */
} nanoseconds SEC(".maps");

u64 calls, total, longest;

SEC("fsession")
int measure(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start;
    u32 power = log2_of(taken);
    u64 *count = bpf_map_lookup_elem(&nanoseconds, &power);

    if (count)
        *count += 1;
    __sync_fetch_and_add(&calls, 1);
    __sync_fetch_and_add(&total, taken);
    if (taken > longest)
        longest = taken;
    return 0;
}
