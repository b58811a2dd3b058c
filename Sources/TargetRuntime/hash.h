// Hash maps: buckets of linked nodes (M. M. Michael, "High performance dynamic lock-free hash tables and
// list-based sets", 2002, in its form with tags).
//
// Deleting marks the node's own link, then unlinks it; whoever meets a marked node finishes that.
// Inserting replaces the bucket's first link, which must not have changed since the bucket was searched,
// so a key is never there twice. A walk looks again at the link that it came by after it has read a node:
// if that is unchanged, tag included, the node was in this bucket, and held this key, meanwhile.
#ifndef FS_HASH_H
#define FS_HASH_H

struct place {
    u64 *first_link;     // the bucket
    u64 first;           // … and its link as of the search
    u64 *from;           // the link to the node
    u64 link;            // … and what it says
    u64 next;            // the node's own link
    int confused;        // gave up
};

FS_INLINE u64 *hash_bucket(const struct fs_map *shape, struct fs_map *map, u32 hash) {
    return (u64 *)((u8 *)map + shape->data_offset) + (hash & shape->reserved[NODES_MASK]);
}

FS_INLINE void *hash_value(const struct fs_map *shape, struct node *node) {
    return node->data + round_up8(shape->key_size);
}

FS_INLINE int equal_keys(const struct fs_map *shape, const void *one, const void *other) {
    u32 size = shape->key_size;
    if (size == 8) return get64(one) == get64(other);
    if (size == 4) return get32(one) == get32(other);
    return equal_bytes(one, other, size);
}

// The node with this key, or, where `key` is NULL, the node `wanted` if it is in the bucket of `hash`.
static struct node *hash_find(const struct fs_map *shape, struct fs_map *map, const void *key, u32 hash,
                              struct node *wanted, struct place *place) {
    u64 budget = 2 * shape->reserved[NODES_COUNT] + NODE_ATTEMPTS;
    place->first_link = hash_bucket(shape, map, hash);
    place->confused = 0;
again:
    place->from = place->first_link;
    place->first = place->link = load64(place->from);
    for (;;) {
        if (FS_UNLIKELY(budget-- == 0)) {
            place->confused = 1;
            return 0;
        }
        // A marked link here: the node before was deleted after we passed its own link.
        if (FS_UNLIKELY(place->link & LINK_MARK)) goto again;
        struct node *node = node_of(shape, map, place->link);
        if (!node) return 0;
        place->next = load64(&node->next);
        if (FS_UNLIKELY(place->next & LINK_MARK)) {
            u64 without = (place->next & LINK_NODE) | link_next_tag(place->link);
            if (!cas64(place->from, place->link, without)) goto again;
            node_release(shape, map, node);
            if (place->from == place->first_link) place->first = without;
            place->link = without;
            continue;
        }
        int same = key ? load32(&node->hash) == hash && equal_keys(shape, node->data, key) : node == wanted;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (FS_UNLIKELY(load64(place->from) != place->link)) goto again;
        if (same) return node;
        place->from = &node->next;
        place->link = place->next;
    }
}

FS_INLINE struct node *hash_lookup(const struct fs_map *shape, struct fs_map *map, const void *key) {
    struct place place;
    struct node *node = hash_find(shape, map, key, hash_bytes(key, shape->key_size), 0, &place);
    if (node && is_lru(shape->type) && !__atomic_load_n(&node->used, __ATOMIC_RELAXED))
        __atomic_store_n(&node->used, 1, __ATOMIC_RELAXED);
    return node;
}

// Deletes the node with this key or the node `wanted`.
static int hash_remove(const struct fs_map *shape, struct fs_map *map, const void *key, u32 hash, struct node *wanted) {
    struct place place;
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        struct node *node = hash_find(shape, map, key, hash, wanted, &place);
        if (!node) return place.confused ? -EBUSY : -ENOENT;
        u64 marked = (place.next & LINK_NODE) | LINK_MARK | link_next_tag(place.next);
        if (!cas64(&node->next, place.next, marked)) continue;
        if (cas64(place.from, place.link, (place.next & LINK_NODE) | link_next_tag(place.link)))
            node_release(shape, map, node);
        else
            hash_find(shape, map, 0, hash, 0, &place);  // walks the bucket and unlinks what is marked
        return 0;
    }
    return -EBUSY;
}

// Second chance: the hand goes round the nodes; those looked up since its last visit are passed over, but not
// for ever.
static void hash_evict(const struct fs_map *shape, struct fs_map *map) {
    u64 count = shape->reserved[NODES_COUNT];
    for (u32 step = 0; step < 256; step++) {
        u64 turn = add64(&map->reserved[NODES_HAND], 1);
        struct node *node = node_at(shape, map, turn % count);
        if (step < 128 && exchange32(&node->used, 0) != 0) continue;
        if (hash_remove(shape, map, 0, load32(&node->hash), node) == 0) return;
    }
}

static int hash_update(const struct fs_map *shape, struct fs_map *map, const void *key, const void *value, u64 flags, u32 slot) {
    if (flags > BPF_EXIST) return -EINVAL;
    u32 hash = hash_bytes(key, shape->key_size), evictions = 0;
    struct node *spare = 0;
    struct place place;
    int result = -EBUSY;
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        struct node *node = hash_find(shape, map, key, hash, 0, &place);
        if (node) {
            result = -EEXIST;
            if (flags == BPF_NOEXIST) break;
            value_write(shape, hash_value(shape, node), value, slot, 0);
            __atomic_store_n(&node->used, 1, __ATOMIC_RELAXED);
            result = 0;
            break;
        }
        if (FS_UNLIKELY(place.confused)) break;
        if (flags == BPF_EXIST) {
            result = -ENOENT;
            break;
        }
        if (!spare) {
            spare = node_allocate(shape, map);
            if (!spare && is_lru(shape->type) && evictions++ < 16) {
                hash_evict(shape, map);
                continue;
            }
            if (!spare) {
                add64(&map->dropped, 1);
                return is_lru(shape->type) ? -ENOMEM : -E2BIG;
            }
            copy_bytes(spare->data, key, shape->key_size);
            value_write(shape, hash_value(shape, spare), value, slot, 1);
            store32(&spare->hash, hash);
            store32(&spare->used, 0);
        }
        store64(&spare->next, (place.first & LINK_NODE) | link_next_tag(spare->next));
        if (cas64(place.first_link, place.first, node_number(shape, map, spare) | link_next_tag(place.first))) return 0;
    }
    if (spare) node_release(shape, map, spare);
    return result;
}

// Node `number` if it holds an element now.
FS_INLINE struct node *hash_element(const struct fs_map *shape, struct fs_map *map, u64 number) {
    struct place place;
    struct node *node = node_at(shape, map, number);
    return hash_find(shape, map, 0, load32(&node->hash), node, &place);
}

// Nodes that have ever been used: elements are among them.
FS_INLINE u64 hash_extent(const struct fs_map *shape, struct fs_map *map) {
    u64 fresh = load64(&map->reserved[NODES_FRESH]), count = shape->reserved[NODES_COUNT];
    return fresh < count ? fresh : count;
}

#endif
