// What a traced call costs: the time of a call, taken in three ways, and a session that does nothing.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 total, count;

SEC("fsession/bpf_fentry_test1")
int nothing(void *ctx) { return 0; }

SEC("fsession/bpf_fentry_test1")
int session(void *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *cookie = bpf_ktime_get_ns();
    } else {
        total += bpf_ktime_get_ns() - *cookie;
        count++;
    }
    return 0;
}

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, u64);
    __type(value, u64);
} starts SEC(".maps");

SEC("fentry/bpf_fentry_test1")
int hash_entry(void *ctx)
{
    u64 key = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();

    bpf_map_update_elem(&starts, &key, &now, BPF_ANY);
    return 0;
}

SEC("fexit/bpf_fentry_test1")
int hash_exit(void *ctx)
{
    u64 key = bpf_get_current_pid_tgid(), *start = bpf_map_lookup_elem(&starts, &key);

    if (start) {
        total += bpf_ktime_get_ns() - *start;
        count++;
        bpf_map_delete_elem(&starts, &key);
    }
    return 0;
}

SEC("kprobe.session/bpf_fentry_test1")
int kprobe_session(void *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *cookie = bpf_ktime_get_ns();
    } else {
        total += bpf_ktime_get_ns() - *cookie;
        count++;
    }
    return 0;
}
