// A word from entry to exit, no clock.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 wrong;

SEC("fsession/exe:work")
int cookie(void *ctx)
{
    u64 *word = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx))
        *word = 0xDEADBEEF;
    else if (*word != 0xDEADBEEF)
        wrong++;
    return 0;
}
