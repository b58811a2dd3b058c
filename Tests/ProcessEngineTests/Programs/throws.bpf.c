// Sessions that an exception passes.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, thrown;

SEC("fsession/thrower")
int around_thrower(void *ctx)
{
    if (bpf_session_is_return(ctx)) exits++;
    else entries++;
    return 0;
}

SEC("fsession/middle")
int around_middle(void *ctx)
{
    if (bpf_session_is_return(ctx)) exits++;
    else entries++;
    return 0;
}

SEC("fentry/__cxa_throw")
int enters_throw(void *ctx) { thrown++; return 0; }

SEC("fsession/__cxa_throw")
int session_throw(void *ctx) { return 0; }
