// What the helpers about the call answer, in programs of each kind and at both ends of a session.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct answers {
    u64 runs;
    u64 ip;
    u64 count;
    u64 arguments[2];
    s64 argument_results[2];
    s64 beyond;
    u64 returned;
    s64 return_result;
    u64 cookie;
};

struct answers in_fentry, in_fexit, in_fmod_ret, at_session_entry, at_session_exit;

static __always_inline void ask(void *ctx, struct answers *to)
{
    u64 ignored = 0;

    to->runs++;
    to->ip = bpf_get_func_ip(ctx);
    to->count = bpf_get_func_arg_cnt(ctx);
    to->argument_results[0] = bpf_get_func_arg(ctx, 0, &to->arguments[0]);
    to->argument_results[1] = bpf_get_func_arg(ctx, 1, &to->arguments[1]);
    to->beyond = bpf_get_func_arg(ctx, 2, &ignored);
    to->returned = 4711;
    to->return_result = bpf_get_func_ret(ctx, &to->returned);
    to->cookie = bpf_get_attach_cookie(ctx);
}

SEC("fentry/add") int asks_fentry(void *ctx) { ask(ctx, &in_fentry); return 0; }
SEC("fexit/add") int asks_fexit(void *ctx) { ask(ctx, &in_fexit); return 0; }
SEC("fmod_ret/add") int asks_fmod_ret(void *ctx) { ask(ctx, &in_fmod_ret); return 0; }
SEC("fsession/add") int asks_session(void *ctx)
{
    if (bpf_session_is_return(ctx)) ask(ctx, &at_session_exit);
    else ask(ctx, &at_session_entry);
    return 0;
}
