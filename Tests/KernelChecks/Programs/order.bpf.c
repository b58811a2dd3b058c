// Two programs of each kind; each leaves its number where it runs. fmod_ret programs answer for the function
// when they are told to.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 count;
u32 steps[64];
u64 returned;
u64 answers;

static __always_inline void step(u32 number)
{
    u64 place = count++;

    if (place < 64) steps[place] = number;
}

#define ENTRY(name, number) SEC("fentry/bpf_modify_return_test") int name(u64 *ctx) { step(number); return 0; }
#define EXIT(name, number) SEC("fexit/bpf_modify_return_test") int name(u64 *ctx) { step(number); returned = ctx[2] & 0xffffffff; return 0; }
#define BOTH(name, number)                                                       \
    SEC("fsession/bpf_modify_return_test") int name(u64 *ctx)                                       \
    {                                                                            \
        if (bpf_session_is_return(ctx)) { step(number + 1); returned = ctx[2] & 0xffffffff; } \
        else step(number);                                                       \
        return 0;                                                                \
    }
#define MODIFY(name, number)                                                     \
    SEC("fmod_ret/bpf_modify_return_test") int name(u64 *ctx) { step(number); return answers ? number * 1000 : 0; }

ENTRY(fentry_a, 1)
ENTRY(fentry_b, 2)
EXIT(fexit_a, 3)
EXIT(fexit_b, 4)
MODIFY(modify_a, 5)
MODIFY(modify_b, 6)
BOTH(session_a, 10)   /* 11 at the exit */
BOTH(session_b, 20)   /* 21 at the exit */
