// Ring buffers: many writers, one reader, and no writer that can hinder another.
//
// The kernel takes a lock to reserve. Here one 16-byte compare-and-swap reserves, the only locked instruction of a
// record: `reserved[0]` holds the position of the last reservation, `reserved[1]` its length and owner. Whoever
// comes next, writer or reader, first makes sure that that record's BUSY head is in place, so a writer that dies
// right after its reservation leaves a record that the reader can skip. All records before the last have a head.
//
// Such a helper may be late by any time; its write of the head must then fail. So free space is
// filled with a mark that differs from lap to lap, and a head only ever replaces the mark of its
// own lap. The reader puts the marks of the next lap into what it hands back.
//
// A writer's own changes of its head need no lock: only two others write there, a helper the same head, and the
// reader when it gives the record up, 10 ms and more after it saw it first.
#ifndef FS_RING_H
#define FS_RING_H

enum {
    RING_POSITION = 0,   // of the last reservation; its end while there is no owner
    RING_RECORD = 1,     // length | owner << 32
    RING_SLEEPING = 2,   // the reader waits for a futex on this
    RING_NUMBER = 3,     // 1 + index in state->ring_offset
};

#define RING_FREE_BIT (1ull << 63)

FS_INLINE u64 ring_mark(u64 position, u64 size_shift) {
    return ((position >> size_shift) * 0x9e3779b97f4a7c15ull + 0xd1b54a32d192ed03ull) | RING_FREE_BIT;
}

FS_INLINE u64 ring_shift(u64 size) { return (u64)__builtin_ctzll(size); }
FS_INLINE u64 *ring_consumer(struct fs_map *map) { return (u64 *)((u8 *)map + FS_RING_CONSUMER_OFFSET); }
FS_INLINE u64 *ring_word(struct fs_map *map, u64 position, u64 size) {
    return (u64 *)((u8 *)map + FS_RING_DATA_OFFSET + (position & (size - 1)));
}
FS_INLINE u32 *ring_sleeping(struct fs_map *map) { return (u32 *)&map->reserved[RING_SLEEPING]; }

// Bytes that a record takes, of a head or of RING_RECORD.
FS_INLINE u64 ring_record_bytes(u64 record) {
    return round_up8((record & ~(FS_RING_BUSY | FS_RING_DISCARD) & 0xffffffffu) + FS_RING_HEADER);
}

// For the record of somebody else.
FS_INLINE void ring_help(struct fs_map *map, u64 size, u64 position, u64 record) {
    u64 *head = ring_word(map, position, size), mark = ring_mark(position, ring_shift(size));
    if (FS_UNLIKELY(load64(head) == mark)) cas64(head, mark, record | FS_RING_BUSY);
}

// Up to where all records have a head; *position and *record are the last reservation, which may have none yet,
// or 0 where writers were quicker than this look at it.
FS_INLINE u64 ring_headed(struct fs_map *map, u64 *position, u64 *record) {
    *position = load64(&map->reserved[RING_POSITION]);
    *record = load64(&map->reserved[RING_RECORD]);
    u64 again = load64(&map->reserved[RING_POSITION]);
    // Positions only grow: if this one is still there, both words belong together.
    if (FS_UNLIKELY(again != *position)) *record = 0;
    return again;
}

// Where the next record will be.
FS_INLINE u64 ring_end(struct fs_map *map) {
    u64 position, record, end = ring_headed(map, &position, &record);
    return end + (record ? ring_record_bytes(record) : 0);
}

FS_INLINE void *ring_reserve(struct fs_map *map, u64 length, u32 owner) {
    u64 size = map->max_entries;
    u64 bytes = round_up8(length + FS_RING_HEADER);
    if (FS_UNLIKELY(length >= FS_RING_DISCARD || bytes > size - 8)) {
        add64(&map->dropped, 1);
        return 0;
    }
    u64 record = length | (u64)owner << 32;
    for (;;) {
        u64 position = load64(&map->reserved[RING_POSITION]);
        u64 last = load64(&map->reserved[RING_RECORD]);
        // Positions only grow: if this one is still there, both words belong together.
        if (FS_UNLIKELY(load64(&map->reserved[RING_POSITION]) != position)) continue;
        u64 next = position;
        if (FS_LIKELY(last != 0)) {
            next += ring_record_bytes(last);
            ring_help(map, size, position, last);
        }
        if (FS_UNLIKELY(next + bytes - load64(ring_consumer(map)) > size - 1)) {
            // Not full if the position is out of date.
            if (load64(&map->reserved[RING_POSITION]) != position) continue;
            add64(&map->dropped, 1);
            return 0;
        }
        if (FS_UNLIKELY(!cas128(&map->reserved[RING_POSITION], position, last, next, record))) continue;
        u64 *head = ring_word(map, next, size);
        store64(head, record | FS_RING_BUSY);  // a helper writes the same
        return head + 1;
    }
}

// Without a call the reader looks by itself, every 20 ms.
FS_INLINE void ring_wake(struct fs_state *state, struct fs_map *map, u64 flags) {
    if (flags & BPF_RB_FORCE_WAKEUP) {
        exchange32(ring_sleeping(map), 0);
        if (may_call(state)) futex_wake(ring_sleeping(map));
    } else if (!(flags & BPF_RB_NO_WAKEUP) && FS_UNLIKELY(load32(ring_sleeping(map)) != 0)) {
        if (exchange32(ring_sleeping(map), 0) != 0 && may_call(state)) futex_wake(ring_sleeping(map));
    }
}

// By compare-and-swap, so that a record that was given up meanwhile is left alone. It is no barrier before
// ring_wake's look at the reader, which therefore looks again soon after it has said that it sleeps.
FS_INLINE void ring_commit(void *sample, u32 discard) {
    u64 *head = (u64 *)sample - 1;
    u64 busy = load64(head);
    if (!(busy & FS_RING_BUSY) || (busy & RING_FREE_BIT)) return;
    swap_here(head, busy, (busy & ~(u64)FS_RING_BUSY) | discard);
}

FS_INLINE int ring_output(struct fs_state *state, struct fs_map *map, const void *data, u64 length, u64 flags, u32 owner) {
    u8 *sample = ring_reserve(map, length, owner);
    if (FS_UNLIKELY(!sample)) return 0;
    copy_bytes(sample, data, length);
    ring_commit(sample, 0);
    ring_wake(state, map, flags);
    return 1;
}

// A record that a program reserves is submitted without the map, which is needed to wake its reader;
// so its owner carries the map's number among the session's rings (0: none left).
static u32 ring_number(struct fs_state *state, struct fs_map *map) {
    i64 offset = (i64)((u64)map - (u64)state);
    u64 known = __atomic_load_n(&map->reserved[RING_NUMBER], __ATOMIC_RELAXED);
    if (FS_LIKELY(known - 1 < FS_STATE_RINGS && load64((u64 *)&state->ring_offset[known - 1]) == (u64)offset))
        return (u32)known;
    for (u32 i = 0; i < FS_STATE_RINGS; i++) {
        u64 *entry = (u64 *)&state->ring_offset[i];
        u64 found = load64(entry);
        if (found == 0 && cas64(entry, 0, (u64)offset)) found = (u64)offset;
        if (found == 0) found = load64(entry);
        if (found == (u64)offset) {
            __atomic_store_n(&map->reserved[RING_NUMBER], i + 1, __ATOMIC_RELAXED);
            return i + 1;
        }
    }
    return 0;
}

FS_INLINE struct fs_map *ring_of_sample(struct fs_state *state, const void *sample) {
    u32 number = (u32)(load64((const u64 *)sample - 1) >> 32) >> 22;
    if (number - 1 >= FS_STATE_RINGS) return 0;
    i64 offset = state->ring_offset[number - 1];
    return offset ? (struct fs_map *)((u8 *)state + offset) : 0;
}

#endif
