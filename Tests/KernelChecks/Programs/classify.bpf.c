// A program to be traced: a classifier that answers 7.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int classify(struct __sk_buff *skb)
{
    bpf_printk("a classifier runs");
    return 7;
}
