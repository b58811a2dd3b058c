// Where a value lies, and how it is written by a program (its thread's slot) and by the controller (all slots).
#ifndef FS_VALUES_H
#define FS_VALUES_H

#define ALL_SLOTS 0xffffffffu
#define FS_MAP_MAGIC 0x70616d6e6f697366ull

FS_INLINE int is_per_thread(u32 type) {
    return type == FS_MAP_PERCPU_ARRAY || type == FS_MAP_PERCPU_HASH || type == FS_MAP_LRU_PERCPU_HASH;
}
FS_INLINE int is_hash(u32 type) {
    return type == FS_MAP_HASH || type == FS_MAP_LRU_HASH || type == FS_MAP_PERCPU_HASH || type == FS_MAP_LRU_PERCPU_HASH;
}
FS_INLINE int is_lru(u32 type) { return type == FS_MAP_LRU_HASH || type == FS_MAP_LRU_PERCPU_HASH; }
FS_INLINE int is_array(u32 type) { return type == FS_MAP_ARRAY || type == FS_MAP_PERCPU_ARRAY; }
FS_INLINE int is_ring(u32 type) { return type == FS_MAP_RINGBUF || type == FS_MAP_PERF_EVENT_ARRAY; }

// The value that a program gets to see of an element.
FS_INLINE void *value_in_slot(const struct fs_map *shape, void *element, u32 slot) {
    return (u8 *)element + (u64)slot * round_up8(shape->value_size);
}

FS_INLINE void value_write(const struct fs_map *shape, void *element, const void *value, u32 slot, int is_new) {
    if (!is_per_thread(shape->type)) {
        copy_bytes(element, value, shape->value_size);
        return;
    }
    if (slot != ALL_SLOTS) {
        if (is_new) zero_bytes(element, shape->value_stride);
        copy_bytes(value_in_slot(shape, element, slot), value, shape->value_size);
        return;
    }
    copy_bytes(element, value, shape->value_stride);
}

FS_INLINE void value_read(const struct fs_map *shape, void *value, const void *element) {
    copy_bytes(value, element, is_per_thread(shape->type) ? shape->value_stride : shape->value_size);
}

FS_INLINE void *array_element(const struct fs_map *shape, struct fs_map *map, u32 index) {
    return (u8 *)map + shape->data_offset + (u64)index * shape->value_stride;
}

FS_INLINE int array_update(const struct fs_map *shape, struct fs_map *map, const void *key, const void *value, u64 flags, u32 slot) {
    if (flags > BPF_EXIST) return -EINVAL;
    u32 index = get32(key);
    if (index >= shape->max_entries) return -E2BIG;
    if (flags == BPF_NOEXIST) return -EEXIST;
    value_write(shape, array_element(shape, map, index), value, slot, 0);
    return 0;
}

#endif
