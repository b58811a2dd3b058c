// Functions that do not come back.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 statuses, leaps, leap_entries, leap_exits;

SEC("fentry/exit")
int enters_exit(u64 *ctx)
{
    statuses = 1000 + (ctx[0] & 0xff);
    bpf_printk("exit %d\n", (int)ctx[0]);
    return 0;
}

SEC("fsession/exit")
int session_exit(void *ctx) { return 0; }

SEC("fexit/exit")
int leaves_exit(void *ctx) { return 0; }

SEC("fmod_ret/exit")
int modifies_exit(void *ctx) { return 0; }

SEC("fentry/longjmp")
int enters_longjmp(u64 *ctx) { leaps++; return 0; }

SEC("fsession/leap")
int around_leap(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) leap_exits++;
    else leap_entries++;
    return 0;
}
