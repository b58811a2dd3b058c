// Variables that are set before the object is loaded. With the number of steps that stands here, the loop is too long to be
// proven.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

const volatile u64 steps = 1ull << 40;
const volatile char text[8] = "none";
u64 rounds = 1, seen;

SEC("fentry/bpf_fentry_test2")
int constants(void *ctx)
{
    for (u64 i = 0; i < steps; i++) rounds++;
    seen = *(const volatile u64 *)text;
    return 0;
}
