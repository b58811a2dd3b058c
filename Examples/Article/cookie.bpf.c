// The second program of the article on BPF_TRACE_FSESSION, aimed at a function of packets.c.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct sk_buff;

SEC("fsession/icmp_rcv")
int BPF_PROG(fsession__icmp_rcv, struct sk_buff *skb)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx))
        *cookie = 0xDEADBEEF;
    else
        bpf_printk("fsession cookie: 0x%llx\n", *cookie);
    return BPF_OK;
}
