// Programs that use as much stack as they may.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u64);
    __type(value, u64);
} places SEC(".maps");

int again(u64 *ctx);
int wide_again(u64 *ctx);
int worst(u64 *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 2);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} turns SEC(".maps") = {
    .values = { [0] = (void *)&again, [1] = (void *)&wide_again },
};

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} worst_turns SEC(".maps") = {
    .values = { [0] = (void *)&worst },
};

u64 rounds;
u64 stopped;

// A variable whose address goes to a helper, so that the compiler cannot tell from the code how much stack there is.
#define REMEMBER(number)                                                                                     \
    u64 key = number, value = rounds;                                                                        \
    bpf_map_update_elem(&places, &key, &value, 0)

#define LEVEL(name, number, next)                                                                            \
    static __noinline int name(u64 *ctx)                                                                     \
    {                                                                                                        \
        REMEMBER(number);                                                                                    \
        return (next) + 1;                                                                                   \
    }

static __noinline int turn(u64 *ctx)
{
    bpf_tail_call(ctx, &turns, 0);
    stopped++;
    return 0;
}
LEVEL(level5, 5, turn(ctx))
LEVEL(level4, 4, level5(ctx))
LEVEL(level3, 3, level4(ctx))
LEVEL(level2, 2, level3(ctx))
LEVEL(level1, 1, level2(ctx))

SEC("fentry/small")
int again(u64 *ctx)
{
    REMEMBER(0);
    rounds++;
    level1(ctx);
    return 0;
}

// The same with 240 bytes.
static __noinline int wide_turn(u64 *ctx)
{
    bpf_tail_call(ctx, &turns, 1);
    stopped++;
    return 0;
}

SEC("fentry/small")
int wide_again(u64 *ctx)
{
    char text[224] = {};
    u64 key = ctx[0];

    rounds++;
    bpf_probe_read_user(text, sizeof text, (void *)ctx[1]);
    bpf_map_update_elem(&places, &key, text, 0);
    wide_turn(ctx);
    return 0;
}

// Eight functions inside each other, by callbacks, with all of the stack that there is; the last one prints.
#define ROUND(name, call)                                                                                    \
    static long name(u64 round, void *context)                                                               \
    {                                                                                                        \
        char text[56] = {};                                                                                  \
        bpf_probe_read_user(text, sizeof text, context);                                                     \
        rounds += text[round & 31];                                                                          \
        call;                                                                                                \
        return 0;                                                                                            \
    }

static long prints(u64 round, void *context)
{
    u64 values[6] = { (u64)context, round, 3, 4, 5, 6 };
    static const char format[] = "%60s %llu %llu %llu %llu %llu";

    bpf_trace_vprintk(format, sizeof format, values, sizeof values);
    stopped++;
    return 0;
}
ROUND(round6, bpf_loop(1, prints, context, 0))
ROUND(round5, bpf_loop(1, round6, context, 0))
ROUND(round4, bpf_loop(1, round5, context, 0))
ROUND(round3, bpf_loop(1, round4, context, 0))
ROUND(round2, bpf_loop(1, round3, context, 0))
ROUND(round1, bpf_loop(1, round2, context, 0))

SEC("fexit/small")
int nested(u64 *ctx)
{
    bpf_loop(1, round1, ctx, 0);
    return 0;
}

// Tail calls until no stack is left for another, and then the same, with as many words of context as there can be.
static __noinline int worst_turn(u64 *ctx)
{
    bpf_tail_call(ctx, &worst_turns, 0);
    bpf_loop(1, round2, ctx, 0);
    return 0;
}

SEC("fexit/wide")
int worst(u64 *ctx)
{
    char text[80] = {};

    bpf_probe_read_user(text, sizeof text, (void *)ctx[0]);
    rounds += 1 + text[rounds & 63];
    worst_turn(ctx);
    return 0;
}
