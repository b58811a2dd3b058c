// Programs that return something although only fmod_ret programs may.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/bpf_fentry_test1") int answers_fentry(void *ctx) { return 5; }
SEC("fexit/bpf_fentry_test1") int answers_fexit(void *ctx) { return 6; }
SEC("fsession/bpf_fentry_test1") int answers_session(void *ctx) { return 7; }
SEC("fsession/bpf_fentry_test1") int answers_with_cookie(void *ctx) { return *bpf_session_cookie(ctx) + 8; }
