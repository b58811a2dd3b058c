// The engine's own programs in machine code: called as compiled ones are, `u64 f(u64 *ctx)`.
#ifndef FS_NATIVE_H
#define FS_NATIVE_H

// How long the controller's beat may stand still, and how long a look at it takes.
#define LIBRARY_PATIENCE_NS 500000000u
#define LIBRARY_LOOK_NS 20000000u

// Whether the controller has acted on an event: waits as long as its beat moves.
FS_INLINE int library_wait(struct fs_library_watch *watch, u32 generation) {
    u64 start = kernel_clock(CLOCK_OF_MONOTONIC), last = start, still = 0;
    u32 beat = load32(&watch->beat);
    for (;;) {
        u32 acknowledged = load32(&watch->acknowledged);
        if ((i32)(acknowledged - generation) >= 0) return 1;
        if (load32(&watch->controller_gone)) return 0;
        // Short, in case the one who wakes us is killed before it does. A signal only makes us look again.
        futex_wait(&watch->acknowledged, acknowledged, LIBRARY_LOOK_NS);
        u32 beat_now = load32(&watch->beat);
        u64 now = kernel_clock(CLOCK_OF_MONOTONIC), passed = now - last;
        last = now;
        // A machine that stood still, or had no processor for us, had none for the controller either: such a look counts
        // for little.
        still = beat_now != beat ? 0 : still + (passed < 2 * LIBRARY_LOOK_NS ? passed : 2 * LIBRARY_LOOK_NS);
        beat = beat_now;
        if (still >= LIBRARY_PATIENCE_NS || now - start >= watch->limit_ns) {
            exchange32(&watch->controller_gone, 1);
            return 0;
        }
    }
}

static u64 native_library_event(u64 *ctx) {
    struct fs_library_watch *watch = (struct fs_library_watch *)ctx[FS_CTX_ATTACH_COOKIE];
    u32 generation = add32(&watch->generation, 1) + 1;
    if (watch->state && !may_call((struct fs_state *)watch->state)) return 0;
    if (load32(&watch->sleeping)) futex_wake(&watch->generation);
    if (!library_wait(watch, generation)) add32(&watch->hasty, 1);
    return 0;
}

// Stack words that a trampoline copies for a function of unknown prototype may lie beyond the stack's end: they
// are read without faulting, and what is not there is left as it is.
static void native_safe_copy(void *to, const void *from, u64 size, struct fs_state *state) {
    struct kernel_vector local, remote;
    local.base = (u64)to;
    local.length = size;
    remote.base = (u64)from;
    remote.length = size;
    if (!may_call(state)) return;
    i64 process = system_call(SYSTEM_CALL_GETPID, 0, 0, 0, 0, 0, 0);
    system_call(SYSTEM_CALL_PROCESS_VM_READV, (u64)process, (u64)&local, 1, (u64)&remote, 1, 0);
}

// The last moment in which the process's id can be asked for.
FS_INLINE void no_more_calls(struct fs_state *state) {
    u32 *filtered = (u32 *)state->filtered_address;
    if (!filtered) return;
    current_process(state);
    exchange32(filtered, 1);
    add32(&state->filters, 1);
}

enum { PRCTL_SET_DISPATCH = 59, PRCTL_SET_SECCOMP = 22, SECCOMP_STRICT = 1, PRCTL_SET_TSC = 26, TSC_FAULTS = 2 };

// Strict seccomp takes the time stamp counter away, too, and so does PR_SET_TSC. `first`: among the words of the
// context; where the prototype is known the variable arguments are not there.
FS_INLINE void prctl_event(struct fs_state *state, u64 *ctx, u64 first) {
    int is_known = argument_count(ctx) > first + 1;
    u32 option = (u32)ctx[first], value = is_known ? (u32)ctx[first + 1] : 0;
    if ((option == PRCTL_SET_SECCOMP && (!is_known || value == SECCOMP_STRICT))
        || (option == PRCTL_SET_TSC && (!is_known || value == TSC_FAULTS)))
        exchange32(&state->clock_is_tsc, 0);
    // To dispatch a thread's system calls to itself ends for that thread; there may be others.
    if (option == PRCTL_SET_SECCOMP || (option == PRCTL_SET_DISPATCH && (!is_known || value != 0))) no_more_calls(state);
}

enum {
    CLONE_SHARES_MEMORY = 0x100, CLONE_HAS_THREAD_BLOCK = 0x80000, CLONE_BORROWS = 0x4000,
};

// A thread, or a process in the same memory, without a thread block of its own: from now on ids are asked for. The child
// of a vfork has its parent wait.
FS_INLINE void clone_event(struct fs_state *state, u64 flags) {
    if ((flags & (CLONE_SHARES_MEMORY | CLONE_HAS_THREAD_BLOCK | CLONE_BORROWS)) == CLONE_SHARES_MEMORY)
        exchange32(&state->shares_thread_blocks, 1);
}

static u64 native_clone_event(u64 *ctx) {
    if (argument_count(ctx) > 2) clone_event((struct fs_state *)ctx[FS_CTX_ATTACH_COOKIE], ctx[2]);
    return 0;
}

static u64 native_prctl_event(u64 *ctx) {
    prctl_event((struct fs_state *)ctx[FS_CTX_ATTACH_COOKIE], ctx, 0);
    return 0;
}

static u64 native_syscall_event(u64 *ctx) {
    struct fs_state *state = (struct fs_state *)ctx[FS_CTX_ATTACH_COOKIE];
    u32 count = (u32)argument_count(ctx);
    if (ctx[0] == SYSTEM_CALL_SECCOMP) no_more_calls(state);
    if (ctx[0] == SYSTEM_CALL_CLONE && count > 1) clone_event(state, ctx[1]);
    u64 flags = 0;
    if (ctx[0] == SYSTEM_CALL_CLONE3 && count > 1 && read_memory(state, &flags, ctx[1], sizeof flags) == 0)
        clone_event(state, flags);
    if (ctx[0] == SYSTEM_CALL_PRCTL && argument_count(ctx) > 1) prctl_event(state, ctx, 1);
    return 0;
}

struct unwind_bases { u64 text, data, function; };

static u64 native_find_fde(u64 *ctx) {
    const struct fs_unwind_table *table = (const struct fs_unwind_table *)ctx[FS_CTX_ATTACH_COOKIE];
    u64 address = ctx[0];
    u64 low = 0, high = table->count;
    while (low < high) {
        u64 middle = low + (high - low) / 2;
        const struct fs_unwind_range *range = &table->ranges[middle];
        if (address >= range->end) {
            low = middle + 1;
        } else if (address < range->start) {
            high = middle;
        } else {
            struct unwind_bases *bases = (struct unwind_bases *)ctx[1];
            bases->text = 0;
            bases->data = 0;
            bases->function = range->start;
            return range->fde;
        }
    }
    return 0;
}

// As in link.h and elf.h.
struct program_header {
    u32 type, flags;
    u64 offset, address, physical, file_size, memory_size, alignment;
};

struct module_headers {
    u64 bias;
    const char *name;
    const struct program_header *headers;
    u64 header_count;  // 16 bits, then padding
    u64 loads, unloads;
    u64 thread_module;
    void *thread_data;
};

typedef int (*module_callback)(struct module_headers *, u64 size, void *data);

enum { HEADER_LOAD = 1, HEADER_READ_EXECUTE = 5, HEADER_UNWIND = 0x6474e550, UNWIND_DATA_WORDS = 8 };

struct phdr_search {
    module_callback callback;
    void *data;
    const struct fs_unwind_region *region;
    u64 stamp;
    int result;
};

// Called by the loader for its first module, under its lock, which callers rely on for what they keep. They see one module
// more, and what they keep of it is dropped as soon as they see another's counts.
static int first_module(struct module_headers *first, u64 size, void *argument) {
    struct phdr_search *search = argument;
    const struct fs_unwind_region *region = search->region;
    struct program_header headers[2];
    char name[16];
    struct module_headers ours;
    for (u32 i = 0; i < 2; i++) {
        headers[i].type = i == 0 ? HEADER_LOAD : (u32)HEADER_UNWIND;
        headers[i].flags = HEADER_READ_EXECUTE;
        headers[i].offset = 0;
        headers[i].address = headers[i].physical = i == 0 ? region->low : region->header;
        headers[i].file_size = headers[i].memory_size = i == 0 ? region->high - region->low : region->size;
        headers[i].alignment = i == 0 ? FS_PAGE : 4;
    }
    // "[fsession]", without a literal.
    *(u64 *)name = 0x697373657366735bull;
    *(u64 *)(name + 8) = 0x5d6e6full;
    ours.bias = 0;
    ours.name = name;
    ours.headers = headers;
    ours.header_count = 2;
    ours.loads = ours.unloads = search->stamp;
    ours.thread_module = 0;
    ours.thread_data = 0;
    (void)first;
    search->result = search->callback(&ours, size < sizeof ours ? size : sizeof ours, search->data);
    return 1;
}

static u64 native_iterate_phdr(u64 *ctx) {
    const struct fs_unwind_index *index =
        (const struct fs_unwind_index *)__atomic_load_n((u64 *)ctx[FS_CTX_ATTACH_COOKIE], __ATOMIC_ACQUIRE);
    u64 callback = ctx[0];
    // Our own call, below.
    if (!index || callback == (u64)first_module) return 0;
    const struct fs_unwind_caller *callers = (const struct fs_unwind_caller *)(index->regions + index->region_count);
    u64 caller = 0;
    while (caller < index->caller_count && (callback < callers[caller].start || callback >= callers[caller].end)) caller++;
    if (caller == index->caller_count || ctx[1] == 0) return 0;
    // All unwinders have the address that they look for among the first words of what they hand on.
    const u64 *data = (const u64 *)ctx[1];
    for (u32 word = 0; word < UNWIND_DATA_WORDS; word++) {
        for (u64 i = 0; i < index->region_count; i++) {
            const struct fs_unwind_region *region = &index->regions[i];
            if (data[word] < region->low || data[word] >= region->high) continue;
            struct phdr_search search;
            search.callback = (module_callback)callback;
            search.data = (void *)ctx[1];
            search.region = region;
            search.stamp = index->stamp;
            search.result = 0;
            int (*iterate)(int (*)(struct module_headers *, u64, void *), void *);
            iterate = (int (*)(int (*)(struct module_headers *, u64, void *), void *))ctx[FS_CTX_FUNCTION_IP];
            iterate(first_module, &search);
            return (u64)(i64)search.result;
        }
    }
    return 0;
}

#endif
