// A sample of a function's calls: one of `rate`, chosen by chance, with its arguments and duration.
//
//     fsession run --set rate=8 --records --globals --at libc:malloc sample.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

const volatile u32 rate = 16;

struct call {
    u64 time, nanoseconds, result;
    u64 arguments[3];
    u32 thread, processor;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(u32));
    __uint(value_size, sizeof(u32));
} samples SEC(".maps");

u64 calls, sampled;

SEC("fsession")
int BPF_PROG(look, u64 first, u64 second, u64 third)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        __sync_fetch_and_add(&calls, 1);
        if (rate && bpf_get_prandom_u32() % rate == 0)
            *start = bpf_ktime_get_ns();
        return 0;
    }
    if (!*start)
        return 0;

    struct call call = {
        .time = *start,
        .nanoseconds = bpf_ktime_get_ns() - *start,
        .arguments = {first, second, third},
        .thread = (u32)bpf_get_current_pid_tgid(),
        .processor = bpf_get_smp_processor_id(),
    };

    bpf_get_func_ret(ctx, &call.result);
    bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &call, sizeof call);
    __sync_fetch_and_add(&sampled, 1);
    return 0;
}
