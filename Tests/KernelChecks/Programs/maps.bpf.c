// Maps of all sorts that a tracing object uses.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
};
struct inner left SEC(".maps"), right SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 3);
    __type(key, u32);
    __array(values, struct inner);
} both SEC(".maps") = { .values = { [0] = &left, [2] = &right } };

struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 8);
    __type(key, u32);
    __array(values, struct inner);
} named SEC(".maps") = { .values = { [1] = &right } };

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(pinning, 1);
    __type(key, u32);
    __type(value, u64);
} fsession_pinned SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
} each SEC(".maps");

static void add(void *map, u64 amount)
{
    u32 zero = 0;
    u64 *value = bpf_map_lookup_elem(map, &zero);

    if (value) __sync_fetch_and_add(value, amount);
}

u64 missing, cpu_value;

SEC("fsession/bpf_fentry_test1")
int counts(u64 *ctx)
{
    u32 key = bpf_session_is_return(ctx) ? 2 : 0, one = 1, absent = 1;
    void *map = bpf_map_lookup_elem(&both, &key);

    if (map) add(map, 1);
    if (bpf_map_lookup_elem(&both, &absent)) missing++;
    map = bpf_map_lookup_elem(&named, &one);
    if (map) add(map, 100);
    add(&fsession_pinned, 1);
    return 0;
}

SEC("fentry/bpf_fentry_test2")
int sends(u64 *ctx)
{
    u64 record[2] = { ctx[0] & 0xff, ctx[1] };
    u32 zero = 0;
    u64 *value = bpf_map_lookup_elem(&each, &zero);

    if (value) cpu_value = *value;
    bpf_perf_event_output(ctx, &records, BPF_F_CURRENT_CPU, record, sizeof(record));
    return 0;
}
