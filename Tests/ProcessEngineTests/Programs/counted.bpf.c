// A session that counts, so that the counts of the trampoline can be compared with what programs saw.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits;

SEC("fsession/exe:counted")
int counts(void *ctx)
{
    if (bpf_session_is_return(ctx))
        __sync_fetch_and_add(&exits, 1);
    else
        __sync_fetch_and_add(&entries, 1);
    return 0;
}
