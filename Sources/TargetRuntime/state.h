// Who runs, when, and in which slot: everything that comes from struct fs_state.
#ifndef FS_STATE_H
#define FS_STATE_H

// A process that has set a system-call filter may be killed for a call that it does not know.
FS_INLINE int may_call(struct fs_state *state) {
    u32 *filtered = (u32 *)state->filtered_address;
    return FS_LIKELY(!filtered) || FS_LIKELY(load32(filtered) == 0);
}

FS_INLINE i64 target_call(struct fs_state *state, i64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    return FS_LIKELY(may_call(state)) ? system_call(number, a, b, c, d, e, f) : -EPERM;
}

FS_INLINE u32 kernel_thread(void) { return (u32)system_call(SYSTEM_CALL_GETTID, 0, 0, 0, 0, 0, 0); }

struct identity { u32 process, thread; };

// A thread without a thread block of its own (`clone` without CLONE_SETTLS) would find another one's id in it, but it has
// another stack: the kernel is asked once for each thread block, id in it and 64 KiB of stack, and what belongs together is
// remembered, in private memory that is wiped on fork. What does not is asked for each time. Once somebody is seen to make
// such a thread all ids are asked for: its stack may lie within its parent's, or be the next one's.
FS_INLINE u64 *known_thread(struct fs_lane_owners *owners, u32 thread, u64 *entry) {
    u64 hash = arch_thread_pointer() * 0x9e3779b97f4a7c15ull + thread * 0xd6e8feb86659fd93ull
        + (arch_stack_pointer() >> 16) * 0xc2b2ae3d27d4eb4full;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93ull;
    *entry = hash | 1;
    return &owners->threads[hash >> 56];
}

static __attribute__((noinline)) u32 ask_thread(struct fs_state *state, u32 thread) {
    struct fs_lane_owners *owners = (struct fs_lane_owners *)state->lane_owners_address;
    if (!may_call(state)) return thread;
    u32 real = kernel_thread();
    u64 entry, *place = known_thread(owners, thread, &entry);
    if (real == thread) __atomic_store_n(place, entry, __ATOMIC_RELAXED);
    return real;
}

FS_INLINE u32 current_thread(struct fs_state *state) {
    i32 offset = state->thread_id_offset;
    if (FS_UNLIKELY(offset == 0)) return may_call(state) ? kernel_thread() : 0;
    u32 thread = arch_thread_word(offset);
    struct fs_lane_owners *owners = (struct fs_lane_owners *)state->lane_owners_address;
    if (FS_UNLIKELY(!owners)) return thread;
    u64 entry, *place = known_thread(owners, thread, &entry);
    if (FS_LIKELY(__atomic_load_n(place, __ATOMIC_RELAXED) == entry)
        && FS_LIKELY(__atomic_load_n(&state->shares_thread_blocks, __ATOMIC_RELAXED) == 0))
        return thread;
    return ask_thread(state, thread);
}

FS_INLINE u32 current_process(struct fs_state *state) {
    u32 *cache = (u32 *)state->process_id_address;
    u32 process = cache ? __atomic_load_n(cache, __ATOMIC_RELAXED) : 0;
    if (FS_LIKELY(process != 0)) return process;
    // A child forked behind a filter: its first thread's id is its own.
    if (FS_UNLIKELY(!may_call(state))) return current_thread(state);
    process = (u32)system_call(SYSTEM_CALL_GETPID, 0, 0, 0, 0, 0, 0);
    // The child of a vfork runs in its parent's memory, with its parent's thread block: what it is must not be
    // remembered for the parent. It is told by its thread id, which is not the one in the block.
    i32 offset = state->thread_id_offset;
    if (cache && offset != 0 && kernel_thread() == arch_thread_word(offset))
        __atomic_store_n(cache, process, __ATOMIC_RELAXED);
    return process;
}

// Whoever has another's thread block may also be another process in the same memory, whose id is not the one remembered.
FS_INLINE struct identity current_identity(struct fs_state *state) {
    struct identity identity;
    i32 offset = state->thread_id_offset;
    identity.thread = current_thread(state);
    if (offset == 0 || FS_LIKELY(identity.thread == arch_thread_word(offset)))
        identity.process = current_process(state);
    else
        identity.process = (u32)system_call(SYSTEM_CALL_GETPID, 0, 0, 0, 0, 0, 0);
    return identity;
}

// All slots have an owner and none of them is this thread. A thread that asks for the first time
// looks for an owner that is gone; later, it only does so now and then.
static __attribute__((noinline)) u32 slot_among_owned(struct fs_state *state, struct fs_slots *slots, u32 thread, u32 first) {
    u32 *seen = &slots->sharer[mix(thread) % FS_SLOT_SHARERS];
    u32 look = __atomic_load_n(seen, __ATOMIC_RELAXED) != thread;
    if (!look) {
        u32 turn = __atomic_load_n(&slots->turn, __ATOMIC_RELAXED) + 1;
        __atomic_store_n(&slots->turn, turn, __ATOMIC_RELAXED);
        look = turn % 4096 == 0;
    }
    if (look) {
        __atomic_store_n(seen, thread, __ATOMIC_RELAXED);
        for (u32 i = 0; i < FS_THREAD_SLOTS; i++) {
            u32 slot = (first + i) % FS_THREAD_SLOTS;
            u32 owner = load32(&slots->thread[slot]);
            if (owner == thread) return slot;
            if (may_call(state) && thread_is_gone(owner) && cas32(&slots->thread[slot], owner, thread)) return slot;
        }
    }
    return first;
}

// The thread's own slot: values in it are changed by no other thread, as long as there are no more
// threads than slots. Slots are never emptied, so a search may stop at the first empty one.
FS_INLINE u32 current_slot(struct fs_state *state) {
    struct fs_slots *slots = state->slots_address ? (struct fs_slots *)state->slots_address : &state->own_slots;
    u32 thread = current_thread(state);
    u32 first = (u32)mix(thread) % FS_THREAD_SLOTS;
    for (u32 i = 0; i < FS_THREAD_SLOTS; i++) {
        u32 slot = (first + i) % FS_THREAD_SLOTS;
        u32 owner = load32(&slots->thread[slot]);
        if (FS_LIKELY(owner == thread)) return slot;
        if (owner != 0) continue;
        if (cas32(&slots->thread[slot], 0, thread)) return slot;
        // Another thread was quicker, or a signal handler of this one.
        if (load32(&slots->thread[slot]) == thread) return slot;
    }
    return slot_among_owned(state, slots, thread, first);
}

enum { CLOCK_OF_MONOTONIC = 1, CLOCK_OF_BOOT = 7, CLOCK_OF_TAI = 11 };

FS_INLINE u64 monotonic_time(struct fs_state *state) {
    if (FS_LIKELY(state->clock_is_tsc)) {
        for (u32 attempt = 0; attempt < 4; attempt++) {
            u32 index = load32(&state->clock_index);
            struct fs_clock *clock = &state->clock[index & 1];
            u64 counter = arch_counter();
            u64 base_ns = __atomic_load_n(&clock->base_ns, __ATOMIC_RELAXED);
            u64 base_tsc = __atomic_load_n(&clock->base_tsc, __ATOMIC_RELAXED);
            u64 mult = __atomic_load_n(&clock->mult, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (FS_UNLIKELY(load32(&state->clock_index) != index)) continue;
            // The difference is negative where this CPU's counter lags the one that calibrated.
            i64 passed = (i64)(counter - base_tsc);
            u64 size = passed < 0 ? 0 - (u64)passed : (u64)passed;
            u64 nanoseconds = (u64)((unsigned __int128)size * mult >> 32);
            return passed < 0 ? base_ns - nanoseconds : base_ns + nanoseconds;
        }
    }
    return may_call(state) ? kernel_clock(CLOCK_OF_MONOTONIC) : 0;
}

FS_INLINE u64 boot_time(struct fs_state *state) {
    if (state->clock_is_tsc) return monotonic_time(state) + (u64)state->boottime_delta_ns;
    return may_call(state) ? kernel_clock(CLOCK_OF_BOOT) : 0;
}

#endif
