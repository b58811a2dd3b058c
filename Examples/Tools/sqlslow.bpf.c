// Slow statements of SQLite: their text and how long their steps took together, as records of a ring buffer that are
// as long as the text.
//
//     fsession run --set limit=5ms --records --maps sqlslow.bpf.o -- sqlite3 :memory: \
//         'with recursive n(x) as (select 1 union all select x+1 from n where x < 200000) select count(*) from n'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

/* In nanoseconds. */
const volatile u64 limit = 1000 * 1000;

#define TEXT 256

struct statement {
    u64 nanoseconds;
    u64 steps;
    u64 length;
    char text[TEXT];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 256);
    __type(key, u64);   /* sqlite3_stmt * */
    __type(value, struct statement);
} statements SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct statement);
} empty SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 65536);
} slow SEC(".maps");

/* int sqlite3_prepare_v2(sqlite3 *, const char *text, int, sqlite3_stmt **, const char **) */
SEC("fexit/libsqlite3:sqlite3_prepare_v2")
int BPF_PROG(after_prepare, u64 database, u64 text, u64 length, u64 place)
{
    u64 statement = 0;
    u32 zero = 0;
    struct statement *new = bpf_map_lookup_elem(&empty, &zero);

    bpf_probe_read_user(&statement, sizeof statement, (void *)place);
    if (!statement || !new)
        return 0;
    bpf_map_update_elem(&statements, &statement, new, BPF_ANY);
    new = bpf_map_lookup_elem(&statements, &statement);
    if (!new)
        return 0;

    long count = bpf_probe_read_user_str(new->text, sizeof new->text, (void *)text);

    new->length = count > 0 ? count : 0;
    return 0;
}

SEC("fsession/libsqlite3:sqlite3_step")
int BPF_PROG(step, u64 key)
{
    u64 *start = bpf_session_cookie(ctx);

    if (!bpf_session_is_return(ctx)) {
        *start = bpf_ktime_get_ns();
        return 0;
    }

    struct statement *statement = bpf_map_lookup_elem(&statements, &key);

    if (!statement)
        return 0;
    __sync_fetch_and_add(&statement->nanoseconds, bpf_ktime_get_ns() - *start);
    __sync_fetch_and_add(&statement->steps, 1);
    return 0;
}

SEC("fentry/libsqlite3:sqlite3_finalize")
int BPF_PROG(finalize, u64 key)
{
    struct statement *statement = bpf_map_lookup_elem(&statements, &key);

    if (!statement)
        return 0;
    if (statement->nanoseconds >= limit) {
        u64 length = statement->length;

        if (length > TEXT)
            length = TEXT;
        bpf_ringbuf_output(&slow, statement, __builtin_offsetof(struct statement, text) + length, 0);
        bpf_printk("%lu us, %lu steps: %s", statement->nanoseconds / 1000, statement->steps, statement->text);
    }
    bpf_map_delete_elem(&statements, &key);
    return 0;
}
