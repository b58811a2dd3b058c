// A flight recorder: only the last 32 calls are kept, the oldest one making room. When the function returns `trigger`,
// they are printed.
//
//     fsession run --set trigger=100 --at libsqlite3:sqlite3_step recorder.bpf.o -- sqlite3 :memory: 'select 1 union select 2'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* SQLITE_DONE */
const volatile u32 trigger = 101;

struct call {
    u64 time, argument, result;
};

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 32);
    __type(value, struct call);
} calls SEC(".maps");

static int print(u64 index, void *context)
{
    struct call call;

    if (bpf_map_pop_elem(&calls, &call) < 0)
        return 1;
    bpf_printk("%lu: 0x%lx -> %ld", call.time, call.argument, call.result);
    return 0;
}

SEC("fexit")
int BPF_PROG(note, u64 argument)
{
    struct call call = {.time = bpf_ktime_get_ns(), .argument = argument};

    bpf_get_func_ret(ctx, &call.result);
    bpf_map_push_elem(&calls, &call, BPF_EXIST);
    if ((u32)call.result == trigger)
        bpf_loop(32, print, 0, 0);
    return 0;
}
