// Which calls take longer than they should: how often a function runs, how long by powers of two, and a record of
// each call that is slower than a limit. The program that loads it says which function.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* In nanoseconds. */
const volatile u64 limit = 20 * 1000 * 1000;

/* Written by the program, read by main.swift. */
u64 calls, slow, longest;

struct slow_call {
    u64 argument;
    u64 result;
    u64 nanoseconds;
    u32 thread;
    char command[16];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: from 2^n nanoseconds */
    __type(value, u64);   /* calls */
} durations SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 65536);
} slow_calls SEC(".maps");

static u32 power_of_two(u64 value)
{
    u32 power = 0;

    while (value > 1 && power < 63) {
        value >>= 1;
        power++;
    }
    return power;
}

SEC("fsession")
int slow_calls_of(u64 *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 nanoseconds = bpf_ktime_get_ns() - *start;
    u32 power = power_of_two(nanoseconds);
    u64 one = 1, *count = bpf_map_lookup_elem(&durations, &power);

    if (count)
        __sync_fetch_and_add(count, 1);
    else if (bpf_map_update_elem(&durations, &power, &one, BPF_NOEXIST) != 0) {
        /* Another thread was faster. */
        count = bpf_map_lookup_elem(&durations, &power);
        if (count) __sync_fetch_and_add(count, 1);
    }
    __sync_fetch_and_add(&calls, 1);
    if (nanoseconds > longest) longest = nanoseconds;
    if (nanoseconds < limit) return 0;

    __sync_fetch_and_add(&slow, 1);
    struct slow_call *call = bpf_ringbuf_reserve(&slow_calls, sizeof *call, 0);

    if (!call) return 0;
    call->argument = ctx[0];
    bpf_get_func_ret(ctx, &call->result);
    call->nanoseconds = nanoseconds;
    call->thread = (u32)bpf_get_current_pid_tgid();
    bpf_get_current_comm(call->command, sizeof call->command);
    bpf_ringbuf_submit(call, 0);
    return 0;
}
