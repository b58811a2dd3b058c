// A program that needs a function which no kernel has.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern void fsession_no_such_kfunc(void) __ksym;
SEC("fsession/bpf_fentry_test1") int calls_unknown_kfunc(void *ctx) { fsession_no_such_kfunc(); return 0; }
