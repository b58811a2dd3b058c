// A session that does nothing: the trampoline and two calls.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fsession/exe:work")
int nothing(void *ctx)
{
    return 0;
}
