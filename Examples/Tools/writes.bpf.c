// Bytes by file descriptor: what write asked for, what was written, and how long that took.
//
//     fsession run --maps writes.bpf.o -- seq 1000
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct output {
    u64 calls, asked, written, nanoseconds, failures;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 256);
    __type(key, s32);   /* descriptor */
    __type(value, struct output);
} descriptors SEC(".maps");

SEC("fsession/libc:write")
int BPF_PROG(on_write, u64 descriptor, u64 data, u64 size)
{
    u64 *start = bpf_session_cookie(ctx), result = 0;
    s32 key = descriptor;

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start;
    struct output none = {}, *output = bpf_map_lookup_elem(&descriptors, &key);

    if (!output) {
        bpf_map_update_elem(&descriptors, &key, &none, BPF_NOEXIST);
        output = bpf_map_lookup_elem(&descriptors, &key);
        if (!output)
            return 0;
    }
    bpf_get_func_ret(ctx, &result);
    __sync_fetch_and_add(&output->calls, 1);
    __sync_fetch_and_add(&output->asked, size);
    __sync_fetch_and_add(&output->nanoseconds, taken);
    if ((s64)result < 0)
        __sync_fetch_and_add(&output->failures, 1);
    else
        __sync_fetch_and_add(&output->written, result);
    return 0;
}
