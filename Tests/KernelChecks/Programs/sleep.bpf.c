// Sessions at functions inside which calls stay for a while. The kernel skips a program that is running already on
// the same CPU, at entry as at exit: a cookie that is zero at the exit tells of a skipped entry, not of another call.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, skipped, not_zero, wrong;

#define SESSION(name, section, value)                                            \
    SEC(section "/hrtimer_nanosleep")                                            \
    int name(u64 *ctx)                                                           \
    {                                                                            \
        u64 *cookie = bpf_session_cookie(ctx);                                   \
                                                                                 \
        if (!bpf_session_is_return(ctx)) {                                       \
            if (*cookie != 0) __sync_fetch_and_add(&not_zero, 1);                \
            *cookie = (value) + bpf_get_current_pid_tgid();                      \
            __sync_fetch_and_add(&entries, 1);                                   \
        } else {                                                                 \
            if (*cookie == 0)                                                    \
                __sync_fetch_and_add(&skipped, 1);                               \
            else if (*cookie != (value) + bpf_get_current_pid_tgid())            \
                __sync_fetch_and_add(&wrong, 1);                                 \
            __sync_fetch_and_add(&exits, 1);                                     \
        }                                                                        \
        return 0;                                                                \
    }

SESSION(first, "fsession", 1ull << 56)
SESSION(second, "fsession", 2ull << 56)

// A sleepable one, at a function that the kernel allows these at.
u64 sleepable_entries, sleepable_exits;

SEC("fsession.s/bpf_fentry_test1")
int sleepable(u64 *ctx)
{
    u64 *cookie = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *cookie = 42;
        __sync_fetch_and_add(&sleepable_entries, 1);
    } else if (*cookie == 42) {
        __sync_fetch_and_add(&sleepable_exits, 1);
    }
    return 0;
}

SEC("fsession/do_exit") int session_exit(u64 *ctx) { return 0; }
SEC("fentry/do_exit") int enters_exit(u64 *ctx) { return 0; }
