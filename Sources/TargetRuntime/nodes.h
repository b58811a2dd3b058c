// Pools of fixed-size nodes and the tagged links between them: what hashes, queues, stacks and stack
// traces are made of.
//
// A link is one 64-bit word: node number + 1 (0: none) in the low 31 bits, bit 31 a mark ("the node
// that holds this link is deleted"), and a tag above that changes whenever the word does. Nodes never
// leave their map, so a thread that stopped at any instruction may still read what it was
// looking at; the tag tells it that this is no longer what it was.
//
// `shape` is a header that can be believed (in the target the map's own, in the controller a copy);
// what changes is read from `map`. Numbers found in nodes are checked against the shape: a target that
// scribbles over a map must not make the controller read elsewhere.
#ifndef FS_NODES_H
#define FS_NODES_H

enum {
    NODES_FREE = 0,      // list of returned nodes
    NODES_FRESH = 1,     // nodes from here on were never used
    NODES_HAND = 2,      // LRU: where to look for the next victim; queue: its head
    NODES_TAIL = 3,      // queue: its tail; stack: its top
    NODES_MASK = 4,      // buckets - 1
    NODES_OFFSET = 5,    // of the first node from the header
    NODES_SIZE = 6,      // of one node
    NODES_COUNT = 7,
};

struct node {
    u64 next;
    u64 free;            // the next free node: number + 1
    u32 hash;
    u32 used;            // LRU: looked up since the hand last passed; stack trace: number of addresses
    u8 data[];           // key (to a multiple of 8), value
};

#define LINK_MARK (1ull << 31)
#define LINK_NODE 0x7fffffffull

FS_INLINE u64 link_next_tag(u64 link) { return ((link >> 32) + 1) << 32; }

FS_INLINE struct node *node_at(const struct fs_map *shape, struct fs_map *map, u64 number) {
    return (struct node *)((u8 *)map + shape->reserved[NODES_OFFSET] + number * shape->reserved[NODES_SIZE]);
}

// NULL: the link is empty, or nonsense.
FS_INLINE struct node *node_of(const struct fs_map *shape, struct fs_map *map, u64 link) {
    u64 number = (link & LINK_NODE) - 1;
    return FS_LIKELY(number < shape->reserved[NODES_COUNT]) ? node_at(shape, map, number) : 0;
}

// As the low bits of a link.
FS_INLINE u64 node_number(const struct fs_map *shape, struct fs_map *map, struct node *node) {
    return (u64)((u8 *)node - ((u8 *)map + shape->reserved[NODES_OFFSET])) / shape->reserved[NODES_SIZE] + 1;
}

// How often a lock-free operation tries again: each time, another thread got on. A bound only because
// the links may be nonsense.
#define NODE_ATTEMPTS 100000u

static struct node *node_allocate(const struct fs_map *shape, struct fs_map *map) {
    u64 *list = &map->reserved[NODES_FREE], *fresh = &map->reserved[NODES_FRESH];
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 first = load64(list);
        struct node *node = node_of(shape, map, first);
        if (node) {
            u64 rest = load64(&node->free) & LINK_NODE;
            if (cas64(list, first, rest | link_next_tag(first))) return node;
            continue;
        }
        u64 number = load64(fresh);
        if (number >= shape->reserved[NODES_COUNT]) {
            if (load64(list) == first) return 0;
        } else if (cas64(fresh, number, number + 1)) {
            return node_at(shape, map, number);
        }
    }
    return 0;
}

static void node_release(const struct fs_map *shape, struct fs_map *map, struct node *node) {
    u64 *list = &map->reserved[NODES_FREE];
    u64 number = node_number(shape, map, node);
    for (u32 attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        u64 first = load64(list);
        store64(&node->free, first & LINK_NODE);
        if (cas64(list, first, number | link_next_tag(first))) return;
    }
}

#endif
