// A session at a loaded BPF program.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fsession/prog:classify")
int at_program(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) bpf_printk("classify returned %d\n", (int)ctx[1]);
    return 0;
}
