// Programs that return something although only fmod_ret programs may; one of them, with ONLY.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#if !defined ONLY || ONLY == 1
SEC("fentry/bpf_fentry_test1") int answers_fentry(void *ctx) { return 5; }
#endif
#if !defined ONLY || ONLY == 2
SEC("fexit/bpf_fentry_test1") int answers_fexit(void *ctx) { return 6; }
#endif
#if !defined ONLY || ONLY == 3
SEC("fsession/bpf_fentry_test1") int answers_session(void *ctx) { return 7; }
#endif
#if !defined ONLY || ONLY == 4
SEC("fsession/bpf_fentry_test1") int answers_with_cookie(void *ctx) { return *bpf_session_cookie(ctx) + 8; }
#endif
