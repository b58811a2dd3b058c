// The reader's side of a ring buffer. Everything in shared memory may be nonsense: positions and lengths are
// checked against what the reader knows, and the worst that they lead to is lost records, which are counted.

#define BUSY_PATIENCE_NS 10000000u         // a writer needs microseconds
#define BUSY_PATIENCE_ALIVE_NS 1000000000u // a writer that is stopped, or left by longjmp, may hinder for so long
#define SLEEP_FIRST_NS 100000u
#define SLEEP_STEP_NS 50000000u            // a writer may be killed just before it would wake the reader

void fs_ring_reader_init(struct fs_ring_reader *reader, struct fs_map *map, uint64_t limit) {
    memset(reader, 0, sizeof *reader);
    reader->map = map;
    reader->limit = limit;
    reader->position = reader->released = reader->end = load64(ring_consumer(map)) & ~7ull;
}

// Whether a thread is there and no zombie.
static int thread_runs(u32 thread) {
    if (thread_is_gone(thread)) return 0;
    char path[40], status[512];
    snprintf(path, sizeof path, "/proc/%u/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return !thread_is_gone(thread);
    ssize_t length = read(file, status, sizeof status - 1);
    close(file);
    if (length <= 0) return !thread_is_gone(thread);
    status[length] = 0;
    const char *name_end = strrchr(status, ')');
    if (!name_end || name_end[1] != ' ') return 1;
    return name_end[2] != 'Z' && name_end[2] != 'X';
}

static int owner_runs(const struct fs_ring_reader *reader, u32 owner) {
    if (owner == 0) return 0;
    return reader->thread_is_alive ? reader->thread_is_alive(owner, reader->context) : thread_runs(owner);
}

// Whether `owner` wrote a record behind the one at the reader's position.
static int owner_went_on(const struct fs_ring_reader *reader, u32 owner, u64 producer) {
    u64 position = reader->position;
    u64 head = load64(ring_word(reader->map, position, reader->limit));
    for (;;) {
        u64 bytes = ring_record_bytes(head);
        if (bytes >= producer - position) return 0;
        position += bytes;
        head = load64(ring_word(reader->map, position, reader->limit));
        if (head & RING_FREE_BIT) return 0;
        if (((head >> 32) & FS_RING_OWNER_MASK) == owner && !(head & FS_RING_BUSY)) return 1;
    }
}

// The record at the reader's position is not finished: give it up?
static int given_up(struct fs_ring_reader *reader, u64 *head, u64 producer) {
    u64 now = kernel_clock(CLOCK_OF_MONOTONIC);
    if (reader->busy_since_ns == 0) {
        reader->busy_since_ns = now;
        reader->check_at_ns = now + BUSY_PATIENCE_NS;
        if (!reader->draining) return 0;
    }
    if (!reader->draining && now < reader->check_at_ns) return 0;
    reader->check_at_ns = now + BUSY_PATIENCE_NS;
    u32 owner = (u32)(*head >> 32) & FS_RING_OWNER_MASK;
    int give_up = (*head & RING_FREE_BIT) != 0 || reader->draining || !owner_runs(reader, owner);
    if (!give_up && now - reader->busy_since_ns >= BUSY_PATIENCE_ALIVE_NS) {
        reader->check_at_ns = now + BUSY_PATIENCE_ALIVE_NS;
        give_up = producer - reader->released > reader->limit / 4 * 3 || owner_went_on(reader, owner, producer);
    }
    // Its last act may have been to finish it.
    *head = load64(ring_word(reader->map, reader->position, reader->limit));
    return give_up;
}

// Positions make no sense: go on behind the last reservation that writers know of.
static void resynchronise(struct fs_ring_reader *reader) {
    struct fs_map *map = reader->map;
    u64 position, record;
    reader->corrupt++;
    reader->busy_since_ns = 0;
    if (ring_headed(map, &position, &record) != position) return;  // the next call sees it again
    u64 end = ((position + (record ? ring_record_bytes(record) : 0)) + 7) & ~7ull;
    ring_fill(map, reader->limit, end, reader->limit);
    // No help for a record before `end`: it is given up.
    if (!cas128(&map->reserved[RING_POSITION], position, record, end, 0)) return;
    reader->position = reader->released = reader->end = end;
    store64(ring_consumer(map), end);
}

// Up to where there are records now, the last one with a head.
static void look_for_end(struct fs_ring_reader *reader) {
    u64 position, record;
    reader->end = ring_headed(reader->map, &position, &record);
    if (record == 0) return;
    if ((position & 7) == 0) ring_help(reader->map, reader->limit, position, record);
    reader->end += ring_record_bytes(record);
}

const void *fs_ring_next(struct fs_ring_reader *reader, uint32_t *length) {
    struct fs_map *map = reader->map;
    for (;;) {
        // Writers change the words that say how far they are with each record: they are left alone while there is
        // something to read.
        if (reader->end == reader->position) {
            look_for_end(reader);
            if (load64(ring_consumer(map)) != reader->released) {
                resynchronise(reader);
                return NULL;
            }
        }
        u64 producer = reader->end;
        if (producer == reader->position) return NULL;
        u64 available = producer - reader->position;
        if ((producer & 7) || available > reader->limit || producer - reader->released > reader->limit) {
            resynchronise(reader);
            return NULL;
        }
        u64 head = load64(ring_word(map, reader->position, reader->limit));
        u64 bytes = ring_record_bytes(head);
        // Without a head: damaged space, which its writer is about to mend.
        int unpublished = (head & RING_FREE_BIT) != 0;
        int nonsense = !unpublished && bytes > available;
        if (unpublished || (head & FS_RING_BUSY)) {
            look_for_end(reader);
            if (!nonsense && !given_up(reader, &head, reader->end)) return NULL;
            unpublished = (head & RING_FREE_BIT) != 0;
            bytes = ring_record_bytes(head);
            nonsense = unpublished || bytes > available;
            if (!nonsense && (head & FS_RING_BUSY)) {
                reader->abandoned++;
                head |= FS_RING_DISCARD;
            }
        }
        reader->busy_since_ns = 0;
        if (nonsense) {
            reader->corrupt++;
            reader->position = producer;
            continue;
        }
        const void *sample = ring_word(map, reader->position, reader->limit) + 1;
        reader->position += bytes;
        if (head & FS_RING_DISCARD) continue;
        *length = (u32)head;
        return sample;
    }
}

void fs_ring_consume(struct fs_ring_reader *reader) {
    if (reader->released == reader->position) return;
    ring_fill(reader->map, reader->limit, reader->released + reader->limit, reader->position - reader->released);
    reader->released = reader->position;
    store64(ring_consumer(reader->map), reader->position);
}

void fs_ring_wait(struct fs_ring_reader *reader, uint64_t timeout_ns) {
    struct fs_map *map = reader->map;
    u32 *sleeping = ring_sleeping(map);
    fs_ring_consume(reader);
    u64 start = kernel_clock(CLOCK_OF_MONOTONIC);
    // The first look may miss a record whose writer has looked at `sleeping` already: its words are on their way
    // for less than a microsecond.
    u64 longest = SLEEP_FIRST_NS;
    for (;;) {
        exchange32(sleeping, 1);
        int waits_for_writer = 0;
        if (ring_end(map) != reader->position) {
            u64 head = load64(ring_word(map, reader->position, reader->limit));
            if (!(head & (FS_RING_BUSY | RING_FREE_BIT))) break;
            waits_for_writer = 1;
        }
        u64 waited = kernel_clock(CLOCK_OF_MONOTONIC) - start;
        if (waited >= timeout_ns) break;
        u64 step = waits_for_writer && longest > BUSY_PATIENCE_NS ? BUSY_PATIENCE_NS : longest;
        longest = SLEEP_STEP_NS;
        u64 rest = timeout_ns - waited;
        i64 result = futex_wait(sleeping, 1, rest < step ? rest : step);
        if (load32(sleeping) == 0 || step == BUSY_PATIENCE_NS) break;
        if (result != 0 && result != -ETIMEDOUT && result != -EINTR && result != -EAGAIN) break;
    }
    exchange32(sleeping, 0);
}

uint32_t fs_library_wait(struct fs_library_watch *watch, uint32_t seen, uint64_t timeout_ns) {
    u64 start = kernel_clock(CLOCK_OF_MONOTONIC);
    exchange32(&watch->sleeping, 1);
    u32 generation;
    while ((generation = load32(&watch->generation)) == seen) {
        u64 waited = kernel_clock(CLOCK_OF_MONOTONIC) - start;
        if (waited >= timeout_ns) break;
        u64 rest = timeout_ns - waited;
        futex_wait(&watch->generation, seen, rest < SLEEP_STEP_NS ? rest : SLEEP_STEP_NS);
    }
    exchange32(&watch->sleeping, 0);
    return generation;
}

void fs_library_beat(struct fs_library_watch *watch) { add32(&watch->beat, 1); }

void fs_library_acknowledge(struct fs_library_watch *watch, uint32_t generation) {
    exchange32(&watch->controller_gone, 0);
    exchange32(&watch->acknowledged, generation);
    futex_wake(&watch->acknowledged);
}

void fs_library_leave(struct fs_library_watch *watch) {
    exchange32(&watch->controller_gone, 1);
    futex_wake(&watch->acknowledged);
}
