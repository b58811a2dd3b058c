// What the section holds, by helper number and by name.

extern const char __start_fsession_runtime[] __attribute__((visibility("hidden")));
extern const char __stop_fsession_runtime[] __attribute__((visibility("hidden")));

// Some linkers throw away a section that only these two symbols refer to.
const void *fs_runtime_start(void) {
    __asm__ volatile("" : : "r"(native_find_fde));
    __asm__ volatile("" : : "r"(native_iterate_phdr));
    return __start_fsession_runtime;
}
size_t fs_runtime_size(void) { return (size_t)(__stop_fsession_runtime - (const char *)fs_runtime_start()); }

typedef u64 helper_function(u64, u64, u64, u64, u64, struct fs_state *);

struct helper_entry {
    u32 number;
    const char *name;
    helper_function *function;
};

#define ENTRY(name, function) {BPF_FUNC_##name, "bpf_" #name, helper_##function}

static const struct helper_entry helper_table[] = {
    ENTRY(map_lookup_elem, map_lookup_elem),
    ENTRY(map_update_elem, map_update_elem),
    ENTRY(map_delete_elem, map_delete_elem),
    ENTRY(map_push_elem, map_push_elem),
    ENTRY(map_pop_elem, map_pop_elem),
    ENTRY(map_peek_elem, map_peek_elem),
    ENTRY(map_lookup_percpu_elem, map_lookup_percpu_elem),
    ENTRY(for_each_map_elem, for_each_map_elem),
    ENTRY(loop, loop),
    ENTRY(ringbuf_output, ringbuf_output),
    ENTRY(ringbuf_reserve, ringbuf_reserve),
    ENTRY(ringbuf_submit, ringbuf_submit),
    ENTRY(ringbuf_discard, ringbuf_discard),
    ENTRY(ringbuf_query, ringbuf_query),
    ENTRY(perf_event_output, perf_event_output),
    ENTRY(trace_printk, trace_printk),
    ENTRY(trace_vprintk, trace_vprintk),
    ENTRY(snprintf, snprintf),
    ENTRY(strncmp, strncmp),
    ENTRY(ktime_get_ns, ktime_get_ns),
    ENTRY(ktime_get_boot_ns, ktime_get_boot_ns),
    ENTRY(ktime_get_coarse_ns, ktime_get_ns),
    ENTRY(ktime_get_tai_ns, ktime_get_tai_ns),
    ENTRY(jiffies64, jiffies64),
    ENTRY(get_current_pid_tgid, get_current_pid_tgid),
    ENTRY(get_current_uid_gid, get_current_uid_gid),
    ENTRY(get_current_comm, get_current_comm),
    ENTRY(get_smp_processor_id, get_smp_processor_id),
    ENTRY(get_numa_node_id, get_numa_node_id),
    ENTRY(get_prandom_u32, get_prandom_u32),
    ENTRY(probe_read, probe_read),
    ENTRY(probe_read_user, probe_read),
    ENTRY(probe_read_kernel, probe_read),
    ENTRY(copy_from_user, probe_read),
    ENTRY(probe_read_str, probe_read_str),
    ENTRY(probe_read_user_str, probe_read_str),
    ENTRY(probe_read_kernel_str, probe_read_str),
    ENTRY(probe_write_user, probe_write_user),
    ENTRY(get_stack, get_stack),
    ENTRY(get_stackid, get_stackid),
    ENTRY(get_func_ip, get_func_ip),
    ENTRY(get_func_arg, get_func_arg),
    ENTRY(get_func_ret, get_func_ret),
    ENTRY(get_func_arg_cnt, get_func_arg_cnt),
    ENTRY(get_attach_cookie, get_attach_cookie),
};

static const struct helper_entry *helper_entry(uint32_t helper) {
    for (size_t i = 0; i < sizeof helper_table / sizeof *helper_table; i++)
        if (helper_table[i].number == helper) return &helper_table[i];
    return NULL;
}

int64_t fs_runtime_helper_offset(uint32_t helper) {
    const struct helper_entry *entry = helper_entry(helper);
    return entry ? (const char *)entry->function - __start_fsession_runtime : -1;
}

const char *fs_runtime_helper_name(uint32_t helper) {
    const struct helper_entry *entry = helper_entry(helper);
    return entry ? entry->name : NULL;
}

int64_t fs_runtime_function_offset(const char *name) {
    if (strcmp(name, "library_event") == 0) return (const char *)native_library_event - __start_fsession_runtime;
    if (strcmp(name, "safe_copy") == 0) return (const char *)native_safe_copy - __start_fsession_runtime;
    if (strcmp(name, "count") == 0) return (const char *)native_count - __start_fsession_runtime;
    if (strcmp(name, "clone_event") == 0) return (const char *)native_clone_event - __start_fsession_runtime;
    if (strcmp(name, "prctl_event") == 0) return (const char *)native_prctl_event - __start_fsession_runtime;
    if (strcmp(name, "syscall_event") == 0) return (const char *)native_syscall_event - __start_fsession_runtime;
    if (strcmp(name, "find_fde") == 0) return (const char *)native_find_fde - __start_fsession_runtime;
    if (strcmp(name, "iterate_phdr") == 0) return (const char *)native_iterate_phdr - __start_fsession_runtime;
    return -1;
}
