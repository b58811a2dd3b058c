// By which ways a function is reached: calls by the whole stack, and the stacks.
//
//     fsession run --maps --at libsqlite3:sqlite3_malloc64 stacks.bpf.o -- sqlite3 :memory: 'select 1'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define DEPTH 32

struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 1024);
    __uint(key_size, sizeof(u32));
    __uint(value_size, DEPTH * sizeof(u64));
} stacks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, s32);     /* in stacks; negative where there was no room */
    __type(value, u64);   /* calls */
} ways SEC(".maps");

SEC("fentry")
int count(void *ctx)
{
    s32 stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP);

    add_to(&ways, &stack, 1);
    return 0;
}
