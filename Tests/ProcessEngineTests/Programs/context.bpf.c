// What the context holds at both ends.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

u64 entries, exits;
u64 at_entry[3], at_exit[3];
u64 metadata_at_entry, metadata_at_exit;
u64 cookie_distance;

SEC("fsession/add")
int context(u64 *ctx)
{
    bool is_return = bpf_session_is_return(ctx);
    u64 *to = is_return ? at_exit : at_entry;

    to[0] = ctx[0];
    to[1] = ctx[1];
    to[2] = ctx[2];
    if (is_return) {
        exits++;
        metadata_at_exit = ctx[-1];
    } else {
        entries++;
        metadata_at_entry = ctx[-1];
        cookie_distance = ((u64)ctx - (u64)bpf_session_cookie(ctx)) / 8;
    }
    return 0;
}

u64 many_at_exit[9], many_metadata;

SEC("fsession/many")
int context_many(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) {
        many_metadata = ctx[-1];
        for (int i = 0; i < 9; i++) many_at_exit[i] = ctx[i];
    }
    return 0;
}

u64 nothing_metadata, nothing_return = 1;

SEC("fsession/nothing")
int context_nothing(u64 *ctx)
{
    if (!bpf_session_is_return(ctx)) {
        nothing_metadata = ctx[-1];
        nothing_return = ctx[0];
    }
    return 0;
}
