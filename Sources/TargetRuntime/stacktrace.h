// Call stacks by frame pointers, and the map that numbers them.
#ifndef FS_STACKTRACE_H
#define FS_STACKTRACE_H

#define STACK_DEPTH 127u
#define STACK_WINDOW 512u

// The traced function, then return addresses, innermost first; `frame` is a helper's own frame. Frames below
// ctx are ours: helper, program, subprograms. The first above is the trampoline's; its caller is the
// caller of the traced function, and from there on frame pointers may be anything.
static u32 walk_stack(struct fs_state *state, const u64 *ctx, const u64 *frame, u64 skip, u64 *addresses, u32 depth) {
    u32 count = 0;
    u64 position = 0;
    if (position++ >= skip && count < depth) addresses[count++] = ctx[FS_CTX_FUNCTION_IP];
    for (u32 own = 0; (u64)frame <= (u64)ctx; own++) {
        const u64 *outer = (const u64 *)frame[0];
        if (own == 64 || outer <= frame || ((u64)outer & 7)) return count;
        frame = outer;
    }
    u64 window[STACK_WINDOW / 8];
    u64 start = 0, end = 0, address = (u64)frame;
    while (count < depth) {
        if (address < start || address + 16 > end) {
            u64 bytes = FS_PAGE - (address & (FS_PAGE - 1));
            if (bytes < 16) bytes += FS_PAGE;
            if (bytes > STACK_WINDOW) bytes = STACK_WINDOW;
            if (transfer(state, SYSTEM_CALL_PROCESS_VM_READV, (u64)window, address, bytes) != (i64)bytes) break;
            start = address;
            end = address + bytes;
        }
        u64 *pair = &window[(address - start) / 8];
        if (pair[1] == 0) break;
        if (position++ >= skip) addresses[count++] = pair[1];
        if (pair[0] <= address || (pair[0] & 7)) break;
        address = pair[0];
    }
    return count;
}

// data: the addresses. A bucket is a tagged link to a node; it is replaced as a whole.
static i64 stack_number(const struct fs_map *shape, struct fs_map *map, const u64 *addresses, u32 count, u64 flags) {
    u32 hash = hash_bytes(addresses, (u64)count * 8);
    u64 number = hash & shape->reserved[NODES_MASK];
    u64 *bucket = (u64 *)((u8 *)map + shape->data_offset) + number;
    u64 old = load64(bucket);
    struct node *there = node_of(shape, map, old);
    if (there) {
        int same = load32(&there->hash) == hash;
        if (same && !(flags & BPF_F_FAST_STACK_CMP))
            same = there->used == count && equal_bytes(there->data, addresses, (u64)count * 8);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (same && load64(bucket) == old) return (i64)number;
        if (!(flags & BPF_F_REUSE_STACKID)) {
            add64(&map->dropped, 1);
            return -EEXIST;
        }
    }
    struct node *node = node_allocate(shape, map);
    if (!node) {
        add64(&map->dropped, 1);
        return -ENOMEM;
    }
    node->hash = hash;
    node->used = count;
    copy_bytes(node->data, addresses, (u64)count * 8);
    zero_bytes(node->data + (u64)count * 8, shape->value_size - (u64)count * 8);
    if (!cas64(bucket, old, node_number(shape, map, node) | link_next_tag(old))) {
        // Another thread came first. What it wrote may be the same stack, but need not be.
        u64 now = load64(bucket);
        struct node *other = node_of(shape, map, now);
        int same = other && load32(&other->hash) == hash;
        node_release(shape, map, node);
        return same ? (i64)number : -EEXIST;
    }
    if (there) node_release(shape, map, there);
    return (i64)number;
}

FS_INLINE int stack_read(const struct fs_map *shape, struct fs_map *map, u32 number, void *value) {
    if (number > shape->reserved[NODES_MASK]) return -ENOENT;
    u64 *bucket = (u64 *)((u8 *)map + shape->data_offset) + number;
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 link = load64(bucket);
        struct node *node = node_of(shape, map, link);
        if (!node) return -ENOENT;
        copy_bytes(value, node->data, shape->value_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (load64(bucket) == link) return 0;
    }
    return -EBUSY;
}

FS_INLINE int stack_remove(const struct fs_map *shape, struct fs_map *map, u32 number) {
    if (number > shape->reserved[NODES_MASK]) return -ENOENT;
    u64 *bucket = (u64 *)((u8 *)map + shape->data_offset) + number;
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 link = load64(bucket);
        struct node *node = node_of(shape, map, link);
        if (!node) return -ENOENT;
        if (!cas64(bucket, link, link_next_tag(link))) continue;
        node_release(shape, map, node);
        return 0;
    }
    return -EBUSY;
}

#endif
