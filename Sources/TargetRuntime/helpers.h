// The helpers that programs call: five arguments and the session's state. Results and errors are those
// that linux/bpf.h documents.
// What a helper is to write, it writes also where it fails, or what lay there before (addresses, on a stack) would count
// as written. Strings alone may end before their buffer; the verifier knows which.
#ifndef FS_HELPERS_H
#define FS_HELPERS_H

#define HELPER(name)                                                                                         \
    static u64 helper_##name(u64 a1 __attribute__((unused)), u64 a2 __attribute__((unused)),                \
                             u64 a3 __attribute__((unused)), u64 a4 __attribute__((unused)),                \
                             u64 a5 __attribute__((unused)), struct fs_state *state __attribute__((unused)))
#define ERROR(number) ((u64)(i64)-(number))

typedef u64 (*program_callback)(u64, u64, u64, u64, u64);

FS_INLINE struct fs_map *map_argument(u64 address) {
    struct fs_map *map = (struct fs_map *)address;
    return FS_LIKELY(map && map->magic == FS_MAP_MAGIC) ? map : 0;
}

// --- Maps ---

HELPER(map_lookup_elem) {
    struct fs_map *map = map_argument(a1);
    if (!map) return 0;
    const void *key = (const void *)a2;
    if (is_array(map->type)) {
        u32 index = get32(key);
        if (index >= map->max_entries) return 0;
        void *element = array_element(map, map, index);
        return (u64)(map->type == FS_MAP_ARRAY ? element : value_in_slot(map, element, current_slot(state)));
    }
    if (!is_hash(map->type)) return 0;
    struct node *node = hash_lookup(map, map, key);
    if (!node) return 0;
    void *element = hash_value(map, node);
    return (u64)(is_per_thread(map->type) ? value_in_slot(map, element, current_slot(state)) : element);
}

HELPER(map_lookup_percpu_elem) {
    struct fs_map *map = map_argument(a1);
    u32 slot = (u32)a3;
    if (!map || !is_per_thread(map->type) || slot >= FS_THREAD_SLOTS) return 0;
    const void *key = (const void *)a2;
    if (map->type == FS_MAP_PERCPU_ARRAY) {
        u32 index = get32(key);
        return index < map->max_entries ? (u64)value_in_slot(map, array_element(map, map, index), slot) : 0;
    }
    struct node *node = hash_lookup(map, map, key);
    return node ? (u64)value_in_slot(map, hash_value(map, node), slot) : 0;
}

HELPER(map_update_elem) {
    struct fs_map *map = map_argument(a1);
    if (!map) return ERROR(EINVAL);
    u32 slot = is_per_thread(map->type) ? current_slot(state) : 0;
    if (is_array(map->type)) return (u64)(i64)array_update(map, map, (const void *)a2, (const void *)a3, a4, slot);
    if (is_hash(map->type)) return (u64)(i64)hash_update(map, map, (const void *)a2, (const void *)a3, a4, slot);
    return ERROR(EINVAL);
}

HELPER(map_delete_elem) {
    struct fs_map *map = map_argument(a1);
    if (!map || !is_hash(map->type)) return ERROR(EINVAL);
    const void *key = (const void *)a2;
    return (u64)(i64)hash_remove(map, map, key, hash_bytes(key, map->key_size), 0);
}

HELPER(map_push_elem) {
    struct fs_map *map = map_argument(a1);
    return map ? (u64)(i64)sequence_put(map, map, (const void *)a2, a3) : ERROR(EINVAL);
}

HELPER(map_pop_elem) {
    struct fs_map *map = map_argument(a1);
    i64 result = map ? sequence_take(map, map, (void *)a2, 1) : -EINVAL;
    if (map && result != 0) zero_bytes((void *)a2, map->value_size);
    return (u64)result;
}

HELPER(map_peek_elem) {
    struct fs_map *map = map_argument(a1);
    i64 result = map ? sequence_take(map, map, (void *)a2, 0) : -EINVAL;
    if (map && result != 0) zero_bytes((void *)a2, map->value_size);
    return (u64)result;
}

HELPER(for_each_map_elem) {
    struct fs_map *map = map_argument(a1);
    program_callback callback = (program_callback)a2;
    if (!map || a4 != 0) return ERROR(EINVAL);
    u32 slot = is_per_thread(map->type) ? current_slot(state) : 0;
    u64 visited = 0;
    if (is_array(map->type)) {
        for (u32 index = 0; index < map->max_entries; index++) {
            u32 key = index;
            void *element = array_element(map, map, index);
            if (is_per_thread(map->type)) element = value_in_slot(map, element, slot);
            visited++;
            if (callback((u64)map, (u64)&key, (u64)element, a3, 0) != 0) break;
        }
        return visited;
    }
    if (!is_hash(map->type)) return ERROR(EINVAL);
    for (u64 number = 0; number < hash_extent(map, map); number++) {
        struct node *node = hash_element(map, map, number);
        if (!node) continue;
        void *element = hash_value(map, node);
        if (is_per_thread(map->type)) element = value_in_slot(map, element, slot);
        visited++;
        if (callback((u64)map, (u64)node->data, (u64)element, a3, 0) != 0) break;
    }
    return visited;
}

HELPER(loop) {
    u32 count = (u32)a1;
    program_callback callback = (program_callback)a2;
    if (a4 != 0) return ERROR(EINVAL);
    if (count > 1u << 23) return ERROR(E2BIG);
    for (u32 i = 0; i < count; i++)
        if (callback(i, a3, 0, 0, 0) != 0) return i + 1;
    return count;
}

// --- Ring buffers ---

FS_INLINE u32 ring_owner(struct fs_state *state) { return current_thread(state) & FS_RING_OWNER_MASK; }

HELPER(ringbuf_output) {
    struct fs_map *map = map_argument(a1);
    if (!map || map->type != FS_MAP_RINGBUF) return ERROR(EINVAL);
    if (a4 & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP)) return ERROR(EINVAL);
    return ring_output(state, map, (const void *)a2, a3, a4, ring_owner(state)) ? 0 : ERROR(EAGAIN);
}

HELPER(ringbuf_reserve) {
    struct fs_map *map = map_argument(a1);
    if (!map || map->type != FS_MAP_RINGBUF || a3 != 0) return 0;
    return (u64)ring_reserve(map, a2, ring_owner(state) | ring_number(state, map) << 22);
}

FS_INLINE void ring_finish(struct fs_state *state, u64 sample, u64 flags, u32 discard) {
    if (!sample) return;
    struct fs_map *map = ring_of_sample(state, (const void *)sample);
    ring_commit((void *)sample, discard);
    if (map) ring_wake(state, map, flags);
}

HELPER(ringbuf_submit) {
    ring_finish(state, a1, a2, 0);
    return 0;
}

HELPER(ringbuf_discard) {
    ring_finish(state, a1, a2, FS_RING_DISCARD);
    return 0;
}

HELPER(ringbuf_query) {
    struct fs_map *map = map_argument(a1);
    if (!map || map->type != FS_MAP_RINGBUF) return 0;
    u64 consumer = load64(ring_consumer(map)), producer = ring_end(map);
    if (is((u32)a2, BPF_RB_AVAIL_DATA)) return producer - consumer;
    if (is((u32)a2, BPF_RB_RING_SIZE)) return map->max_entries;
    if (is((u32)a2, BPF_RB_CONS_POS)) return consumer;
    if (is((u32)a2, BPF_RB_PROD_POS)) return producer;
    return 0;
}

HELPER(perf_event_output) {
    struct fs_map *map = map_argument(a2);
    if (!map || map->type != FS_MAP_PERF_EVENT_ARRAY) return ERROR(EINVAL);
    if (a3 & ~(u64)BPF_F_INDEX_MASK) return ERROR(EINVAL);
    return ring_output(state, map, (const void *)a4, a5, 0, ring_owner(state)) ? 0 : ERROR(ENOSPC);
}

// --- Text ---

static i64 print_record(struct fs_state *state, const char *format, u64 size, const u64 *arguments, u64 count) {
    if (state->print_ring_offset == 0) return -ENOENT;
    struct fs_map *ring = map_argument((u64)state + (u64)state->print_ring_offset);
    if (!ring || !is_ring(ring->type)) return -ENOENT;
    u64 buffer[(sizeof(struct fs_print_record) + FS_PRINT_MAXIMUM) / 8];
    struct fs_print_record *record = (struct fs_print_record *)buffer;
    struct text text;
    text.bytes = record->text;
    text.capacity = FS_PRINT_MAXIMUM;
    text.length = 0;
    i64 error = format_text(state, &text, format, size, arguments, count);
    if (error) return error;
    u64 length = text.length < text.capacity ? text.length : text.capacity;
    struct identity identity = current_identity(state);
    u32 thread = identity.thread;
    record->time_ns = monotonic_time(state);
    record->process_id = identity.process;
    record->thread_id = thread;
    record->length = (i64)length + 1;
    if (!ring_output(state, ring, record, sizeof *record + length, 0, thread & FS_RING_OWNER_MASK)) return -EAGAIN;
    return (i64)length;
}

HELPER(trace_printk) {
    u64 arguments[3];
    arguments[0] = a3;
    arguments[1] = a4;
    arguments[2] = a5;
    return (u64)print_record(state, (const char *)a1, (u32)a2, arguments, 3);
}

HELPER(trace_vprintk) {
    if (a4 % 8 != 0 || a4 > 12 * 8 || (a4 != 0 && a3 == 0)) return ERROR(EINVAL);
    return (u64)print_record(state, (const char *)a1, (u32)a2, (const u64 *)a3, a4 / 8);
}

// The format's size is not passed: it is a constant string, and its terminator ends it.
HELPER(snprintf) {
    if (a5 % 8 != 0 || a5 > 12 * 8 || (a5 != 0 && a4 == 0)) return ERROR(EINVAL);
    struct text text;
    text.bytes = (char *)a1;
    text.capacity = a2;
    text.length = 0;
    i64 error = format_text(state, &text, (const char *)a3, ~0ull, (const u64 *)a4, a5 / 8);
    if (error) return (u64)error;
    if (a2 > 0) text.bytes[text.length < a2 ? text.length : a2 - 1] = 0;
    return text.length + 1;
}

HELPER(strncmp) {
    const u8 *one = (const u8 *)a1, *other = (const u8 *)a3;
    for (u32 i = 0; i < (u32)a2; i++) {
        if (one[i] != other[i]) return one[i] < other[i] ? (u64)-1ll : 1;
        if (one[i] == 0) break;
    }
    return 0;
}

// --- Time and identity ---

HELPER(ktime_get_ns) { return monotonic_time(state); }
HELPER(ktime_get_boot_ns) { return boot_time(state); }
HELPER(ktime_get_tai_ns) { return may_call(state) ? kernel_clock(CLOCK_OF_TAI) : 0; }

HELPER(jiffies64) {
    u64 unit = state->nanoseconds_per_jiffy;
    return state->jiffies_at_boot + (unit ? boot_time(state) / unit : 0);
}

HELPER(get_current_pid_tgid) {
    struct identity identity = current_identity(state);
    return (u64)identity.process << 32 | identity.thread;
}

HELPER(get_current_uid_gid) {
    u64 user = (u32)target_call(state, SYSTEM_CALL_GETUID, 0, 0, 0, 0, 0, 0);
    u64 group = (u32)target_call(state, SYSTEM_CALL_GETGID, 0, 0, 0, 0, 0, 0);
    return group << 32 | user;
}

HELPER(get_current_comm) {
    char name[16];
    u32 size = (u32)a2;
    if (a1 == 0 || size == 0) return ERROR(EINVAL);
    if (target_call(state, SYSTEM_CALL_PRCTL, 16 /* PR_GET_NAME */, (u64)name, 0, 0, 0, 0) != 0) {
        zero_bytes((void *)a1, size);
        return ERROR(EINVAL);
    }
    char *to = (char *)a1;
    u32 i = 0;
    for (; i < size - 1 && i < 16 && name[i] != 0; i++) to[i] = name[i];
    zero_bytes(to + i, size - i);
    return 0;
}

FS_INLINE u32 cpu_and_node(struct fs_state *state) {
    u32 both;
    if (FS_LIKELY(arch_cpu_and_node(&both))) return both;
    u32 cpu = 0, node = 0;
    target_call(state, SYSTEM_CALL_GETCPU, (u64)&cpu, (u64)&node, 0, 0, 0, 0);
    return (cpu & 0xfff) | node << 12;
}

HELPER(get_smp_processor_id) { return cpu_and_node(state) & 0xfff; }
HELPER(get_numa_node_id) { return cpu_and_node(state) >> 12; }

// SplitMix64, one sequence for each thread slot.
HELPER(get_prandom_u32) {
    u32 slot = current_slot(state);
    u64 *word = &state->random[slot];
    u64 seed = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (FS_UNLIKELY(seed == 0)) seed = mix(arch_counter() ^ ((u64)current_thread(state) << 32 | slot));
    seed += 0x9e3779b97f4a7c15ull;
    __atomic_store_n(word, seed, __ATOMIC_RELAXED);
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9ull;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebull;
    return (u32)(seed ^ seed >> 31);
}

// --- Memory ---

HELPER(probe_read) { return (u64)read_memory(state, (void *)a1, a3, (u32)a2); }
HELPER(probe_read_str) { return (u64)read_string(state, (char *)a1, a3, (u32)a2); }

HELPER(probe_write_user) {
    if (!state->allow_write) return ERROR(EPERM);
    u64 size = (u32)a3;
    if (size == 0) return 0;
    return transfer(state, SYSTEM_CALL_PROCESS_VM_WRITEV, a2, a1, size) == (i64)size ? 0 : ERROR(EFAULT);
}

// --- The call ---

HELPER(get_func_ip) { return ((const u64 *)a1)[FS_CTX_FUNCTION_IP]; }
HELPER(get_attach_cookie) { return ((const u64 *)a1)[FS_CTX_ATTACH_COOKIE]; }
HELPER(get_func_arg_cnt) { return argument_count((const u64 *)a1); }

HELPER(get_func_arg) {
    const u64 *ctx = (const u64 *)a1;
    u32 is_there = a2 < argument_count(ctx);
    put64((void *)a3, is_there ? ctx[a2] : 0);
    return is_there ? 0 : ERROR(EINVAL);
}

// 0 before the function has run. fentry programs have no return value: their loader answers for us.
HELPER(get_func_ret) {
    const u64 *ctx = (const u64 *)a1;
    put64((void *)a2, ctx[argument_count(ctx)]);
    return 0;
}

HELPER(get_stack) {
    u64 size = (u32)a3;
    u8 *to = (u8 *)a2;
    u64 addresses[STACK_DEPTH];
    if ((a4 & ~(u64)(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK)) || size % 8 != 0) {
        zero_bytes(to, size);
        return ERROR(EINVAL);
    }
    u32 depth = size / 8 < STACK_DEPTH ? (u32)(size / 8) : STACK_DEPTH;
    u32 count = walk_stack(state, (const u64 *)a1, __builtin_frame_address(0), a4 & BPF_F_SKIP_FIELD_MASK, addresses, depth);
    copy_bytes(to, addresses, (u64)count * 8);
    zero_bytes(to + (u64)count * 8, size - (u64)count * 8);
    return (u64)count * 8;
}

HELPER(get_stackid) {
    struct fs_map *map = map_argument(a2);
    u64 known = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID;
    if (!map || map->type != FS_MAP_STACK_TRACE || (a3 & ~known)) return ERROR(EINVAL);
    u64 addresses[STACK_DEPTH];
    u32 depth = map->value_size / 8 < STACK_DEPTH ? map->value_size / 8 : STACK_DEPTH;
    u32 count = walk_stack(state, (const u64 *)a1, __builtin_frame_address(0), a3 & BPF_F_SKIP_FIELD_MASK, addresses, depth);
    if (count == 0) return ERROR(EFAULT);
    return (u64)stack_number(map, map, addresses, count, a3);
}

#endif
