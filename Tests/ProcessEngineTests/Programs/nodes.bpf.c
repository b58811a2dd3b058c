// More programs than a function takes.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, singles;

#define SESSION(name)                                                            \
    SEC("fsession/add") int name(void *ctx)                                      \
    {                                                                            \
        if (bpf_session_is_return(ctx)) exits++;                                 \
        else entries++;                                                          \
        return 0;                                                                \
    }
#define FIVE(name) SESSION(name##0) SESSION(name##1) SESSION(name##2) SESSION(name##3) SESSION(name##4)

FIVE(a)
FIVE(b)
FIVE(c)
FIVE(d)

SEC("fentry/add") int entry0(void *ctx) { singles++; return 0; }
SEC("fexit/add") int exit0(void *ctx) { singles++; return 0; }
SEC("fmod_ret/add") int modify0(void *ctx) { singles++; return 0; }
