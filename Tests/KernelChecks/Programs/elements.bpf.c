// Iterators over the elements of one map.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, u32);
    __type(value, u64);
} held SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, u8);
    __type(value, u8);
} small SEC(".maps");

struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
} __attribute__((preserve_access_index));
struct bpf_iter__bpf_map_elem {
    struct bpf_iter_meta *meta;
    void *map, *key, *value;
} __attribute__((preserve_access_index));

static __always_inline int show(struct bpf_iter__bpf_map_elem *ctx)
{
    u32 *key = ctx->key;
    u64 *value = ctx->value;

    if (key && value) BPF_SEQ_PRINTF(ctx->meta->seq, "%u: %llu\n", *key, *value);
    return 0;
}

SEC("iter/bpf_map_elem:held") int goes_over(struct bpf_iter__bpf_map_elem *ctx) { return show(ctx); }
SEC("iter/bpf_map_elem") int goes_over_nothing(struct bpf_iter__bpf_map_elem *ctx) { return show(ctx); }
SEC("iter/bpf_map_elem:unknown") int goes_over_unknown(struct bpf_iter__bpf_map_elem *ctx) { return show(ctx); }
SEC("iter/bpf_map_elem:small") int reads_too_much(struct bpf_iter__bpf_map_elem *ctx) { return show(ctx); }
