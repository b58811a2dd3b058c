// A helper that programs in a process do not have.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/add")
int signals(void *ctx)
{
    bpf_send_signal(9);
    return 0;
}
