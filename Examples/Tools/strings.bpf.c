// The strings that a function gets as its first argument: a record for each call, as long as the string.
//
//     fsession run --records --at libc:puts strings.bpf.o -- ./hello
//     fsession run --records --at libc:getenv strings.bpf.o -- ls -d /
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define LONGEST 256

struct record {
    u64 time;
    u32 thread;
    u32 length;
    char text[LONGEST];
};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct record);
} scratch SEC(".maps");

u64 dropped;

SEC("fentry")
int BPF_PROG(note, u64 text)
{
    u32 zero = 0;
    struct record *record = bpf_map_lookup_elem(&scratch, &zero);

    if (!record)
        return 0;

    long length = bpf_probe_read_user_str(record->text, LONGEST, (void *)text);

    if (length < 0 || length > LONGEST)
        return 0;
    record->time = bpf_ktime_get_ns();
    record->thread = (u32)bpf_get_current_pid_tgid();
    record->length = length;
    if (bpf_ringbuf_output(&records, record, __builtin_offsetof(struct record, text) + length, 0) < 0)
        __sync_fetch_and_add(&dropped, 1);
    return 0;
}
