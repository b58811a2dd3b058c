// How well zlib compresses: bytes in and out of each call of deflate, and the time, by level of compression that the
// ratio shows. Reads the program's z_stream before and after the call.
//
//     fsession run --maps --globals deflate.bpf.o -- \
//         python3 -c 'import zlib; print(len(zlib.compress(bytes(range(256)) * 4000)))'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* The beginning of zlib's z_stream on 64-bit machines. */
struct stream {
    u64 next_in;
    u32 avail_in, unused;
    u64 total_in;
    u64 next_out;
    u32 avail_out, unused_too;
    u64 total_out;
};

struct progress {
    u64 time, in, out;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 256);
    __type(key, u64);   /* thread */
    __type(value, struct progress);
} running SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 11);
    __type(key, u32);     /* tenths of its size that the data has afterwards */
    __type(value, u64);   /* calls */
} ratios SEC(".maps");

u64 bytes_in, bytes_out, nanoseconds;

SEC("fsession/libz:deflate")
int BPF_PROG(on_deflate, u64 place)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct stream stream = {};

    if (bpf_probe_read_user(&stream, sizeof stream, (void *)place) < 0)
        return 0;
    if (!bpf_session_is_return(ctx)) {
        struct progress start = {.time = bpf_ktime_get_ns(), .in = stream.total_in, .out = stream.total_out};

        bpf_map_update_elem(&running, &thread, &start, BPF_ANY);
        return 0;
    }

    struct progress *start = bpf_map_lookup_elem(&running, &thread);

    if (!start)
        return 0;

    u64 in = stream.total_in - start->in, out = stream.total_out - start->out;
    u32 tenths = in ? out * 10 / in : 10;

    __sync_fetch_and_add(&nanoseconds, bpf_ktime_get_ns() - start->time);
    __sync_fetch_and_add(&bytes_in, in);
    __sync_fetch_and_add(&bytes_out, out);
    bpf_map_delete_elem(&running, &thread);
    if (tenths > 10)
        tenths = 10;

    u64 *count = bpf_map_lookup_elem(&ratios, &tenths);

    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}
