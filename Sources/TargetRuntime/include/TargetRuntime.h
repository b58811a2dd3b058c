// What runs inside a traced process: maps, ring buffers and helpers.
//
// All functions marked FS_RUNTIME live in one section without relocations, which the controller
// copies into the target; the controller also calls the same code on its own mapping of the shared
// memory. Nothing here may refer to anything outside that section: no globals, no string literals,
// no libc. Everything is found from a `struct fs_map *` or a `struct fs_state *`; addresses inside
// shared memory are kept as offsets, because both sides map it at different places.
//
// Lock-free throughout: a thread that is killed, stopped or interrupted by a signal at any
// instruction must never hinder another one.
#ifndef FSESSION_TARGET_RUNTIME_H
#define FSESSION_TARGET_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

// ctx[i] for negative i: what a trampoline keeps below a program's arguments.
#define FS_CTX_METADATA (-1)
#define FS_CTX_FUNCTION_IP (-2)
#define FS_CTX_ATTACH_COOKIE (-3)
#define FS_CTX_TAIL_CALLS (-4)
#define FS_CTX_FIRST_COOKIE (-5)
#define FS_MAX_TAIL_CALLS 33

#define FS_PAGE 4096u
// Threads get a slot each; a "per-CPU" map holds a value for each slot, so a program's plain
// increments never race with another thread's.
#define FS_THREAD_SLOTS 64u

// struct fs_map.type: the kernel's BPF_MAP_TYPE_*.
enum fs_map_type {
    FS_MAP_HASH = 1,
    FS_MAP_ARRAY = 2,
    FS_MAP_PROG_ARRAY = 3,
    FS_MAP_PERF_EVENT_ARRAY = 4,
    FS_MAP_PERCPU_HASH = 5,
    FS_MAP_PERCPU_ARRAY = 6,
    FS_MAP_STACK_TRACE = 7,
    FS_MAP_LRU_HASH = 9,
    FS_MAP_LRU_PERCPU_HASH = 10,
    FS_MAP_QUEUE = 22,
    FS_MAP_STACK = 23,
    FS_MAP_RINGBUF = 27,
};

struct fs_map_spec {
    uint32_t type;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t max_entries;
    uint32_t flags;
};

// The head of every map. What a BPF program holds as "map" is the address of this in the target.
struct fs_map {
    uint64_t magic;
    uint32_t type;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t max_entries;
    uint32_t flags;
    uint32_t value_stride;   // value_size rounded up to 8 (times FS_THREAD_SLOTS where per-CPU)
    uint64_t data_offset;    // from this header to the elements (arrays: element i at data_offset + i * stride)
    uint64_t dropped;        // ring buffers: records that found no room; hashes: updates that found no element
    uint64_t reserved[8];    // private to the implementation of the map's type
};

// A ring buffer has the kernel's layout behind its header page:
//   page 0: struct fs_map    page 1: consumer position    page 2: producer position
//   page 3…: data (max_entries bytes, a power of two), mapped twice in a row.
#define FS_RING_CONSUMER_OFFSET (1 * FS_PAGE)
#define FS_RING_PRODUCER_OFFSET (2 * FS_PAGE)
#define FS_RING_DATA_OFFSET (3 * FS_PAGE)
#define FS_RING_BUSY (1u << 31)
#define FS_RING_DISCARD (1u << 30)
#define FS_RING_HEADER 8u

// How the time stamp counter becomes CLOCK_MONOTONIC: ns = base_ns + ((tsc - base_tsc) * mult >> 32).
// The controller writes the slot that `clock_index` does not name, then flips the index.
struct fs_clock {
    uint64_t base_tsc;
    uint64_t base_ns;
    uint64_t mult;
    uint64_t reserved;
};

// One per session, in shared memory. `struct fs_state *` is the sixth argument of every helper.
struct fs_state {
    uint64_t magic;
    uint32_t allow_write;          // probe_write_user allowed
    int32_t thread_id_offset;      // of the thread's id from the fs/tpidr base; 0: ask the kernel
    uint64_t process_id_address;   // in the target: a private page, wiped on fork, that caches the pid; 0: ask the kernel
    uint32_t clock_is_tsc;         // 0: ask the kernel (clock_gettime)
    uint32_t clock_index;
    struct fs_clock clock[2];
    int64_t boottime_delta_ns;     // CLOCK_BOOTTIME - CLOCK_MONOTONIC
    uint64_t nanoseconds_per_jiffy;
    uint64_t jiffies_at_boot;      // jiffies64 = jiffies_at_boot + boottime / nanoseconds_per_jiffy
    int64_t print_ring_offset;     // from this struct to the struct fs_map of the ring of bpf_trace_printk; 0: none
    uint32_t slot_thread[FS_THREAD_SLOTS];  // the thread that owns a slot of the per-CPU maps
    uint64_t random[FS_THREAD_SLOTS];
};

// A record in the ring of bpf_trace_printk: this head, then the text.
struct fs_print_record {
    uint64_t time_ns;
    uint32_t process_id;
    uint32_t thread_id;
    char text[];
};

// --- The section that is copied into the target ---

// First byte and size of the section, and where in it a helper starts (0: not supported).
const void *fs_runtime_start(void);
size_t fs_runtime_size(void);
int64_t fs_runtime_helper_offset(uint32_t helper);  // BPF_FUNC_*; -1: not supported
const char *fs_runtime_helper_name(uint32_t helper); // of those supported, else NULL

// Native "programs" for the engine's own links, by name: "library_event", "find_fde"; -1: unknown.
int64_t fs_runtime_function_offset(const char *name);

// --- Maps, from either side ---

// Bytes of address space a map takes (ring buffers: with the second mapping of the data), 0 if the
// spec is not supported (then *why says why); fs_map_file_size: bytes of memory behind it.
size_t fs_map_size(const struct fs_map_spec *spec, const char **why);
size_t fs_map_file_size(const struct fs_map_spec *spec);
// Fills zeroed memory of fs_map_size bytes.
int fs_map_init(void *memory, const struct fs_map_spec *spec);

// 0 or -errno. For per-CPU maps `value` holds FS_THREAD_SLOTS strides.
int fs_map_read(struct fs_map *map, const void *key, void *value);
int fs_map_write(struct fs_map *map, const void *key, const void *value, uint64_t flags);
int fs_map_delete(struct fs_map *map, const void *key);
// The key after `key` (NULL: the first); -ENOENT at the end. Never loops forever on a changing map.
int fs_map_next_key(struct fs_map *map, const void *key, void *next);

// --- Ring buffer, reader's side (the controller; the target's memory is not trusted) ---

// The next committed record: its length in *length and address in the return value, NULL when there is
// none. A record whose writer died is skipped (and counted in *abandoned). `limit` is the size the
// controller knows the ring has. fs_ring_consume hands the space of everything returned back.
struct fs_ring_reader {
    struct fs_map *map;
    uint64_t limit;
    uint64_t position;
    uint64_t busy_since_ns;
    uint64_t abandoned;
    uint64_t corrupt;
};
void fs_ring_reader_init(struct fs_ring_reader *reader, struct fs_map *map, uint64_t limit);
const void *fs_ring_next(struct fs_ring_reader *reader, uint32_t *length);
void fs_ring_consume(struct fs_ring_reader *reader);
// Sleeps until a writer commits a record or the timeout passes.
void fs_ring_wait(struct fs_ring_reader *reader, uint64_t timeout_ns);

#endif
