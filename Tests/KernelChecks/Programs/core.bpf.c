// Relocations: the types here are only outlines of the kernel's.
#include "fsession.bpf.h"
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

#define bpf_ksym_exists(symbol) (!!(symbol))
#define CORE __attribute__((preserve_access_index))

struct task_struct {
    int nothing_of_the_kernel[7];
    int tgid;
    unsigned sched_reset_on_fork : 1;
    int pid;
} CORE;
struct task_struct___other {
    int no_such_member;
} CORE;
struct no_such_struct {
    int x;
} CORE;
enum bpf_map_type___other { BPF_MAP_TYPE_ARRAY___other = 77, NO_SUCH_TYPE___other = 78 };
struct list_head {
    struct list_head *next, *prev;
} CORE;
struct list_head___other {
    int next;
} CORE;

u64 pid_wrong, member_exists, other_exists, struct_exists, missing_exists, array_type, missing_type, list_size, matches, mismatches, bit;
u64 weak_function, weak_variable, address;

extern void no_such_kfunc(void) __ksym __weak;
extern const int no_such_variable __ksym __weak;
extern const void init_task __ksym;

SEC("fsession/bpf_fentry_test1")
int relocated(u64 *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    u64 id = bpf_get_current_pid_tgid();

    if (BPF_CORE_READ(task, pid) != (int)id || BPF_CORE_READ(task, tgid) != (int)(id >> 32)) pid_wrong++;
    member_exists = bpf_core_field_exists(task->pid);
    other_exists = bpf_core_field_exists(((struct task_struct___other *)0)->no_such_member);
    struct_exists = bpf_core_type_exists(struct task_struct);
    missing_exists = bpf_core_type_exists(struct no_such_struct);
    array_type = bpf_core_enum_value(enum bpf_map_type___other, BPF_MAP_TYPE_ARRAY___other);
    missing_type = bpf_core_enum_value_exists(enum bpf_map_type___other, NO_SUCH_TYPE___other);
    matches = bpf_core_type_matches(struct list_head);
    mismatches = bpf_core_type_matches(struct list_head___other);
    bit = BPF_CORE_READ_BITFIELD_PROBED(task, sched_reset_on_fork);
    list_size = bpf_core_type_size(struct list_head);
    if (bpf_core_type_exists(struct no_such_struct)) pid_wrong += BPF_CORE_READ((struct no_such_struct *)task, x);
    weak_function = bpf_ksym_exists(no_such_kfunc);
    if (bpf_ksym_exists(no_such_kfunc)) no_such_kfunc();
    weak_variable = !!&no_such_variable;
    address = (u64)&init_task;
    return 0;
}
