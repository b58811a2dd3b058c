// Makes a function fail: every `interval`th call is skipped and returns `result`. Shows what a program does when a
// statement of SQLite runs out of memory, say. This is the one tool here that changes what its target does.
//
//     fsession run --set spared=1 --globals --at libsqlite3:sqlite3_step inject.bpf.o -- \
//         sqlite3 :memory: 'select 1' 'select 2' 'select 3'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

const volatile u64 interval = 2;
/* Calls that are let through before the first one fails. */
const volatile u64 spared = 2;
/* Not 0, which would let the call through. 7 is SQLITE_NOMEM. */
const volatile s32 result = 7;

u64 calls, injected;

SEC("fmod_ret")
int fail(void *ctx)
{
    u64 call = __sync_fetch_and_add(&calls, 1);

    if (!interval || call < spared || (call - spared) % interval)
        return 0;
    __sync_fetch_and_add(&injected, 1);
    return result;
}
