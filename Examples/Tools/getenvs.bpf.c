// Which environment variables a program asks for, and whether they are set. Names that begin like `prefix` are also
// counted by themselves.
//
//     fsession run --maps --globals getenvs.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

const char prefix[] = "GIT_";

struct name {
    char text[32];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 512);
    __type(key, struct name);
    __type(value, u64);   /* questions */
} asked SEC(".maps");

u64 questions, of_prefix, unset;

SEC("fsession/libc:getenv")
int BPF_PROG(on_getenv, u64 text)
{
    struct name name = {};
    u64 result = 0;

    if (!bpf_session_is_return(ctx)) {
        bpf_probe_read_user_str(&name, sizeof name, (void *)text);
        __sync_fetch_and_add(&questions, 1);
        add_to(&asked, &name, 1);
        if (bpf_strncmp(name.text, sizeof prefix - 1, prefix) == 0)
            __sync_fetch_and_add(&of_prefix, 1);
        return 0;
    }
    bpf_get_func_ret(ctx, &result);
    if (!result)
        __sync_fetch_and_add(&unset, 1);
    return 0;
}
