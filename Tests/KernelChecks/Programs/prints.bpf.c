// What programs print, in all ways in which a program can.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 length, vlength;

SEC("fsession/bpf_fentry_test1")
int prints(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) return 0;
    length = bpf_printk("no value");
    bpf_printk("one: %d", (int)ctx[0]);
    bpf_printk("three: %llu %llx %s", ctx[0] + 1, ctx[0] + 0xfeed, "text");
    vlength = bpf_printk("five: %d %d %d %d %d", 1, 2, 3, 4, 5);
    bpf_printk("two\nlines\n");
    return 0;
}

// A function of its own that gets arguments and prints without any; and a value that is only there on one way.
static __attribute__((noinline)) int say(u64 *ctx, u64 a, u64 b)
{
    if (a > b) bpf_printk("more");
    else bpf_printk("not more: %llu", b);
    return 0;
}

static int round(u32 index, void *ctx)
{
    bpf_printk("round %d", index);
    return 0;
}

SEC("fentry/bpf_fentry_test2")
int prints_elsewhere(u64 *ctx)
{
    say(ctx, ctx[0] & 0xff, ctx[1] & 0xff);
    bpf_loop(2, round, 0, 0);
    return 0;
}

// Its format is on the stack.
SEC("fentry/bpf_fentry_test3")
int prints_from_stack(u64 *ctx)
{
    char format[] = "from the stack: %d";

    bpf_trace_printk(format, sizeof(format), (int)ctx[0]);
    return 0;
}

// More lines than there is room for.
SEC("fentry/bpf_fentry_test4")
int prints_much(u64 *ctx)
{
    bpf_loop(8000, round, 0, 0);
    return 0;
}
