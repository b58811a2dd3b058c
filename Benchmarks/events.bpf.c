// A record of 24 bytes for each call: start, duration, return value.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#ifndef RING_BYTES
#define RING_BYTES (1 << 20)
#endif

struct event {
    u64 start, duration, result;
};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, RING_BYTES);
} events SEC(".maps");

SEC("fsession/exe:work")
int events_program(u64 *ctx)
{
    u64 *start = bpf_session_cookie(ctx);
    struct event event;

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }
    event.start = *start;
    event.duration = bpf_ktime_get_ns() - *start;
    event.result = 0;
    bpf_get_func_ret(ctx, &event.result);
    bpf_ringbuf_output(&events, &event, sizeof event, 0);
    return 0;
}
