// Three sessions at one function; two of them carry something from each entry to its exit.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, not_zero, wrong, plain_entries, plain_exits;

#define SESSION(name, value)                                                     \
    SEC("fsession/bpf_fentry_test1")                                             \
    int name(u64 *ctx)                                                           \
    {                                                                            \
        u64 *cookie = bpf_session_cookie(ctx);                                   \
                                                                                 \
        if (!bpf_session_is_return(ctx)) {                                       \
            if (*cookie != 0) __sync_fetch_and_add(&not_zero, 1);                \
            *cookie = (value) + bpf_get_current_pid_tgid();                      \
            __sync_fetch_and_add(&entries, 1);                                   \
        } else {                                                                 \
            if (*cookie != (value) + bpf_get_current_pid_tgid())                 \
                __sync_fetch_and_add(&wrong, 1);                                 \
            __sync_fetch_and_add(&exits, 1);                                     \
        }                                                                        \
        return 0;                                                                \
    }

SESSION(first, 1ull << 56)
SESSION(second, 2ull << 56)

SEC("fsession/bpf_fentry_test1")
int plain(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) __sync_fetch_and_add(&plain_exits, 1);
    else __sync_fetch_and_add(&plain_entries, 1);
    return 0;
}
