// What the tests of the target runtime need from C: a copy of the section to run, shared memory, threads,
// and children to kill.
#ifndef TARGET_RUNTIME_TEST_SUPPORT_H
#define TARGET_RUNTIME_TEST_SUPPORT_H

#include "TargetRuntime.h"

#include <linux/bpf.h>

// A state in shared memory, ready for use; thread ids from the thread block, as a session has them.
struct fs_state *test_state_new(void);
void test_state_free(struct fs_state *state);
// A map in shared memory, ring buffers with their data mapped twice; NULL if the spec is refused.
struct fs_map *test_map_new(const struct fs_map_spec *spec);
void test_map_free(struct fs_map *map, const struct fs_map_spec *spec);
// An inaccessible page behind an accessible one; the address of the border.
char *test_border(void);
char *test_read_only_page(void);

// Calls a helper (or a native function with ctx as its only argument) in a copy of the section that
// lies elsewhere and may only be executed and read.
uint64_t test_call(uint32_t helper, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, struct fs_state *state);
uint64_t test_call_native(const char *name, uint64_t *ctx);
const void *test_code(void);

// Callbacks for bpf_loop and bpf_for_each_map_elem; the context is an array of u64.
uint64_t test_callback_sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);        // loop: ctx[0] += i; stops at ctx[1]
uint64_t test_callback_elements(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);   // each u32 → u64: ctx[0] += key, ctx[1] += value
uint64_t test_callback_delete(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);     // each: deletes its key; ctx[0] = state
uint64_t test_address(uint64_t (*callback)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

// --- Threads ---

// Threads insert, look up and delete keys of their own in a common map; returns the number of wrong results.
// `kept` receives how many elements should remain.
uint64_t test_hash_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds, uint32_t keys_per_thread,
                          uint64_t *kept);
// Threads push numbers and pop them; returns the number lost or seen twice.
uint64_t test_queue_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds);
// Each of `threads` threads, `at_once` at a time, adds 1 to element 0 `rounds` times, unsynchronised.
void test_count_in_threads(struct fs_map *map, struct fs_state *state, int threads, int at_once, uint32_t rounds);

struct test_ring_result {
    uint64_t attempts, written, discarded;   // by the writers
    uint64_t received, damaged, out_of_order; // by the reader
    uint64_t abandoned, corrupt;
    uint64_t finished;                        // 0: a writer or the reader hung
};
struct test_ring_result test_ring_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds, uint32_t pause_every);

struct test_kill_result {
    uint64_t kills;
    uint64_t survivor_rounds;   // of a process that was there all the time
    uint64_t survivor_stuck;    // times it got nothing done for 2 s
    uint64_t received, damaged, abandoned, corrupt;
    uint64_t last_received;     // records read after the last kill
    uint64_t fresh_inserts;     // insertions that succeeded after the last kill
};
// Children at work on all three maps (u64 → u64 hash, u64 queue, ring) are killed at random instants.
struct test_kill_result test_kill(struct fs_map *hash, struct fs_map *queue, struct fs_map *ring, struct fs_state *state, uint32_t kills);

enum test_operation {
    TEST_RING_OUTPUT, TEST_RING_RESERVE_SUBMIT, TEST_HASH_INSERT, TEST_HASH_DELETE, TEST_SEQUENCE_PUSH, TEST_SEQUENCE_POP,
};
struct test_step_result {
    uint64_t kills;       // instructions after which a child was killed
    uint64_t failures;    // operations of the survivor that then failed, or took more than 2 s
    uint64_t lost;        // elements that can no longer be stored
    uint64_t abandoned, damaged, corrupt;
};
// Steps children through an operation and kills them after one instruction, after two, …; the map is
// u64 → u64 or holds u64.
struct test_step_result test_kill_at_each_instruction(struct fs_map *map, struct fs_state *state, enum test_operation operation);

// --- Others ---

// Calls get_stack (`map` NULL) or get_stackid below `depth` frames; `expected` receives what they return to,
// innermost first, `depth` addresses.
int64_t test_stack(struct fs_state *state, struct fs_map *map, uint64_t *addresses, uint32_t size, uint64_t flags, uint32_t depth,
                   uint64_t *expected);
// Waits in `library_event` on a thread while the controller acknowledges after `delay_ns` (or never: 0); the
// nanoseconds that it took.
uint64_t test_library_event(struct fs_library_watch *watch, uint64_t delay_ns, int with_signals);
// A reader that sleeps is woken by a record: nanoseconds until it got it, ~0 if it never did.
uint64_t test_ring_wake(struct fs_map *map, struct fs_state *state, int reserve);
// A thread reserves `length` bytes and ends without submitting; its id.
uint32_t test_reserve_and_die(struct fs_map *map, struct fs_state *state, uint32_t length);

uint32_t test_thread_id(void);
int test_cpu(void);
int test_thread_name(char name[16]);
uint64_t test_clock(int clock);
uint64_t test_other_process_pid_tgid(struct fs_state *state);

struct test_costs {
    double ring_output, ring_reserve_submit, hash_lookup, hash_update, percpu_lookup, array_lookup, clock, pid_tgid, probe_read;
};
struct test_costs test_costs(struct fs_map *ring, struct fs_map *hash, struct fs_map *percpu, struct fs_map *array, struct fs_state *state);

#endif
