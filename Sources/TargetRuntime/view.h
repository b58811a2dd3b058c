// Maps from the controller's side.

int fs_view_init(struct fs_map_view *view, void *memory, const struct fs_map_spec *spec) {
    u64 size;
    view->map = memory;
    return shape_of(spec, &view->shape, &size, NULL);
}

static u64 *program_slot(const struct fs_map_view *view, u32 index) {
    return array_element(&view->shape, view->map, index);
}

int fs_view_read(const struct fs_map_view *view, const void *key, void *value) {
    const struct fs_map *shape = &view->shape;
    if (shape->type == FS_MAP_QUEUE || shape->type == FS_MAP_STACK) return sequence_take(shape, view->map, value, 0);
    if (is_hash(shape->type)) {
        struct place place;
        struct node *node = hash_find(shape, view->map, key, hash_bytes(key, shape->key_size), 0, &place);
        if (!node) return -ENOENT;
        value_read(shape, value, hash_value(shape, node));
        return 0;
    }
    if (is_ring(shape->type)) return -EINVAL;
    u32 index = get32(key);
    if (shape->type == FS_MAP_STACK_TRACE) return stack_read(shape, view->map, index, value);
    if (index >= shape->max_entries) return -ENOENT;
    if (shape->type == FS_MAP_PROG_ARRAY) {
        u64 address = load64(program_slot(view, index));
        put64(value, address);
        return address ? 0 : -ENOENT;
    }
    value_read(shape, value, array_element(shape, view->map, index));
    return 0;
}

int fs_view_write(const struct fs_map_view *view, const void *key, const void *value, uint64_t flags) {
    const struct fs_map *shape = &view->shape;
    if (is_array(shape->type)) return array_update(shape, view->map, key, value, flags, ALL_SLOTS);
    if (is_hash(shape->type)) return hash_update(shape, view->map, key, value, flags, ALL_SLOTS);
    if (shape->type == FS_MAP_PROG_ARRAY) {
        if (flags != BPF_ANY) return -EINVAL;
        if (get32(key) >= shape->max_entries) return -E2BIG;
        store64(program_slot(view, get32(key)), get64(value));
        return 0;
    }
    return sequence_put(shape, view->map, value, flags);
}

int fs_view_delete(const struct fs_map_view *view, const void *key) {
    const struct fs_map *shape = &view->shape;
    if (is_hash(shape->type)) return hash_remove(shape, view->map, key, hash_bytes(key, shape->key_size), 0);
    if (shape->type == FS_MAP_STACK_TRACE) return stack_remove(shape, view->map, get32(key));
    if (shape->type == FS_MAP_PROG_ARRAY) {
        if (get32(key) >= shape->max_entries) return -E2BIG;
        u64 *slot = program_slot(view, get32(key));
        int error = load64(slot) ? 0 : -ENOENT;
        store64(slot, 0);
        return error;
    }
    return -EINVAL;
}

int fs_view_pop(const struct fs_map_view *view, void *value) { return sequence_take(&view->shape, view->map, value, 1); }

int fs_view_iterate(const struct fs_map_view *view, uint64_t *cursor, void *key, void *value) {
    const struct fs_map *shape = &view->shape;
    if (is_hash(shape->type)) {
        u64 extent = hash_extent(shape, view->map);
        while (*cursor < extent) {
            struct node *node = hash_element(shape, view->map, (*cursor)++);
            if (!node) continue;
            if (key) copy_bytes(key, node->data, shape->key_size);
            if (value) value_read(shape, value, hash_value(shape, node));
            return 0;
        }
        return -ENOENT;
    }
    u64 count;
    if (is_array(shape->type) || shape->type == FS_MAP_PROG_ARRAY) count = shape->max_entries;
    else if (shape->type == FS_MAP_STACK_TRACE) count = shape->reserved[NODES_MASK] + 1;
    else return -EINVAL;
    u64 unused[STACK_DEPTH];
    while (*cursor < count) {
        u32 index = (u32)(*cursor)++;
        void *to = value ? value : unused;
        if (is_array(shape->type) && !value) {
            // Nothing to read: every index is there.
        } else if (fs_view_read(view, &index, to) != 0) {
            continue;
        }
        if (key) copy_bytes(key, &index, 4);
        return 0;
    }
    return -ENOENT;
}

// A key that was deleted meanwhile: its bytes may still lie in the node that it had.
static int cursor_behind(const struct fs_map_view *view, const void *key, u64 *cursor) {
    const struct fs_map *shape = &view->shape;
    if (!is_hash(shape->type)) {
        *cursor = (u64)get32(key) + 1;
        return 0;
    }
    struct place place;
    struct node *node = hash_find(shape, view->map, key, hash_bytes(key, shape->key_size), 0, &place);
    if (node) {
        *cursor = node_number(shape, view->map, node);
        return 0;
    }
    u64 extent = hash_extent(shape, view->map);
    for (u64 number = 0; number < extent; number++) {
        if (!equal_keys(shape, node_at(shape, view->map, number)->data, key)) continue;
        *cursor = number + 1;
        return 0;
    }
    return -ENOENT;
}

int fs_view_next_key(const struct fs_map_view *view, const void *key, void *next) {
    const struct fs_map *shape = &view->shape;
    u64 cursor = 0;
    if (!is_hash(shape->type) && !is_array(shape->type) && shape->type != FS_MAP_PROG_ARRAY && shape->type != FS_MAP_STACK_TRACE)
        return -EINVAL;
    if (key && cursor_behind(view, key, &cursor) != 0) return -ENOENT;
    return fs_view_iterate(view, &cursor, next, NULL);
}

static void view_of(struct fs_map_view *view, struct fs_map *map) {
    view->shape = *map;
    view->map = map;
}

int fs_map_read(struct fs_map *map, const void *key, void *value) {
    struct fs_map_view view;
    view_of(&view, map);
    return fs_view_read(&view, key, value);
}

int fs_map_write(struct fs_map *map, const void *key, const void *value, uint64_t flags) {
    struct fs_map_view view;
    view_of(&view, map);
    return fs_view_write(&view, key, value, flags);
}

int fs_map_delete(struct fs_map *map, const void *key) {
    struct fs_map_view view;
    view_of(&view, map);
    return fs_view_delete(&view, key);
}

int fs_map_next_key(struct fs_map *map, const void *key, void *next) {
    struct fs_map_view view;
    view_of(&view, map);
    return fs_view_next_key(&view, key, next);
}
