// One session at many functions, which does not know their types.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, wrong, arguments, results, cookie_sum, other_entries, ended;

SEC("fsession.multi/bpf_fentry_test[1-5]")
int at_many(void *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);
    u64 value = 0;

    bpf_get_func_arg(ctx, 0, &value);
    if (!bpf_session_is_return(ctx)) {
        __sync_fetch_and_add(&entries, 1);
        __sync_fetch_and_add(&arguments, value & 0xff);
        __sync_fetch_and_add(&cookie_sum, bpf_get_attach_cookie(ctx));
        *cookie = bpf_get_func_ip(ctx);
    } else {
        __sync_fetch_and_add(&exits, 1);
        if (*cookie != bpf_get_func_ip(ctx)) __sync_fetch_and_add(&wrong, 1);
        bpf_get_func_ret(ctx, &value);
        __sync_fetch_and_add(&results, value & 0xff);
    }
    return 0;
}

// It reads ctx, so the kernel must know its function's type.
SEC("fsession/bpf_fentry_test[1-5]")
int reads_context(u64 *ctx)
{
    if (!bpf_session_is_return(ctx)) __sync_fetch_and_add(&other_entries, ctx[0] & 0xff);
    return 0;
}

SEC("fsession/tcp_*")
int nothing(void *ctx)
{
    if (bpf_session_is_return(ctx)) *bpf_session_cookie(ctx) = 1;
    return 0;
}

SEC("fentry.multi/bpf_fentry_test[12]") int enters(void *ctx) { __sync_fetch_and_add(&other_entries, 1); return 0; }
SEC("fexit.multi/bpf_fentry_test[12]") int leaves(void *ctx) { __sync_fetch_and_add(&ended, 1); return 0; }
