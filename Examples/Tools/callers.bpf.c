// Who calls a function most: calls by return address. Addresses can be told apart by `fsession list`.
//
//     fsession run --maps --at libc:malloc callers.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, u64);     /* the caller */
    __type(value, u64);   /* calls */
} callers SEC(".maps");

u64 calls, unknown;

SEC("fentry")
int count(void *ctx)
{
    u64 stack[2] = {};   /* the function itself, its caller */
    long size = bpf_get_stack(ctx, stack, sizeof stack, BPF_F_USER_STACK);

    __sync_fetch_and_add(&calls, 1);
    if (size < (long)sizeof stack) {
        __sync_fetch_and_add(&unknown, 1);
        return 0;
    }
    add_to(&callers, &stack[1], 1);
    return 0;
}
