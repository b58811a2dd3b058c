// How the data begins that a program writes: the first 16 bytes of each write, printed as text where they are text.
//
//     fsession run heads.bpf.o -- git --version
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define HEAD 16

SEC("fentry/libc:write")
int BPF_PROG(on_write, u64 descriptor, u64 data, u64 size)
{
    char head[HEAD + 1] = {}, line[96];
    u64 count = size < HEAD ? size : HEAD;

    if (bpf_probe_read_user(head, count, (void *)data) < 0)
        return 0;
    for (u32 i = 0; i < HEAD; i++)
        if (head[i] < ' ' || head[i] > '~')
            head[i] = i < count ? '.' : 0;

    u64 values[] = {descriptor, size, (u64)head};

    if (bpf_snprintf(line, sizeof line, "fd %d, %lu bytes: %s", values, sizeof values) > 0)
        bpf_printk("%s", line);
    return 0;
}
