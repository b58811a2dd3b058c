// Which errors a program's system calls run into: calls of libc that returned -1, by function and errno.
//
//     fsession run --maps errnos.bpf.o -- ls /nowhere
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* The address of the thread's errno comes from libc itself: the last value it returned. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 256);
    __type(key, u64);     /* thread */
    __type(value, u64);   /* &errno */
} places SEC(".maps");

struct failure {
    u64 function;
    s32 number;
    u32 unused;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct failure);
    __type(value, u64);   /* calls */
} failures SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 256);
    __type(key, u64);     /* thread */
    __type(value, u64);   /* the function that failed last */
} suspects SEC(".maps");

/* errno is looked at after a call has failed: that is when its address becomes known. */
SEC("fexit/libc:__errno_location")
int BPF_PROG(on_errno)
{
    u64 thread = bpf_get_current_pid_tgid(), place = 0;
    u64 *function = bpf_map_lookup_elem(&suspects, &thread);

    bpf_get_func_ret(ctx, &place);
    bpf_map_update_elem(&places, &thread, &place, BPF_ANY);
    if (!function)
        return 0;

    struct failure failure = {.function = *function};

    if (bpf_probe_read_user(&failure.number, sizeof failure.number, (void *)place) == 0)
        add_to(&failures, &failure, 1);
    bpf_map_delete_elem(&suspects, &thread);
    return 0;
}

static void check(void *ctx)
{
    u64 result = 0, thread = bpf_get_current_pid_tgid();

    bpf_get_func_ret(ctx, &result);
    if ((s32)result != -1)
        return;

    u64 function = bpf_get_func_ip(ctx), *place = bpf_map_lookup_elem(&places, &thread);

    if (!place) {
        bpf_map_update_elem(&suspects, &thread, &function, BPF_ANY);
        return;
    }

    struct failure failure = {.function = function};

    if (bpf_probe_read_user(&failure.number, sizeof failure.number, (void *)*place) == 0)
        add_to(&failures, &failure, 1);
}

SEC("fexit/libc:open*")
int after_open(void *ctx)
{
    check(ctx);
    return 0;
}

SEC("fexit/libc:*stat*")
int after_stat(void *ctx)
{
    check(ctx);
    return 0;
}

SEC("fexit/libc:ioctl")
int after_ioctl(void *ctx)
{
    check(ctx);
    return 0;
}

SEC("fexit/libc:access")
int after_access(void *ctx)
{
    check(ctx);
    return 0;
}
