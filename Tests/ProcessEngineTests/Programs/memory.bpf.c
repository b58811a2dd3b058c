// The target's memory: symbols, pointers good and bad, writing, stacks.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern const long executed __ksym;
extern const char greeting[] __ksym;
extern const char no_such_symbol __ksym __weak;
extern char writable[] __ksym;

char text[32], argument[16], part[4], formatted[48];
s64 text_length, argument_length, part_length, formatted_length;
u64 executed_value, weak_address = 1;
s64 bad[6], bad_string, good, comparison;
u64 bad_value = 77;
s64 written = 1, bad_write = 1;

struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 64);
    __uint(key_size, sizeof(u32));
    __uint(value_size, 16 * sizeof(u64));
} stacks SEC(".maps");

s64 stack_id = -1, same_id = -1;
u64 addresses[16];
s64 stack_bytes;

SEC("fentry/many")
int reads(u64 *ctx)
{
    bpf_probe_read_user(&executed_value, sizeof executed_value, &executed);
    text_length = bpf_probe_read_user_str(text, sizeof text, greeting);
    argument_length = bpf_probe_read_user_str(argument, sizeof argument, (void *)ctx[3]);
    part_length = bpf_probe_read_kernel_str(part, sizeof part, (void *)ctx[3]);
    weak_address = (u64)&no_such_symbol;
    comparison = bpf_strncmp(argument, sizeof argument, "four");

    bad[0] = bpf_probe_read_user(&bad_value, 8, (void *)0);
    bad[1] = bpf_probe_read_user(&bad_value, 8, (void *)1);
    bad[2] = bpf_probe_read_kernel(&bad_value, 8, (void *)0xffffffff81000000ull);
    bad[3] = bpf_probe_read(&bad_value, 8, (void *)0xdead000000000000ull);
    bad[4] = bpf_copy_from_user(&bad_value, 8, (void *)-1ull);
    bad[5] = bpf_probe_read_user(&bad_value, 8, (void *)0x1234567000ull);
    bad_string = bpf_probe_read_user_str(formatted, sizeof formatted, (void *)8);
    good = bpf_copy_from_user(&bad_value, 8, greeting);
    formatted_length = BPF_SNPRINTF(formatted, sizeof formatted, "%s has %d letters, %llx", argument, 4, 0xbeefull);
    return 0;
}

SEC("fentry/add")
int writes(u64 *ctx)
{
    char after[] = "after";

    written = bpf_probe_write_user(writable, after, sizeof after);
    bad_write = bpf_probe_write_user((void *)8, after, sizeof after);
    return 0;
}

SEC("fentry/down")
int walks(u64 *ctx)
{
    if (ctx[0] != 0) return 0;
    stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
    same_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
    stack_bytes = bpf_get_stack(ctx, addresses, sizeof addresses, BPF_F_USER_STACK);
    return 0;
}

SEC("fsession/other")
int prints(u64 *ctx)
{
    if (bpf_session_is_return(ctx)) bpf_printk("other returns %d", (int)ctx[2]);
    else bpf_printk("other(%ld, %ld) %s %d", ctx[0], ctx[1], "and", 4);
    return 0;
}
