// How large a program's allocations are: a histogram of malloc's sizes by powers of two, and the sum.
//
//     fsession run --maps --globals allocs.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: from 2^n bytes */
    __type(value, u64);   /* calls */
} sizes SEC(".maps");

u64 calls, bytes, largest;

SEC("fentry/libc:malloc")
int BPF_PROG(on_malloc, u64 size)
{
    u32 power = log2_of(size);
    u64 *count = bpf_map_lookup_elem(&sizes, &power);

    if (count)
        __sync_fetch_and_add(count, 1);
    __sync_fetch_and_add(&calls, 1);
    __sync_fetch_and_add(&bytes, size);
    if (size > largest)
        largest = size;
    return 0;
}
