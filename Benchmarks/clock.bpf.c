// The time at entry in the cookie, and the duration at exit.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 wrong;

SEC("fsession/exe:work")
int clock(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx))
        *start = bpf_ktime_get_ns();
    else if (bpf_ktime_get_ns() - *start > 1ull << 60)
        wrong++;
    return 0;
}
