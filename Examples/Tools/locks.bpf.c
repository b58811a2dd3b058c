// Lock contention: how long threads waited in pthread_mutex_lock, by mutex, and the longest wait of each.
//
//     fsession run --set limit=10us --maps locks.bpf.o -p PID
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct waits {
    u64 calls, nanoseconds, longest;
    u32 last_thread;
    u32 contended;   /* waits of more than `limit` */
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, u64);   /* pthread_mutex_t * */
    __type(value, struct waits);
} mutexes SEC(".maps");

/* In nanoseconds: more than an uncontended lock takes. */
const volatile u64 limit = 1000;

SEC("fsession/libc:pthread_mutex_lock")
int BPF_PROG(lock, u64 mutex)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 waited = bpf_ktime_get_ns() - *start;
    struct waits none = {}, *waits = bpf_map_lookup_elem(&mutexes, &mutex);

    if (!waits) {
        bpf_map_update_elem(&mutexes, &mutex, &none, BPF_NOEXIST);
        waits = bpf_map_lookup_elem(&mutexes, &mutex);
        if (!waits)
            return 0;
    }
    __sync_fetch_and_add(&waits->calls, 1);
    __sync_fetch_and_add(&waits->nanoseconds, waited);
    if (waited > waits->longest) {
        waits->longest = waited;
        waits->last_thread = (u32)bpf_get_current_pid_tgid();
    }
    if (waited > limit)
        __sync_fetch_and_add(&waits->contended, 1);
    return 0;
}
