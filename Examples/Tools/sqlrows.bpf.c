// What SQLite's statements return: how often each result of sqlite3_step came (100 is a row, 101 the end).
//
//     fsession run --maps sqlrows.bpf.o -- sqlite3 :memory: 'select 1 union select 2'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u32);
    __type(value, u64);
} results SEC(".maps");

SEC("fexit/libsqlite3:sqlite3_step")
int BPF_PROG(step, void *statement)
{
    u64 result = 0;

    bpf_get_func_ret(ctx, &result);

    u32 key = result;

    add_to(&results, &key, 1);
    return 0;
}
