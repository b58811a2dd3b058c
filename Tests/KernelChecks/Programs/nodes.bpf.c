// Twenty sessions and one program of each other kind at one function, for the limit of nodes.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits, singles;

#define SESSION(name)                                        \
    SEC("fsession/bpf_fentry_test1") int name(u64 *ctx)      \
    {                                                        \
        if (bpf_session_is_return(ctx)) exits++;             \
        else entries++;                                      \
        return 0;                                            \
    }
#define FIVE(letter) SESSION(letter##0) SESSION(letter##1) SESSION(letter##2) SESSION(letter##3) SESSION(letter##4)

FIVE(a) FIVE(b) FIVE(c) FIVE(d)

SEC("fentry/bpf_fentry_test1") int entry0(u64 *ctx) { singles++; return 0; }
SEC("fexit/bpf_fentry_test1") int exit0(u64 *ctx) { singles++; return 0; }
