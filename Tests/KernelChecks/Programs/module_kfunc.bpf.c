// Programs that need functions of a module, of tcp_bbr: there is none that programs of tracing may call, but finding out
// whether it is there, and where, is the same.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct sock;
extern void bbr_init(struct sock *socket) __ksym;

SEC("fsession/bpf_fentry_test1")
int calls_kfunc(void *ctx)
{
    bbr_init(0);
    return 0;
}
