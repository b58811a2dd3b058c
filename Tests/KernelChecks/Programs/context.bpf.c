// What the context holds at both ends of bpf_fentry_test2(2, 3), which returns their sum.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits;
u64 at_entry[3], at_exit[3];

SEC("fsession/bpf_fentry_test2")
int context(u64 *ctx)
{
    bool is_return = bpf_session_is_return(ctx);
    u64 *to = is_return ? at_exit : at_entry;

    to[0] = ctx[0] & 0xffffffff;
    to[1] = ctx[1];
    to[2] = ctx[2] & 0xffffffff;
    if (is_return) exits++;
    else entries++;
    return 0;
}

// The same read, out of sight of the program's own function.
u64 read_at_entry = 1, read_at_exit;

static __noinline u64 result(u64 *ctx) { return ctx[2] & 0xffffffff; }

SEC("fsession/bpf_fentry_test2")
int called(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) read_at_exit = result(ctx);
    else read_at_entry = result(ctx);
    return 0;
}
