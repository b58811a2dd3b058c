// The first program of the article on BPF_TRACE_FSESSION, aimed at a function of packets.c.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct sk_buff;

SEC("fsession/icmp_rcv")
int BPF_PROG(fsession__icmp_rcv, struct sk_buff *skb)
{
    if (bpf_session_is_return(ctx))
        bpf_printk("fsession exit.\n");
    else
        bpf_printk("fsession entry.\n");
    return BPF_OK;
}
