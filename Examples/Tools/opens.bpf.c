// Files that a program opens, with the flags and the descriptor: a line for each call of open, openat or fopen.
//
//     fsession run opens.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

u64 opened, failed;

/* What a call was asked for, until it returns. */
struct request {
    u64 flags;
    char path[112];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, u64);   /* thread */
    __type(value, struct request);
} requests SEC(".maps");

static void ask(u64 path, u64 flags)
{
    struct request request = {.flags = flags};
    u64 thread = bpf_get_current_pid_tgid();

    bpf_probe_read_user_str(request.path, sizeof request.path, (void *)path);
    bpf_map_update_elem(&requests, &thread, &request, BPF_ANY);
}

static void answer(void *ctx, bool is_pointer)
{
    u64 result = 0, thread = bpf_get_current_pid_tgid();
    struct request *request = bpf_map_lookup_elem(&requests, &thread);

    if (!request)
        return;
    bpf_get_func_ret(ctx, &result);
    if (is_pointer ? !result : (s32)result < 0) {
        __sync_fetch_and_add(&failed, 1);
        bpf_printk("%s: failed", request->path);
    } else {
        __sync_fetch_and_add(&opened, 1);
        bpf_printk("%s: flags 0x%x, %ld", request->path, (u32)request->flags, is_pointer ? 0 : (s64)(s32)result);
    }
    bpf_map_delete_elem(&requests, &thread);
}

SEC("fsession/libc:open64")
int BPF_PROG(on_open, u64 path, u64 flags)
{
    if (bpf_session_is_return(ctx))
        answer(ctx, false);
    else
        ask(path, flags);
    return 0;
}

SEC("fsession/libc:openat64")
int BPF_PROG(on_openat, u64 folder, u64 path, u64 flags)
{
    if (bpf_session_is_return(ctx))
        answer(ctx, false);
    else
        ask(path, flags);
    return 0;
}

SEC("fsession/libc:fopen64")
int BPF_PROG(on_fopen, u64 path)
{
    if (bpf_session_is_return(ctx))
        answer(ctx, true);
    else
        ask(path, 0);
    return 0;
}
