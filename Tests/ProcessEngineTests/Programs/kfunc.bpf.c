// One program, its section and the kfunc that it calls given on the command line.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 result;

extern u64 bpf_nonsense(void *ctx) __ksym;

SEC(SECTION)
int uses_kfunc(void *ctx)
{
    result = KFUNC(ctx) != 0;
    return 0;
}
