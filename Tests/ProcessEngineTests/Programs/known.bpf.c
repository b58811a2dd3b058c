// What the verifier finds out before the program runs: elements of arrays by constant keys, branches that go one way,
// and loops that may_goto ends.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, u32);
    __type(value, u32[3]);
} sums SEC(".maps");

const volatile u64 wanted = 3, never = 0;
u64 missing, rounds, dead;

/* Verified by itself, with the program's context. */
__attribute__((noinline)) u64 first(u64 *ctx __arg_ctx)
{
    return ctx[0];
}

static __always_inline void add(u32 index, u64 number)
{
    u32 *sum = bpf_map_lookup_elem(&sums, &index);

    if (sum)
        sum[1] += number;
    else
        missing++;
}

SEC("fentry/exe:add")
int known(u64 *ctx)
{
    add(0, 1);
    add(3, first(ctx));
    // The same call of the helper for two keys, and one that is not there.
    for (u32 index = 1; index <= wanted + 1; index++)
        add(index, 100);
    add(ctx[0], 1000);
    if (never)
        dead += bpf_get_numa_node_id();
    if (wanted == 3)
        return 0;
    dead++;
    return 0;
}

u64 eighth_argument;

// More words than a function has of which nothing is known.
SEC("fentry/exe:many")
int eighth(u64 *ctx)
{
    eighth_argument = ctx[7];
    return 0;
}

SEC("fentry/exe:add")
int endless(u64 *ctx)
{
    u64 count = 0;

    for (;;) {
        asm goto("may_goto %l[over]" : : : : over);
        count++;
        asm volatile("" : "+r"(count));
    }
over:
    rounds += count;
    return 0;
}
