// A histogram with buckets of one's own: the limits are constants, and bpf_loop finds the one that a call belongs to.
//
//     fsession run --set limits=8,16,32,64,128,256,512,1024 --globals --at libc:malloc buckets.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define COUNT 8

/* The largest value of each bucket, ascending; what is larger belongs to the last one. */
const volatile u64 limits[COUNT] = {16, 32, 64, 100, 250, 1000, 4096, ~0ULL};

u64 buckets[COUNT];

struct search {
    u64 value;
    u32 bucket;
};

static int step(u64 index, struct search *search)
{
    if (index >= COUNT)
        return 1;
    if (search->value <= limits[index]) {
        search->bucket = index;
        return 1;
    }
    return 0;
}

SEC("fentry")
int BPF_PROG(note, u64 value)
{
    struct search search = {.value = value, .bucket = COUNT - 1};

    bpf_loop(COUNT, step, &search, 0);
    if (search.bucket < COUNT)
        __sync_fetch_and_add(&buckets[search.bucket], 1);
    return 0;
}
