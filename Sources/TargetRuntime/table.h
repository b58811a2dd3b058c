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
    struct fs_helper_row row;
    helper_function *function;
};

#define ROW(name, function, result, a1, a2, a3, a4, a5)                                                        \
    {{BPF_FUNC_##name, FS_GIVES_##result,                                                                      \
      {FS_TAKES_##a1, FS_TAKES_##a2, FS_TAKES_##a3, FS_TAKES_##a4, FS_TAKES_##a5}, "bpf_" #name}, function},
#define HELPER_ROW(name, function, ...) ROW(name, helper_##function, __VA_ARGS__)
#define INLINED_ROW(name, ...) ROW(name, NULL, __VA_ARGS__)

static const struct helper_entry helper_table[] = {
#include "helper_rows.h"
};

#define HELPER_COUNT (sizeof helper_table / sizeof *helper_table)

const struct fs_helper_row *fs_helper_row(size_t index) { return index < HELPER_COUNT ? &helper_table[index].row : NULL; }

static const struct helper_entry *helper_entry(uint32_t helper) {
    for (size_t i = 0; i < HELPER_COUNT; i++)
        if (helper_table[i].row.number == helper && helper_table[i].function) return &helper_table[i];
    return NULL;
}

int64_t fs_runtime_helper_offset(uint32_t helper) {
    const struct helper_entry *entry = helper_entry(helper);
    return entry ? (const char *)entry->function - __start_fsession_runtime : -1;
}

const char *fs_runtime_helper_name(uint32_t helper) {
    const struct helper_entry *entry = helper_entry(helper);
    return entry ? entry->row.name : NULL;
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
