// Two sessions at a function whose calls stay inside while programs come and go.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 a_entries, a_exits, a_returned, a_cookies, b_entries, b_exits;

SEC("fsession/stay")
int a(u64 *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *cookie = ctx[0] + 100;
        __sync_fetch_and_add(&a_entries, 1);
    } else {
        __sync_fetch_and_add(&a_returned, ctx[1]);
        __sync_fetch_and_add(&a_cookies, *cookie);
        __sync_fetch_and_add(&a_exits, 1);
    }
    return 0;
}

SEC("fsession/stay")
int b(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) __sync_fetch_and_add(&b_exits, 1);
    else __sync_fetch_and_add(&b_entries, 1);
    return 0;
}
