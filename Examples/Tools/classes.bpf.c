// Small, middle and large requests go to programs of their own, by tail calls: three ways to look at one function.
//
//     fsession run --set large_from=10 --globals --program dispatch classes.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

u64 small, middle, large, largest, last_large;

/* A power of two from which on a request is middle-sized, or large. */
const volatile u32 middle_from = 7, large_from = 12;

int on_small(u64 *ctx);
int on_middle(u64 *ctx);
int on_large(u64 *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 3);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} handlers SEC(".maps") = {
    .values = {[0] = (void *)&on_small, [1] = (void *)&on_middle, [2] = (void *)&on_large},
};

SEC("fentry/libc:malloc")
int on_small(u64 *ctx)
{
    __sync_fetch_and_add(&small, 1);
    return 0;
}

SEC("fentry/libc:malloc")
int on_middle(u64 *ctx)
{
    __sync_fetch_and_add(&middle, 1);
    return 0;
}

SEC("fentry/libc:malloc")
int on_large(u64 *ctx)
{
    u64 size = ctx[0];

    __sync_fetch_and_add(&large, 1);
    if (size > largest)
        largest = size;
    last_large = bpf_ktime_get_ns();
    return 0;
}

SEC("fentry/libc:malloc")
int dispatch(u64 *ctx)
{
    u32 power = log2_of(ctx[0]);

    bpf_tail_call(ctx, &handlers, power >= large_from ? 2 : power >= middle_from ? 1 : 0);
    return 0;
}
