// Asks whether a function of a module is there.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct sock;
extern void bbr_init(struct sock *socket) __ksym __weak;
u64 is_there;

SEC("fsession/bpf_fentry_test1")
int asks_for_kfunc(void *ctx)
{
    is_there = bbr_init ? 1 : 2;
    return 0;
}
