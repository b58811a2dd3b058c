// Memory that is allocated and never freed: a map of the blocks that are still there at the end, with the stack that
// asked for each, and the bytes by stack. Follows malloc, calloc, realloc and free.
//
//     fsession run --maps leaks.bpf.o -- bash -c 'x=$(seq 100)'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct block {
    u64 size;
    s64 stack;
    u64 time;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, u64);   /* address */
    __type(value, struct block);
} blocks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 4096);
    __uint(key_size, sizeof(u32));
    __uint(value_size, 16 * sizeof(u64));
} stacks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, s64);     /* stack */
    __type(value, u64);   /* bytes */
} live SEC(".maps");

static void born(void *ctx, u64 address, u64 size)
{
    struct block block = {.size = size, .time = bpf_ktime_get_ns()};

    if (!address)
        return;
    block.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
    bpf_map_update_elem(&blocks, &address, &block, BPF_ANY);
    add_to(&live, &block.stack, size);
}

static void died(u64 address)
{
    struct block *block = bpf_map_lookup_elem(&blocks, &address);

    if (!block)
        return;
    s64 stack = block->stack;
    u64 size = block->size, *bytes = bpf_map_lookup_elem(&live, &stack);

    if (bytes)
        __sync_fetch_and_sub(bytes, size);
    bpf_map_delete_elem(&blocks, &address);
}

static u64 result_of(void *ctx)
{
    u64 result = 0;

    bpf_get_func_ret(ctx, &result);
    return result;
}

SEC("fexit/libc:malloc")
int BPF_PROG(after_malloc, u64 size)
{
    born(ctx, result_of(ctx), size);
    return 0;
}

SEC("fexit/libc:calloc")
int BPF_PROG(after_calloc, u64 count, u64 size)
{
    born(ctx, result_of(ctx), count * size);
    return 0;
}

SEC("fexit/libc:realloc")
int BPF_PROG(after_realloc, u64 old, u64 size)
{
    u64 address = result_of(ctx);

    if (address || !size)
        died(old);
    born(ctx, address, size);
    return 0;
}

SEC("fentry/libc:free")
int BPF_PROG(on_free, u64 address)
{
    died(address);
    return 0;
}
