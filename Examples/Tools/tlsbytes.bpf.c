// Bytes that a program sends and receives over TLS, by connection, and how many calls that took.
//
//     fsession run --maps tlsbytes.bpf.o -- curl -sk https://localhost:8443/
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct traffic {
    u64 sent, received;
    u64 writes, reads;
    u64 failures;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, u64);   /* SSL * */
    __type(value, struct traffic);
} connections SEC(".maps");

static struct traffic *traffic_of(u64 connection)
{
    struct traffic none = {}, *found = bpf_map_lookup_elem(&connections, &connection);

    if (found)
        return found;
    bpf_map_update_elem(&connections, &connection, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(&connections, &connection);
}

/* int SSL_write(SSL *, const void *, int) */
SEC("fexit/libssl:SSL_write")
int BPF_PROG(after_write, u64 connection)
{
    struct traffic *traffic = traffic_of(connection);
    u64 result = 0;

    bpf_get_func_ret(ctx, &result);
    if (!traffic)
        return 0;
    __sync_fetch_and_add(&traffic->writes, 1);
    if ((s32)result > 0)
        __sync_fetch_and_add(&traffic->sent, (u32)result);
    else
        __sync_fetch_and_add(&traffic->failures, 1);
    return 0;
}

/* int SSL_read(SSL *, void *, int) */
SEC("fexit/libssl:SSL_read")
int BPF_PROG(after_read, u64 connection)
{
    struct traffic *traffic = traffic_of(connection);
    u64 result = 0;

    bpf_get_func_ret(ctx, &result);
    if (!traffic)
        return 0;
    __sync_fetch_and_add(&traffic->reads, 1);
    if ((s32)result > 0)
        __sync_fetch_and_add(&traffic->received, (u32)result);
    else
        __sync_fetch_and_add(&traffic->failures, 1);
    return 0;
}
