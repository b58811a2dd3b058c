// A map of each kind and global variables of each section, filled by the calls of one function.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct seen {
    u64 calls;
    s64 last;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8);
    __type(key, u64);
    __type(value, struct seen);
} by_argument SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 64);
    __type(key, u32);
    __type(value, u64);
} recent SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, u32);
    __type(value, u64);
} squares SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, u64);
} depths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 16);
    __type(key, u64);
    __type(value, u64);
} depth_counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 4);
    __type(value, u64);
} queue SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 4);
    __type(value, u64);
} stack SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} perf SEC(".maps");

const volatile u64 scale = 3;
u64 counter = 1000;
static volatile u64 hidden = 7;
struct seen total;
char last_name[16] = "none yet";
u64 popped, peeked, full;

SEC("fsession/add")
int fill(u64 *ctx)
{
    if (!bpf_session_is_return(ctx)) return 0;

    u64 key = ctx[0];
    struct seen *seen = bpf_map_lookup_elem(&by_argument, &key);

    if (seen) {
        seen->calls++;
        seen->last = ctx[2];
    } else {
        struct seen first = { 1, ctx[2] };

        if (bpf_map_update_elem(&by_argument, &key, &first, BPF_NOEXIST) == -7) full++;
    }
    if (ctx[1] == 99) bpf_map_delete_elem(&by_argument, &key);

    u32 index = ctx[0];
    u64 square = ctx[0] * ctx[0];

    bpf_map_update_elem(&recent, &index, &square, BPF_ANY);
    bpf_map_update_elem(&squares, &index, &square, BPF_ANY); /* fails beyond the array */
    if (bpf_map_push_elem(&queue, &key, 0) != 0) bpf_map_pop_elem(&queue, &popped);
    bpf_map_push_elem(&stack, &key, BPF_EXIST);
    bpf_map_peek_elem(&stack, &peeked);

    u64 output[2] = { ctx[0], ctx[2] };

    bpf_ringbuf_output(&ring, output, sizeof output, 0);
    u64 *record = bpf_ringbuf_reserve(&ring, 24, 0);

    if (record) {
        record[0] = 1;
        record[1] = ctx[1];
        record[2] = scale;
        if (ctx[0] % 2) bpf_ringbuf_discard(record, 0);
        else bpf_ringbuf_submit(record, 0);
    }
    bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, output, 8);

    counter += scale;
    hidden++;
    total.calls++;
    total.last = hidden;
    bpf_get_current_comm(last_name, sizeof last_name);
    return 0;
}

SEC("fentry/down")
int depth(u64 *ctx)
{
    u32 zero = 0;
    u64 key = ctx[0], one = 1;
    u64 *count = bpf_map_lookup_elem(&depths, &zero);

    /* A thread's own value: plain additions. */
    if (count) *count += 1;
    count = bpf_map_lookup_elem(&depth_counts, &key);
    if (count) *count += 1;
    else bpf_map_update_elem(&depth_counts, &key, &one, BPF_ANY);
    return 0;
}
