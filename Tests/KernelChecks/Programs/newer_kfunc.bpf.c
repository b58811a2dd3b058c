// A program for Linux 6.14 and later.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct task_struct;
extern struct task_struct *bpf_task_from_vpid(int id) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

SEC("fsession/bpf_fentry_test1")
int calls_newer_kfunc(void *ctx)
{
    struct task_struct *task = bpf_task_from_vpid(1);

    if (task) bpf_task_release(task);
    return 0;
}
