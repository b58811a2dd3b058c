// What the helpers for traced functions say at both ends of bpf_fentry_test2(2, 3).
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

// ip, argument count, first, second, error of the third, result of bpf_get_func_ret, return value, attach cookie
u64 at_entry[8], at_exit[8];

static __always_inline void ask(u64 *ctx, u64 *to)
{
    u64 value = 4711;

    to[0] = bpf_get_func_ip(ctx);
    to[1] = bpf_get_func_arg_cnt(ctx);
    bpf_get_func_arg(ctx, 0, &value);
    to[2] = value & 0xffffffff;
    bpf_get_func_arg(ctx, 1, &value);
    to[3] = value;
    to[4] = bpf_get_func_arg(ctx, 2, &value);
    to[5] = bpf_get_func_ret(ctx, &value);
    to[6] = value & 0xffffffff;
    to[7] = bpf_get_attach_cookie(ctx);
}

SEC("fsession/bpf_fentry_test2")
int asks(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) ask(ctx, at_exit);
    else ask(ctx, at_entry);
    return 0;
}
