// Which thread calls a function most. Every 64 calls all counters are looked through for the largest.
//
//     fsession run --globals --maps --at libc:malloc busiest.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, u32);     /* thread */
    __type(value, u64);   /* calls */
} threads SEC(".maps");

u64 calls, most;
u32 busiest;

struct bpf_map;

struct largest {
    u64 calls;
    u32 thread;
};

static long compare(struct bpf_map *map, const u32 *thread, u64 *count, struct largest *largest)
{
    if (*count > largest->calls) {
        largest->calls = *count;
        largest->thread = *thread;
    }
    return 0;
}

SEC("fentry")
int count(void *ctx)
{
    u32 thread = (u32)bpf_get_current_pid_tgid();

    add_to(&threads, &thread, 1);
    if (__sync_fetch_and_add(&calls, 1) % 64)
        return 0;

    struct largest largest = {};

    bpf_for_each_map_elem(&threads, compare, &largest, 0);
    most = largest.calls;
    busiest = largest.thread;
    return 0;
}
