// Programs that a process executes, with their first arguments.
//
//     fsession run execs.bpf.o -- sh -c 'ls -d / | cat'
#include "tools.h"

char LICENSE[] SEC("license") = "GPL";

#define WORDS 6
#define WORD 32

u64 executed;

SEC("fentry/libc:execve")
int BPF_PROG(on_execve, u64 path, u64 arguments)
{
    char word[WORD] = {};

    __sync_fetch_and_add(&executed, 1);
    bpf_probe_read_user_str(word, sizeof word, (void *)path);
    bpf_printk("%d executes %s", (u32)(bpf_get_current_pid_tgid() >> 32), word);
    for (u32 i = 0; i < WORDS; i++) {
        u64 argument = 0;

        if (bpf_probe_read_user(&argument, sizeof argument, (u64 *)arguments + i) < 0 || !argument)
            break;
        if (bpf_probe_read_user_str(word, sizeof word, (void *)argument) < 0)
            break;
        bpf_printk("    [%u] %s", i, word);
    }
    return 0;
}
