// What is sorted: elements and bytes of each qsort, and nanoseconds for an element, as histograms.
//
//     fsession run --maps sorts.bpf.o -- ls /usr/bin
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct row {
    u64 elements, nanoseconds_each;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);   /* n: from 2^n */
    __type(value, struct row);
} rows SEC(".maps");

u64 sorts, bytes;

/* void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *)) */
SEC("fsession/libc:qsort")
int BPF_PROG(on_sort, u64 base, u64 count, u64 size)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 each = count ? (bpf_ktime_get_ns() - *start) / count : 0;
    u32 of_count = log2_of(count), of_time = log2_of(each);
    struct row *row = bpf_map_lookup_elem(&rows, &of_count);

    __sync_fetch_and_add(&sorts, 1);
    __sync_fetch_and_add(&bytes, count * size);
    if (row)
        __sync_fetch_and_add(&row->elements, 1);
    row = bpf_map_lookup_elem(&rows, &of_time);
    if (row)
        __sync_fetch_and_add(&row->nanoseconds_each, 1);
    return 0;
}
