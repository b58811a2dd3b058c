// Calls that take much longer than the function usually does. What is usual is learnt: a moving average, in which each
// call counts for a sixteenth.
//
//     fsession run --set factor=4 --globals --at libsqlite3:sqlite3_step outliers.bpf.o -- sqlite3 :memory: \
//         'with recursive n(x) as (select 1 union all select x+1 from n where x < 5000) select x from n'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* How many times the average is an outlier, and how many calls are only learnt from. */
const volatile u64 factor = 8, learning = 50;

u64 calls, outliers, average, worst;

SEC("fsession")
int watch(void *ctx)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 taken = bpf_ktime_get_ns() - *start, call = __sync_fetch_and_add(&calls, 1), usual = average;

    if (call >= learning && taken > usual * factor) {
        __sync_fetch_and_add(&outliers, 1);
        if (taken > worst)
            worst = taken;
        bpf_printk("call %lu: %lu ns, usually %lu ns", call, taken, usual);
        return 0;
    }
    average = call ? usual - usual / 16 + taken / 16 : taken;
    return 0;
}
