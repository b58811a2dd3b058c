// Queues and stacks: M. M. Michael and M. L. Scott's queue (its head is a node whose value was already taken)
// and R. K. Treiber's stack, with tagged links.
#ifndef FS_QUEUE_H
#define FS_QUEUE_H

FS_INLINE int queue_is_empty_link(u64 link) { return (link & LINK_NODE) == 0; }

static int queue_take(const struct fs_map *shape, struct fs_map *map, void *value, int remove) {
    u64 *head = &map->reserved[NODES_HAND], *tail = &map->reserved[NODES_TAIL];
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 first = load64(head), last = load64(tail);
        struct node *node = node_of(shape, map, first);
        if (!node) return -EBUSY;
        u64 next = load64(&node->next);
        if (load64(head) != first) continue;
        struct node *element = node_of(shape, map, next);
        if ((first & LINK_NODE) == (last & LINK_NODE)) {
            if (!element) return -ENOENT;
            cas64(tail, last, (next & LINK_NODE) | link_next_tag(last));
            continue;
        }
        if (!element) continue;
        if (value) copy_bytes(value, element->data, shape->value_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!remove) {
            if (load64(head) == first) return 0;
            continue;
        }
        if (cas64(head, first, (next & LINK_NODE) | link_next_tag(first))) {
            node_release(shape, map, node);
            return 0;
        }
    }
    return -EBUSY;
}

static int queue_put(const struct fs_map *shape, struct fs_map *map, const void *value, u64 flags) {
    struct node *node = node_allocate(shape, map);
    for (u32 attempt = 0; !node && flags == BPF_EXIST && attempt < 16; attempt++) {
        queue_take(shape, map, 0, 1);
        node = node_allocate(shape, map);
    }
    if (!node) return -E2BIG;
    copy_bytes(node->data, value, shape->value_size);
    store64(&node->next, link_next_tag(node->next));
    u64 number = node_number(shape, map, node);
    u64 *tail = &map->reserved[NODES_TAIL];
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 last = load64(tail);
        struct node *end = node_of(shape, map, last);
        if (!end) break;
        u64 next = load64(&end->next);
        if (load64(tail) != last) continue;
        if (!queue_is_empty_link(next)) {
            cas64(tail, last, (next & LINK_NODE) | link_next_tag(last));
            continue;
        }
        if (cas64(&end->next, next, number | link_next_tag(next))) {
            cas64(tail, last, number | link_next_tag(last));
            return 0;
        }
    }
    node_release(shape, map, node);
    return -EBUSY;
}

static int stack_take(const struct fs_map *shape, struct fs_map *map, void *value, int remove) {
    u64 *top = &map->reserved[NODES_TAIL];
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 first = load64(top);
        struct node *node = node_of(shape, map, first);
        if (!node) return -ENOENT;
        u64 next = load64(&node->next);
        if (value) copy_bytes(value, node->data, shape->value_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!remove) {
            if (load64(top) == first) return 0;
            continue;
        }
        if (cas64(top, first, (next & LINK_NODE) | link_next_tag(first))) {
            node_release(shape, map, node);
            return 0;
        }
    }
    return -EBUSY;
}

static int stack_put(const struct fs_map *shape, struct fs_map *map, const void *value) {
    struct node *node = node_allocate(shape, map);
    if (!node) return -E2BIG;
    copy_bytes(node->data, value, shape->value_size);
    u64 number = node_number(shape, map, node);
    u64 *top = &map->reserved[NODES_TAIL];
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 first = load64(top);
        store64(&node->next, (first & LINK_NODE) | link_next_tag(node->next));
        if (cas64(top, first, number | link_next_tag(first))) return 0;
    }
    node_release(shape, map, node);
    return -EBUSY;
}

FS_INLINE int sequence_take(const struct fs_map *shape, struct fs_map *map, void *value, int remove) {
    if (shape->type == FS_MAP_QUEUE) return queue_take(shape, map, value, remove);
    if (shape->type == FS_MAP_STACK) return stack_take(shape, map, value, remove);
    return -EINVAL;
}

FS_INLINE int sequence_put(const struct fs_map *shape, struct fs_map *map, const void *value, u64 flags) {
    if (flags != BPF_ANY && flags != BPF_EXIST) return -EINVAL;
    if (shape->type == FS_MAP_QUEUE) return queue_put(shape, map, value, flags);
    // The oldest element of a stack is its bottom, which a lock-free stack cannot drop: it stays full.
    if (shape->type == FS_MAP_STACK) return stack_put(shape, map, value);
    return -EINVAL;
}

#endif
