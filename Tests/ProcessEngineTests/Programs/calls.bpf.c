// Programs that call: subprograms, callbacks, other programs.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, u32);
    __type(value, u64);
} numbers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 5);
    __type(key, u32);
    __type(value, u64);
} places SEC(".maps");

u64 visited, sum, visited_until, place_sum, looped, loop_sum, loop_until, too_many;
u64 static_result, global_result;
u64 jumped_to, jump_fell_through, rounds, after_rounds;

struct sums {
    u64 sum;
    u64 stop_at;
};

static long add_element(void *map, const void *key, void *value, void *context)
{
    struct sums *sums = context;

    sums->sum += *(u64 *)value;
    return sums->stop_at && *(u32 *)key == sums->stop_at;
}

static long add_index(u64 index, void *context)
{
    struct sums *sums = context;

    sums->sum += index;
    return sums->stop_at && index == sums->stop_at;
}

static __attribute__((noinline)) u64 triple(u64 a, u64 *also)
{
    u64 local[4] = { a, a, a, a };

    *also += local[bpf_get_prandom_u32() & 3];
    return a * 3;
}

__attribute__((noinline)) u64 global_sum(u64 a, u64 b, u64 c, u64 d, u64 e)
{
    u64 more = 1;
    u64 result = triple(a, &more) + b + c + d + e;

    return result + more;
}

SEC("fentry/add")
int callbacks(u64 *ctx)
{
    struct sums sums = {};

    for (u32 i = 0; i < 10; i++) {
        u64 value = i * 100;

        bpf_map_update_elem(&numbers, &i, &value, BPF_ANY);
        bpf_map_update_elem(&places, &i, &value, BPF_ANY);
    }
    visited = bpf_for_each_map_elem(&numbers, add_element, &sums, 0);
    sum = sums.sum;
    sums.sum = 0;
    sums.stop_at = 3;
    visited_until = bpf_for_each_map_elem(&places, add_element, &sums, 0);
    place_sum = sums.sum;
    sums.sum = 0;
    sums.stop_at = 0;
    looped = bpf_loop(1001, add_index, &sums, 0);
    loop_sum = sums.sum;
    sums.stop_at = 5;
    loop_until = bpf_loop(1001, add_index, &sums, 0);
    too_many = bpf_loop((1 << 23) + 1, add_index, &sums, 0);
    return 0;
}

SEC("fexit/add")
int subprograms(u64 *ctx)
{
    u64 also = 2;

    static_result = triple(ctx[2], &also) + also;
    global_result = global_sum(ctx[0], ctx[1], 10, 20, 30);
    return 0;
}

int landing(u64 *ctx);
int again(u64 *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 4);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} jumps SEC(".maps") = {
    .values = { [0] = (void *)&landing },
};

// One of its own: what `landing` reads of its context, `nothing` does not have.
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(u32));
    __array(values, int(u64 *));
} turns SEC(".maps") = {
    .values = { [0] = (void *)&again },
};

SEC("fentry/other")
int landing(u64 *ctx)
{
    jumped_to = 100 + ctx[0];
    return 0;
}

SEC("fentry/other")
int jumps_off(u64 *ctx)
{
    bpf_tail_call(ctx, &jumps, ctx[1]);
    jump_fell_through++;
    return 0;
}

SEC("fentry/nothing")
int again(u64 *ctx)
{
    rounds++;
    bpf_tail_call(ctx, &turns, 0);
    after_rounds++;
    return 0;
}
