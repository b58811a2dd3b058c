// How many threads are inside a function at once: now, at most, and how often there were n.
//
//     fsession run --maps --globals --at libc:malloc inside.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define MOST 64

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MOST);
    __type(key, u32);     /* n threads inside, the new one counted */
    __type(value, u64);   /* calls */
} together SEC(".maps");

s64 inside, most;

SEC("fsession")
int count(void *ctx)
{
    if (bpf_session_is_return(ctx)) {
        __sync_fetch_and_add(&inside, -1);
        return 0;
    }

    s64 now = __sync_fetch_and_add(&inside, 1) + 1, before = most;

    /* Another thread may raise it at the same time: a few tries are enough to be right in the end. */
    for (int i = 0; i < 4 && now > before; i++) {
        s64 seen = __sync_val_compare_and_swap(&most, before, now);

        if (seen == before)
            break;
        before = seen;
    }

    u32 row = now > 0 && now < MOST ? now : MOST - 1;
    u64 *count = bpf_map_lookup_elem(&together, &row);

    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}
