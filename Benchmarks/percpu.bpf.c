// Calls counted by function in a per-CPU hash map.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1024);
    __type(key, u64);
    __type(value, u64);
} calls SEC(".maps");

SEC("fsession/exe:work")
int percpu(void *ctx)
{
    u64 function, one = 1, *count;

    if (!bpf_session_is_return(ctx))
        return 0;
    function = bpf_get_func_ip(ctx);
    count = bpf_map_lookup_elem(&calls, &function);
    if (count)
        *count += 1;
    else
        bpf_map_update_elem(&calls, &function, &one, BPF_ANY);
    return 0;
}
