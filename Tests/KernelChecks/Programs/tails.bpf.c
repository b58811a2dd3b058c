// A program that goes on in another one.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 starts, ends, fell;

int goes_on(void *ctx);
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 2);
    __uint(key_size, 4);
    __array(values, int(void *));
} next SEC(".maps") = { .values = { [1] = (void *)&goes_on } };

SEC("fentry/bpf_fentry_test1") int starts_here(void *ctx)
{
    starts++;
    bpf_tail_call(ctx, &next, 1);
    fell++;
    return 0;
}
SEC("?fentry/bpf_fentry_test1") int goes_on(void *ctx) { ends++; return 0; }

// The same behind a probe.
int probed(void *ctx);
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, 4);
    __array(values, int(void *));
} after SEC(".maps") = { .values = { [0] = (void *)&probed } };
SEC("kprobe/bpf_fentry_test2") int probe(void *ctx) { starts++; bpf_tail_call(ctx, &after, 0); fell++; return 0; }
SEC("?kprobe") int probed(void *ctx) { ends++; return 0; }
