// How deep a function calls itself: a histogram of depths, and the deepest. Each thread counts for itself.
//
//     fsession run --maps --globals --at 'exe:execute_command_internal' recursion.bpf.o -- \
//         bash -c 'f() { [ $1 = 0 ] || f $(($1 - 1)); }; f 5'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define DEEPEST 128

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, u64);     /* thread */
    __type(value, u64);   /* calls that it is inside of */
} depths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, DEEPEST);
    __type(key, u32);     /* depth */
    __type(value, u64);   /* calls */
} calls SEC(".maps");

u64 deepest;

SEC("fsession")
int count(void *ctx)
{
    u64 thread = bpf_get_current_pid_tgid(), none = 0;
    u64 *depth = bpf_map_lookup_elem(&depths, &thread);

    if (!depth) {
        bpf_map_update_elem(&depths, &thread, &none, BPF_NOEXIST);
        depth = bpf_map_lookup_elem(&depths, &thread);
        if (!depth)
            return 0;
    }
    if (bpf_session_is_return(ctx)) {
        if (*depth)
            *depth -= 1;
        return 0;
    }

    u64 now = ++*depth;
    u32 row = now < DEEPEST ? now : DEEPEST - 1;
    u64 *count = bpf_map_lookup_elem(&calls, &row);

    if (count)
        __sync_fetch_and_add(count, 1);
    if (now > deepest)
        deepest = now;
    return 0;
}
