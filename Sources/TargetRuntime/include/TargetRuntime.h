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

// ctx[i] for negative i: what a trampoline keeps below a program's arguments (ContextLayout.swift).
#define FS_CTX_METADATA (-1)
#define FS_CTX_COUNT_MASK 0xff   // of the metadata: how many argument words there are
#define FS_CTX_FUNCTION_IP (-2)
#define FS_CTX_ATTACH_COOKIE (-3)
#define FS_CTX_TAIL_CALLS (-4)
#define FS_CTX_FIRST_COOKIE (-5)
#define FS_MAX_TAIL_CALLS 33

#define FS_PAGE 4096u
// Threads get a slot each; a "per-CPU" map holds a value for each slot, so a program's plain
// increments never race with another thread's.
#define FS_THREAD_SLOTS 64u
// Where threads that found no free slot are remembered (see struct fs_state).
#define FS_SLOT_SHARERS 256u
// Calls are counted in lanes (see lanes.h): counters lie in blocks, each lane's FS_LANE_BYTES apart.
#define FS_LANES 128u
#define FS_LANE_BYTES 32768u
#define FS_LANE_OWNER_BITS 8u
#define FS_THREADS_KNOWN 256u
#define FS_LANE_OWNERS (1u << FS_LANE_OWNER_BITS)
// Rings whose reserved records wake the reader (more of them work, but their reader must poll).
#define FS_STATE_RINGS 64u
// A perf event array is one ring of this size: its max_entries is a number of CPUs.
#define FS_PERF_RING_SIZE (1u << 20)
// The longest text of one bpf_trace_printk.
#define FS_PRINT_MAXIMUM 512u

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
    uint64_t reserved[8];    // private to the implementation of the map's type; 16-byte aligned
};

// A ring buffer has the kernel's layout behind its header page:
//   page 0: struct fs_map    page 1: consumer position    page 2: unused (the kernel's producer position)
//   page 3…: data (max_entries bytes, a power of two), mapped twice in a row.
#define FS_RING_CONSUMER_OFFSET (1 * FS_PAGE)
#define FS_RING_DATA_OFFSET (3 * FS_PAGE)
#define FS_RING_BUSY (1u << 31)
#define FS_RING_DISCARD (1u << 30)
#define FS_RING_HEADER 8u
// A record's head: u32 length | BUSY | DISCARD, then u32 owner: the writing thread's id in the low 22
// bits (the kernel has no larger ones), in the others a number private to the runtime.
#define FS_RING_OWNER_MASK 0x3fffffu

// How the time stamp counter becomes CLOCK_MONOTONIC: ns = base_ns + ((tsc - base_tsc) * mult >> 32).
// The controller writes the slot that `clock_index` does not name, then flips the index.
struct fs_clock {
    uint64_t base_tsc;
    uint64_t base_ns;
    uint64_t mult;
    uint64_t reserved;
};

// Which stacks have a lane. In private memory of the target that is wiped on fork.
struct fs_lane_owner {
    uint64_t owner;                // address of the thread block + (megabyte of the stack << 37) + 1
    uint64_t offset;               // its lane: from the counter in lane 0
};
struct fs_lane_owners {
    struct fs_lane_owner places[FS_LANE_OWNERS];
    uint64_t misses;
    // Thread blocks, the ids in them and stacks that belong together: see known_thread in state.h.
    uint64_t threads[FS_THREADS_KNOWN];
};

// Who owns which slot of the per-CPU maps: one for all processes that share maps.
struct fs_slots {
    uint32_t thread[FS_THREAD_SLOTS];        // the thread that owns a slot
    uint32_t turn;
    uint32_t sharer[FS_SLOT_SHARERS];        // threads that share a slot because all were taken
};

// One for each process of a session, in shared memory. `struct fs_state *` is the sixth argument of every helper.
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
    uint64_t lane_owners_address;  // in the target: its struct fs_lane_owners; 0: lanes are not used
    uint64_t slots_address;        // in the target: struct fs_slots that other processes have, too; 0: own_slots
    uint64_t random[FS_THREAD_SLOTS];
    // Private to the runtime, zero at first.
    struct fs_slots own_slots;
    uint32_t lanes_taken;                    // by the target and its children: lanes 1…lanes_taken have counts
    int64_t ring_offset[FS_STATE_RINGS];     // from this struct to the rings that programs reserve in
    // In the target: a private word that forks inherit. Once it is not 0 the runtime makes no system call any
    // more, because the process would be killed for it; 0: none.
    uint64_t filtered_address;
    uint32_t filters;                        // how often a process has set a filter
    uint32_t shares_thread_blocks;           // threads were made without a thread block of their own: ask for ids
};

// A record in the ring of bpf_trace_printk: this head, then the text (PrintRecord in Swift).
struct fs_print_record {
    uint64_t time_ns;
    uint32_t thread_id;
    uint32_t process_id;
    int64_t length;      // of the text and a zero, which is not sent
    char text[];
};

// --- The section that is copied into the target ---

// First byte and size of the section, and where in it a helper starts (0: not supported).
const void *fs_runtime_start(void);
size_t fs_runtime_size(void);
int64_t fs_runtime_helper_offset(uint32_t helper);  // BPF_FUNC_*; -1: not supported
const char *fs_runtime_helper_name(uint32_t helper); // of those supported, else NULL

// What the verifier asks of a helper's arguments, and learns of its result.
enum fs_takes {
    FS_TAKES__,                       // no argument
    FS_TAKES_ANYTHING,             // any number
    FS_TAKES_ADDRESS,              // an address that is read without faulting: a number, or any pointer
    FS_TAKES_MAP_OF_VALUES,        // a map whose values have addresses
    FS_TAKES_MAP_PER_CPU,          // the same, with a value for each CPU
    FS_TAKES_MAP_SEQUENCE,         // a queue or stack
    FS_TAKES_MAP_RINGBUF,
    FS_TAKES_MAP_PERF,             // a perf event array
    FS_TAKES_MAP_STACKS,           // a map of stack traces
    FS_TAKES_MAP_OF_PROGRAMS,
    FS_TAKES_KEY,                  // as many bytes as the map's keys have, to read
    FS_TAKES_VALUE,                // as many bytes as the map's values have, to read
    FS_TAKES_NEW_VALUE,            // the same, to be written, also if the helper fails
    FS_TAKES_MEMORY,               // to read; its size comes next
    FS_TAKES_NEW_MEMORY,           // to be written, all of it, also if the helper fails; its size comes next
    FS_TAKES_NEW_WORD,             // 8 bytes to be written, also if the helper fails
    FS_TAKES_TEXT,                 // memory that is read to the end of the string that is there; its size comes next
    FS_TAKES_NEW_TEXT,             // memory for a string, which is written with its end, also if the helper fails; its size comes next
    FS_TAKES_NEW_TEXT_OR_NULL,     // the same, or null if the size is 0; nothing is written if the helper fails
    FS_TAKES_WORDS,                // what is to be printed, or null if the size is 0: numbers, and pointers to strings; the size comes next
    FS_TAKES_SIZE,                 // of the memory before
    FS_TAKES_SIZE_OR_ZERO,
    FS_TAKES_STRING,               // constant, in frozen memory
    FS_TAKES_CONTEXT,              // the program's
    FS_TAKES_ROUND_FUNCTION,       // called back as bpf_loop does
    FS_TAKES_ELEMENT_FUNCTION,     // called back as bpf_for_each_map_elem does
    FS_TAKES_FUNCTION_CONTEXT,     // what the function is handed
    FS_TAKES_ALLOCATION_SIZE,      // a constant: the size of what is allocated
    FS_TAKES_RECORD,               // of a ring buffer; it is given back
};
enum fs_gives {
    FS_GIVES_SCALAR,               // any number
    FS_GIVES_CPU,                  // a processor
    FS_GIVES_NODE,                 // a NUMA node
    FS_GIVES_U32,
    FS_GIVES_WORD_COUNT,           // how many words an argument list has
    FS_GIVES_SIZE_OR_ERROR,        // no more than the size that was handed in, or an error
    FS_GIVES_VALUE_OR_NULL,        // of the map
    FS_GIVES_RECORD_OR_NULL,       // memory of ALLOCATION_SIZE bytes; it must be given back
    FS_GIVES_TAIL_CALL,            // the program does not go on, but where there is nothing to call
};
// A row of helper_rows.h; NULL behind the last.
struct fs_helper_row {
    uint32_t number;                  // BPF_FUNC_*
    uint8_t gives;
    uint8_t takes[5];
    const char *name;                 // bpf_*
};
const struct fs_helper_row *fs_helper_row(size_t index);

// Native "programs" for the engine's own links, by name: "library_event", "find_fde", "prctl_event",
// "clone_event" and "syscall_event"; and for trampolines "safe_copy", `void f(void *to, const void *from, size_t n, struct fs_state *)`,
// and "count" (frame in rbp, address of the counter in lane 0 in r10, state in r11; keeps all registers but rax, r10
// and r11). -1: unknown.
int64_t fs_runtime_function_offset(const char *name);

// "library_event" tells the controller that the set of loaded libraries changed and waits until it has acted: as long as
// its beat moves, and no longer than limit_ns. The attach cookie is the address of this (shared) struct. When the beat
// has stood still for half a second, nobody waits any more until the controller acknowledges again.
struct fs_library_watch {
    uint32_t generation;       // events so far
    uint32_t acknowledged;     // events that the controller has acted on
    uint32_t controller_gone;
    uint32_t sleeping;         // the controller waits for generation to change
    uint64_t state;            // struct fs_state * in the target; 0: none
    uint64_t limit_ns;         // the longest wait
    uint32_t beat;             // the controller adds to it while it works on an event
    uint32_t hasty;            // events that were not waited for to the end
};
// The controller's side: waits until generation is no longer `seen` and returns it; then, many times a second until it
// has acted, says that it lives; then that it has acted; in the end, that nobody is to wait for it.
uint32_t fs_library_wait(struct fs_library_watch *watch, uint32_t seen, uint64_t timeout_ns);
void fs_library_beat(struct fs_library_watch *watch);
void fs_library_acknowledge(struct fs_library_watch *watch, uint32_t generation);
void fs_library_leave(struct fs_library_watch *watch);

// "clone_event", and "syscall_event" too, notice threads that are made without a thread block of their own.
// "prctl_event" and "syscall_event" look at the arguments of the C library's `prctl` and `syscall`: a process
// that is about to set a system-call filter (seccomp(2)) gets no more calls of ours. The attach cookie is the
// address of its struct fs_state.

// "find_fde" answers libgcc's `_Unwind_Find_FDE(pc, struct dwarf_eh_bases *)` for our code, as an
// fmod_ret: the attach cookie is the address of this table, sorted by start, in the target.
struct fs_unwind_range {
    uint64_t start, end;       // [start, end) has the frame description entry at address fde
    uint64_t fde;
};
struct fs_unwind_table {
    uint64_t count;
    struct fs_unwind_range ranges[];
};

// "iterate_phdr" shows callers of `dl_iterate_phdr(callback, data)` that look for an address in our code one more module, as
// an fmod_ret: the attach cookie is the address of a cell that holds the address of this, or 0.
struct fs_unwind_region {
    uint64_t low, high;        // addresses in [low, high) are described at header
    uint64_t header, size;     // .eh_frame_hdr
};
struct fs_unwind_caller { uint64_t start, end; };
struct fs_unwind_index {
    uint64_t stamp;            // what no loader counts up to
    uint64_t region_count, caller_count;
    struct fs_unwind_region regions[];   // then the callers
};

// --- Maps, from either side ---

// Bytes of address space a map takes (ring buffers: with the second mapping of the data), 0 if the
// spec is not supported (then *why says why); fs_map_file_size: bytes of memory behind it.
size_t fs_map_size(const struct fs_map_spec *spec, const char **why);
size_t fs_map_file_size(const struct fs_map_spec *spec);
// Fills zeroed memory of fs_map_size bytes.
int fs_map_init(void *memory, const struct fs_map_spec *spec);

// The functions on `struct fs_map *` believe the map's header. For memory that the target can write, use
// a view: what it believes was computed from the spec, and every index found in shared memory is checked.
struct fs_map_view {
    struct fs_map shape;     // header as fs_map_init wrote it
    struct fs_map *map;
};
int fs_view_init(struct fs_map_view *view, void *memory, const struct fs_map_spec *spec);
int fs_view_read(const struct fs_map_view *view, const void *key, void *value);
int fs_view_write(const struct fs_map_view *view, const void *key, const void *value, uint64_t flags);
int fs_view_delete(const struct fs_map_view *view, const void *key);
int fs_view_next_key(const struct fs_map_view *view, const void *key, void *next);
// Removes and returns the next element of a queue or stack.
int fs_view_pop(const struct fs_map_view *view, void *value);
// The next element at or behind *cursor (0 at first); visits every element that stays at most and at
// least once, whatever else changes. -ENOENT at the end.
int fs_view_iterate(const struct fs_map_view *view, uint64_t *cursor, void *key, void *value);
// Bytes of a value as these functions copy it: value_size, per-CPU maps FS_THREAD_SLOTS strides, prog arrays 8
// (the address of the code), and of data in a ring (`limit` of its reader).
size_t fs_map_value_size(const struct fs_map_spec *spec);
size_t fs_map_ring_size(const struct fs_map_spec *spec);

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
    uint64_t released;        // consumer position: what lies before it was handed back
    uint64_t end;             // up to where there are records, as far as the reader has looked
    uint64_t check_at_ns;     // when to look at the owner of a busy record again
    uint32_t draining;        // nobody writes any more: every busy record is an abandoned one
    // Whether a thread of the target still runs; NULL: look in this PID namespace.
    int (*thread_is_alive)(uint32_t thread, void *context);
    void *context;
};
void fs_ring_reader_init(struct fs_ring_reader *reader, struct fs_map *map, uint64_t limit);
const void *fs_ring_next(struct fs_ring_reader *reader, uint32_t *length);
void fs_ring_consume(struct fs_ring_reader *reader);
// Sleeps until a writer commits a record or the timeout passes.
void fs_ring_wait(struct fs_ring_reader *reader, uint64_t timeout_ns);

#endif
