// What a map of a given spec looks like in memory.

#define MAP_DATA_OFFSET 128u
#define MAP_SIZE_MAXIMUM (1ull << 36)
#define MAP_KEY_MAXIMUM 512u
#define MAP_VALUE_MAXIMUM (1u << 26)
#define MAP_NODES_MAXIMUM (1u << 29)
#define MAP_KNOWN_FLAGS (BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | \
                         BPF_F_ZERO_SEED | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG | BPF_F_MMAPABLE)

_Static_assert(offsetof(struct fs_map, reserved) % 16 == 0, "cas128 needs 16-byte alignment");
_Static_assert(sizeof(struct fs_map) <= MAP_DATA_OFFSET, "the header must fit before the data");

static u64 power_of_two_from(u64 value) {
    u64 power = 1;
    while (power < value) power <<= 1;
    return power;
}

static int shape_refused(const char **why, const char *reason) {
    if (why) *why = reason;
    return -EINVAL;
}

// Fills *shape, and *size with the bytes of memory behind the map.
static int shape_of(const struct fs_map_spec *spec, struct fs_map *shape, u64 *size, const char **why) {
    memset(shape, 0, sizeof *shape);
    shape->magic = FS_MAP_MAGIC;
    shape->type = spec->type;
    shape->key_size = spec->key_size;
    shape->value_size = spec->value_size;
    shape->max_entries = spec->max_entries;
    shape->flags = spec->flags;
    shape->data_offset = MAP_DATA_OFFSET;
    u64 slot_bytes = round_up8(spec->value_size), entries = spec->max_entries;
    u64 stride = is_per_thread(spec->type) ? slot_bytes * FS_THREAD_SLOTS : slot_bytes;

    if (spec->flags & ~(u32)MAP_KNOWN_FLAGS) return shape_refused(why, "unknown map flags");
    if (spec->value_size > MAP_VALUE_MAXIMUM) return shape_refused(why, "value_size is too large");
    if (is_ring(spec->type)) {
        u64 bytes = spec->type == FS_MAP_RINGBUF ? entries : FS_PERF_RING_SIZE;
        if (bytes == 0) return shape_refused(why, "max_entries is 0: a ring buffer needs its size in bytes");
        if (bytes > 1u << 30) return shape_refused(why, "max_entries is too large for a ring buffer (1 GiB)");
        if (spec->type == FS_MAP_RINGBUF && (spec->key_size || spec->value_size))
            return shape_refused(why, "a ring buffer has no keys and values");
        bytes = power_of_two_from(bytes < FS_PAGE ? FS_PAGE : bytes);
        shape->max_entries = (u32)bytes;
        shape->data_offset = FS_RING_DATA_OFFSET;
        *size = FS_RING_DATA_OFFSET + bytes;
        return 0;
    }
    if (entries == 0) return shape_refused(why, "max_entries is 0");
    if (spec->value_size == 0) return shape_refused(why, "value_size is 0");
    u64 nodes = 0, buckets = 0;
    switch (spec->type) {
    case FS_MAP_PROG_ARRAY:
        if (spec->value_size != 4) return shape_refused(why, "value_size of a program array must be 4");
        stride = 8;
        // fallthrough
    case FS_MAP_ARRAY:
    case FS_MAP_PERCPU_ARRAY:
        if (spec->key_size != 4) return shape_refused(why, "key_size of an array must be 4");
        break;
    case FS_MAP_HASH:
    case FS_MAP_LRU_HASH:
    case FS_MAP_PERCPU_HASH:
    case FS_MAP_LRU_PERCPU_HASH:
        if (spec->key_size == 0) return shape_refused(why, "key_size is 0");
        if (spec->key_size > MAP_KEY_MAXIMUM) return shape_refused(why, "key_size is too large (512 bytes at most)");
        nodes = entries;
        buckets = power_of_two_from(entries);
        break;
    case FS_MAP_STACK_TRACE:
        if (spec->key_size != 4) return shape_refused(why, "key_size of a stack trace map must be 4");
        if (spec->value_size % 8 || spec->value_size / 8 > STACK_DEPTH)
            return shape_refused(why, "value_size of a stack trace map must be a multiple of 8, of 127 addresses at most");
        buckets = power_of_two_from(entries);
        nodes = buckets + FS_THREAD_SLOTS;
        break;
    case FS_MAP_QUEUE:
    case FS_MAP_STACK:
        if (spec->key_size != 0) return shape_refused(why, "a queue or stack has no keys");
        nodes = entries + (spec->type == FS_MAP_QUEUE);
        break;
    default:
        return shape_refused(why, "unsupported map type");
    }
    if (nodes > MAP_NODES_MAXIMUM) return shape_refused(why, "max_entries is too large");
    shape->value_stride = (u32)stride;
    if (stride > UINT32_MAX) return shape_refused(why, "value_size is too large");
    if (nodes == 0) {
        *size = MAP_DATA_OFFSET + entries * stride;
    } else {
        u64 node = sizeof(struct node) + round_up8(spec->key_size) + stride;
        // A stack trace's key is its bucket's number.
        if (spec->type == FS_MAP_STACK_TRACE) node = sizeof(struct node) + stride;
        u64 offset = MAP_DATA_OFFSET + buckets * 8;
        shape->reserved[NODES_MASK] = buckets ? buckets - 1 : 0;
        shape->reserved[NODES_OFFSET] = offset;
        shape->reserved[NODES_SIZE] = node;
        shape->reserved[NODES_COUNT] = nodes;
        *size = offset + nodes * node;
    }
    if (*size > MAP_SIZE_MAXIMUM) return shape_refused(why, "the map is too large (64 GiB)");
    return 0;
}

static size_t whole_pages(u64 size) { return (size + FS_PAGE - 1) & ~(u64)(FS_PAGE - 1); }

size_t fs_map_size(const struct fs_map_spec *spec, const char **why) {
    struct fs_map shape;
    u64 size;
    if (shape_of(spec, &shape, &size, why) != 0) return 0;
    return whole_pages(size) + (is_ring(shape.type) ? shape.max_entries : 0);
}

size_t fs_map_file_size(const struct fs_map_spec *spec) {
    struct fs_map shape;
    u64 size;
    return shape_of(spec, &shape, &size, NULL) == 0 ? whole_pages(size) : 0;
}

size_t fs_map_ring_size(const struct fs_map_spec *spec) {
    struct fs_map shape;
    u64 size;
    return shape_of(spec, &shape, &size, NULL) == 0 && is_ring(shape.type) ? shape.max_entries : 0;
}

static size_t shape_value_size(const struct fs_map *shape) {
    if (is_ring(shape->type)) return 0;
    if (shape->type == FS_MAP_PROG_ARRAY) return 8;
    return is_per_thread(shape->type) ? shape->value_stride : shape->value_size;
}

size_t fs_map_value_size(const struct fs_map_spec *spec) {
    struct fs_map shape;
    u64 size;
    return shape_of(spec, &shape, &size, NULL) == 0 ? shape_value_size(&shape) : 0;
}

// The marks of a ring's free space from a position on, for one lap at most.
static void ring_fill(struct fs_map *map, u64 size, u64 position, u64 bytes) {
    u64 shift = ring_shift(size);
    while (bytes > 0) {
        u64 mark = ring_mark(position, shift);
        u64 in_lap = size - (position & (size - 1));
        u64 count = bytes < in_lap ? bytes : in_lap;
        u64 *word = ring_word(map, position, size);
        for (u64 i = 0; i < count / 8; i++) __atomic_store_n(&word[i], mark, __ATOMIC_RELAXED);
        position += count;
        bytes -= count;
    }
}

int fs_map_init(void *memory, const struct fs_map_spec *spec) {
    struct fs_map *map = memory;
    u64 size;
    int error = shape_of(spec, map, &size, NULL);
    if (error) return error;
    if (is_ring(map->type)) ring_fill(map, map->max_entries, 0, map->max_entries);
    if (map->type == FS_MAP_QUEUE) {
        struct node *node = node_allocate(map, map);
        map->reserved[NODES_HAND] = map->reserved[NODES_TAIL] = node_number(map, map, node);
    }
    return 0;
}
