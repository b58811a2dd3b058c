// What a function is called with: for each of its argument words the smallest and the largest value, how often it was
// zero and how often it looked like a pointer.
//
//     fsession run --maps --at libz:crc32 arguments.bpf.o -- python3 -c 'import zlib; print(zlib.crc32(b"fsession"))'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define MOST 12

struct argument {
    u64 smallest, largest;
    u64 calls, zero, pointers;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MOST);
    __type(key, u32);   /* which argument */
    __type(value, struct argument);
} arguments SEC(".maps");

static void note(struct argument *argument, u64 value)
{
    u64 before = __sync_fetch_and_add(&argument->calls, 1);

    if (before == 0 || value < argument->smallest)
        argument->smallest = value;
    if (value > argument->largest)
        argument->largest = value;
    if (value == 0)
        __sync_fetch_and_add(&argument->zero, 1);
    /* Where Linux on x86-64 and arm64 maps programs and libraries. */
    if (value >> 40 >= 0x50 && value >> 40 <= 0x7f)
        __sync_fetch_and_add(&argument->pointers, 1);
}

SEC("fentry")
int look(void *ctx)
{
    u64 count = bpf_get_func_arg_cnt(ctx);

    for (u32 i = 0; i < MOST && i < count; i++) {
        u64 value = 0;
        u32 key = i;
        struct argument *argument = bpf_map_lookup_elem(&arguments, &key);

        if (!argument || bpf_get_func_arg(ctx, i, &value) < 0)
            break;
        note(argument, value);
    }
    return 0;
}
