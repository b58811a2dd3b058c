// Calls of a function by thread, with the thread's name, its first and its last call.
//
//     fsession run --maps --at libc:malloc threads.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct thread {
    u64 calls, first, last;
    char name[16];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, u32);
    __type(value, struct thread);
} threads SEC(".maps");

SEC("fentry")
int count(void *ctx)
{
    u32 id = (u32)bpf_get_current_pid_tgid();
    u64 now = bpf_ktime_get_ns();
    struct thread *thread = bpf_map_lookup_elem(&threads, &id);

    if (!thread) {
        struct thread new = {.first = now};

        bpf_get_current_comm(new.name, sizeof new.name);
        bpf_map_update_elem(&threads, &id, &new, BPF_NOEXIST);
        thread = bpf_map_lookup_elem(&threads, &id);
        if (!thread)
            return 0;
    }
    __sync_fetch_and_add(&thread->calls, 1);
    thread->last = now;
    return 0;
}
