// Programs that return something although only fmod_ret programs may.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 runs;

SEC("fentry/add") int answers_fentry(void *ctx) { runs++; return 5; }
SEC("fexit/add") int answers_fexit(void *ctx) { runs++; return 6; }
SEC("fsession/add") int answers_session(void *ctx) { runs++; return 7; }
