// How much time lies between the calls of a function: a histogram by powers of two of nanoseconds.
//
//     fsession run --maps --globals --at libc:getenv gaps.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: from 2^n nanoseconds */
    __type(value, u64);   /* gaps */
} gaps SEC(".maps");

u64 last, longest;

SEC("fentry")
int note(void *ctx)
{
    u64 now = bpf_ktime_get_ns(), before = __sync_lock_test_and_set(&last, now);

    if (!before || now < before)
        return 0;

    u64 gap = now - before;
    u32 power = log2_of(gap);
    u64 *count = bpf_map_lookup_elem(&gaps, &power);

    if (count)
        __sync_fetch_and_add(count, 1);
    if (gap > longest)
        longest = gap;
    return 0;
}
