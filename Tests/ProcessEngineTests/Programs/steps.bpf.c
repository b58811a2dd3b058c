// What a signal may come into the middle of: maps, a ring buffer, cookies, reads of memory.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u64);
    __type(value, u64);
} calls SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} records SEC(".maps");

u64 entries, exits, not_zero, wrong, sent, no_room;

static __attribute__((always_inline)) int both(u64 *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);
    u64 ip = bpf_get_func_ip(ctx);
    u64 one = 1, code = 0;

    if (!bpf_session_is_return(ctx)) {
        u64 *count = bpf_map_lookup_elem(&calls, &ip);

        if (count) __sync_fetch_and_add(count, 1);
        else bpf_map_update_elem(&calls, &ip, &one, BPF_ANY);
        if (*cookie) __sync_fetch_and_add(&not_zero, 1);
        *cookie = ip ^ ctx[0];
        __sync_fetch_and_add(&entries, 1);
    } else {
        u64 *record = bpf_ringbuf_reserve(&records, 16, 0);

        if (*cookie != (ip ^ ctx[0])) __sync_fetch_and_add(&wrong, 1);
        if (bpf_probe_read_user(&code, 8, (void *)ip) || !code) __sync_fetch_and_add(&wrong, 1);
        if (record) {
            record[0] = ip;
            record[1] = bpf_ktime_get_ns();
            bpf_ringbuf_submit(record, 0);
            __sync_fetch_and_add(&sent, 1);
        } else {
            __sync_fetch_and_add(&no_room, 1);
        }
        __sync_fetch_and_add(&exits, 1);
    }
    return 0;
}

SEC("fsession/leaf")
int at_leaf(u64 *ctx) { return both(ctx); }

SEC("fsession/outer")
int at_outer(u64 *ctx) { return both(ctx); }
