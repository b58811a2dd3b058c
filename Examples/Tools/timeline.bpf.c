// When a function is called: calls and time in it in steps of time since the first call.
//
//     fsession run --set width=5ms --maps --at libc:write timeline.bpf.o -- sh -c 'for i in 1 2 3; do echo $i; sleep 0.02; done'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define SLOTS 1024

/* Of a step, in nanoseconds. */
const volatile u64 width = 10 * 1000 * 1000;

struct slot {
    u64 calls, nanoseconds;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SLOTS);
    __type(key, u32);
    __type(value, struct slot);
} slots SEC(".maps");

u64 first, beyond;

SEC("fsession")
int note(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx), now = bpf_ktime_get_ns();

    if (!bpf_session_is_return(ctx)) {
        *start = now;
        __sync_val_compare_and_swap(&first, 0, now);
        return 0;
    }

    u64 index = width ? (*start - first) / width : 0;

    if (index >= SLOTS) {
        __sync_fetch_and_add(&beyond, 1);
        return 0;
    }

    u32 key = index;
    struct slot none = {}, *slot = bpf_map_lookup_elem(&slots, &key);

    if (!slot) {
        bpf_map_update_elem(&slots, &key, &none, BPF_NOEXIST);
        slot = bpf_map_lookup_elem(&slots, &key);
        if (!slot)
            return 0;
    }
    __sync_fetch_and_add(&slot->calls, 1);
    __sync_fetch_and_add(&slot->nanoseconds, now - *start);
    return 0;
}
