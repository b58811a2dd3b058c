// Calls counted in an array of one element, which all threads share.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
} calls SEC(".maps");

SEC("fsession/exe:work")
int array(void *ctx)
{
    u32 first = 0;
    u64 *count;

    if (!bpf_session_is_return(ctx))
        return 0;
    count = bpf_map_lookup_elem(&calls, &first);
    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}
