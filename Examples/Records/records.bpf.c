// A record of each call: when it began and how long it took.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct sample {
    u64 start, duration;
    u32 thread;
};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} samples SEC(".maps");

SEC("fsession")
int record(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof *sample, 0);

    if (!sample) return 0;
    sample->start = *start;
    sample->duration = bpf_ktime_get_ns() - *start;
    sample->thread = bpf_get_current_pid_tgid();
    bpf_ringbuf_submit(sample, 0);
    return 0;
}
