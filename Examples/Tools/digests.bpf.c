// Who digests how much: bytes by size of the pieces that go through EVP_DigestUpdate, and the throughput.
//
//     fsession run --maps --globals digests.bpf.o -- openssl dgst -sha256 /usr/bin/git
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, u32);     /* n: pieces from 2^n bytes */
    __type(value, u64);   /* pieces */
} pieces SEC(".maps");

u64 bytes, nanoseconds;

SEC("fsession/libcrypto:EVP_DigestUpdate")
int BPF_PROG(update, void *context, void *data, u64 length)
{
    u64 *start = bpf_session_cookie(ctx);
    u32 power = log2_of(length);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    u64 *count = bpf_map_lookup_elem(&pieces, &power);

    if (count)
        __sync_fetch_and_add(count, 1);
    __sync_fetch_and_add(&bytes, length);
    __sync_fetch_and_add(&nanoseconds, bpf_ktime_get_ns() - *start);
    return 0;
}
