// Calls are counted without a lock: each stack counts in a lane of its own.
//
// A plain increment is one instruction, so a signal handler on the same stack cannot come in between, and no
// other thread runs on that stack. Whose lane it is says a number made of the thread block's address and the
// megabyte that the frame lies in: two threads that share a thread block (the child of a `clone` with CLONE_VM
// and without CLONE_SETTLS) have different stacks, and the parent of a vfork waits for its child. Owners are
// remembered in private memory that is wiped on fork, so a forked child, which shares the counters but not that
// memory, never counts in a lane of its parent.
//
// Lane 0 is everybody's, and counted in with a lock: by stacks that have not called often yet, and by those
// that found no lane. Trampolines look at the first place of an owner only; everything else happens here.
#ifndef FS_LANES_H
#define FS_LANES_H

#define LANE_PROBES 8u
// Calls of a process in lane 0 before a stack takes a lane: short-lived children leave them to others.
#define LANE_PATIENCE 64u
// No owner: those are one more than a multiple of 8.
#define LANE_BEING_TAKEN 2u

FS_INLINE u32 lane_first_place(u64 thread, u64 megabyte) {
    return (u32)((u32)(thread + 8 * megabyte) * 0x9e3779b1u) >> (32 - FS_LANE_OWNER_BITS);
}

// From the lane 0 counter to the one that this stack may increment; 0: none but that.
static u64 lane_offset(struct fs_state *state, u64 frame) {
    struct fs_lane_owners *owners = (struct fs_lane_owners *)state->lane_owners_address;
    u64 thread = arch_thread_pointer(), megabyte = frame >> 20;
    u64 owner = thread + (megabyte << 37) + 1;
    u32 first = lane_first_place(thread, megabyte);
    for (u32 i = 0; i < LANE_PROBES; i++) {
        struct fs_lane_owner *place = &owners->places[(first + i) % FS_LANE_OWNERS];
        if (load64(&place->owner) == owner) return place->offset;
    }
    u64 misses = __atomic_load_n(&owners->misses, __ATOMIC_RELAXED);
    if (misses < LANE_PATIENCE) {
        __atomic_store_n(&owners->misses, misses + 1, __ATOMIC_RELAXED);
        return 0;
    }
    if (load32(&state->lanes_taken) >= FS_LANES - 1) return 0;
    for (u32 i = 0; i < LANE_PROBES; i++) {
        struct fs_lane_owner *place = &owners->places[(first + i) % FS_LANE_OWNERS];
        if (load64(&place->owner) != 0 || !cas64(&place->owner, 0, LANE_BEING_TAKEN)) continue;
        u32 lane = add32(&state->lanes_taken, 1) + 1;
        if (lane >= FS_LANES) {
            store64(&place->owner, 0);
            return 0;
        }
        place->offset = (u64)lane * FS_LANE_BYTES;
        store64(&place->owner, owner);
        return place->offset;
    }
    return 0;
}

static __attribute__((noinline, used)) void count_in_lane(u64 frame, u64 *counter, struct fs_state *state) {
    u64 offset = lane_offset(state, frame);
    if (offset == 0)
        add64(counter, 1);
    else
        arch_increment((u64 *)((u8 *)counter + offset));
}

// For trampolines, which count before and after they keep registers: see the architecture's file.
ARCH_COUNT(native_count, count_in_lane)

#endif
