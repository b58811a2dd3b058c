// Programs that no kernel takes, each for a reason of its own.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fsession/bpf_fentry_test1") int calls_unknown_helper(void *ctx)
{
    return ((int (*)(void *))4711)(ctx) & 0;
}
// It has one, but not for programs of this kind.
SEC("fsession/bpf_fentry_test1") int calls_other_helper(void *ctx)
{
    return bpf_sock_map_update(ctx, 0, 0, 0) & 0;
}
SEC("fsession/sched_clock") int not_traceable(void *ctx) { return 0; }
SEC("kprobe.session/bpf_fentry_test1") int of_a_newer_kernel(void *ctx) { return 0; }
