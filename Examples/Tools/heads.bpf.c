// How the data begins that a program writes: the first 16 bytes of each write, printed as text where they are text.
//
//     fsession run heads.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define HEAD 16

struct head {
    u64 count;
    char text[HEAD + 1];
};

/* As a loop of C each byte would double the paths that have to be proven safe. */
static int clean(u64 index, struct head *head)
{
    if (index >= HEAD || index >= head->count)
        return 1;
    if (head->text[index] < ' ' || head->text[index] > '~')
        head->text[index] = '.';
    return 0;
}

SEC("fentry/libc:write")
int BPF_PROG(on_write, u64 descriptor, u64 data, u64 size)
{
    struct head head = {.count = size < HEAD ? size : HEAD};
    char line[96];

    if (bpf_probe_read_user(head.text, head.count, (void *)data) < 0)
        return 0;
    bpf_loop(HEAD, clean, &head, 0);

    u64 values[] = {descriptor, size, (u64)head.text};

    if (bpf_snprintf(line, sizeof line, "fd %d, %lu bytes: %s", values, sizeof values) > 0)
        bpf_printk("%s", line);
    return 0;
}
