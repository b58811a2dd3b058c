// A tail call in a function that returns nothing.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

int landing(u64 *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} jumps SEC(".maps") = {
    .values = { [0] = (void *)&landing },
};

u64 landed;

static __noinline void leaves(u64 *ctx)
{
    bpf_tail_call(ctx, &jumps, 0);
    landed += 100;
}

SEC("fentry/add")
int landing(u64 *ctx)
{
    landed++;
    return 0;
}

SEC("fentry/add")
int goes(u64 *ctx)
{
    leaves(ctx);
    return 0;
}
