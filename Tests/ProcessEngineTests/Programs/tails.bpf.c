// Tail calls: from functions, from program to program, and what they hand on.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define PROGRAMS(name, slot, program)                                                                        \
    int program(u64 *ctx);                                                                                   \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                               \
        __uint(max_entries, 2);                                                                              \
        __uint(key_size, sizeof(u32));                                                                       \
        __array(values, int(u64 *));                                                                         \
    } name SEC(".maps") = { .values = { [slot] = (void *)&program } }

u64 entered;
u64 carried;
u64 seen_argument;

// A session without a cookie goes on in one without, and that in one with a cookie.
PROGRAMS(to_middle, 0, middle);
PROGRAMS(to_last, 0, last);

SEC("fsession/add")
int first(u64 *ctx)
{
    entered++;
    bpf_tail_call(ctx, &to_middle, 0);
    return 0;
}

SEC("fsession/other")
int middle(u64 *ctx)
{
    bpf_tail_call(ctx, &to_last, 0);
    return 0;
}

SEC("fsession/other")
int last(u64 *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *cookie = 0xc00c1e0000 + entered;
    } else {
        carried = *cookie;
        seen_argument = ctx[0];
    }
    return 0;
}

// One that reads nothing of its context goes on, by another, in one that reads the fifth argument.
PROGRAMS(to_between, 0, between);
PROGRAMS(to_reader, 0, reader);

u64 fifth;

SEC("fentry/many")
int reads_nothing(u64 *ctx)
{
    bpf_tail_call(ctx, &to_between, 0);
    return 0;
}

SEC("fentry/many")
int between(u64 *ctx)
{
    bpf_tail_call(ctx, &to_reader, 0);
    return 0;
}

SEC("fentry/many")
int reader(u64 *ctx)
{
    fifth = ctx[4];
    return 0;
}

// In a function: it returns to the program, with what the other one returned.
PROGRAMS(to_landing, 0, landing);

u64 landed;
u64 behind;
s64 returned = -1;

SEC("fmod_ret/nothing")
int landing(u64 *ctx)
{
    landed++;
    return 77;
}

static __noinline int jumps(u64 *ctx, u32 index)
{
    bpf_tail_call(ctx, &to_landing, index);
    behind++;
    // What it returns is not to be guessed from its text.
    int result = 5;
    asm volatile("" : "+r"(result));
    return result;
}

SEC("fmod_ret/add")
int through(u64 *ctx)
{
    returned = jumps(ctx, ctx[1]);
    return 0;
}
