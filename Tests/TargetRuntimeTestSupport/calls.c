#define _GNU_SOURCE
#include "internal.h"

#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// --- Stacks ---

struct stack_test {
    struct fs_state *state;
    struct fs_map *map;
    uint64_t *addresses, *expected;
    uint64_t flags;
    uint32_t size, depth, at;
    int64_t result;
};

// In the place of a trampoline: ctx is in its frame, and its caller is the traced function's.
static __attribute__((noinline)) int64_t as_trampoline(struct stack_test *test) {
    volatile uint64_t *frame = __builtin_frame_address(0);
    uint64_t values[16] = {0};
    uint64_t *ctx = &values[8];
    test->expected[test->at++] = frame[1];
    ctx[FS_CTX_FUNCTION_IP] = 0x1234;
    if (test->map)
        test->result = (int64_t)test_call(BPF_FUNC_get_stackid, (uint64_t)ctx, (uint64_t)test->map, test->flags, 0, 0, test->state);
    else
        test->result = (int64_t)test_call(BPF_FUNC_get_stack, (uint64_t)ctx, (uint64_t)test->addresses, test->size, test->flags, 0, test->state);
    __asm__ volatile("" : : "r"(values) : "memory");
    return test->result;
}

static __attribute__((noinline)) int64_t as_caller(struct stack_test *test, uint32_t level) {
    volatile uint64_t *frame = __builtin_frame_address(0);
    int64_t result = level + 2 < test->depth ? as_caller(test, level + 1) : as_trampoline(test);
    test->expected[test->at++] = frame[1];
    __asm__ volatile("" : : : "memory");
    return result;
}

int64_t test_stack(struct fs_state *state, struct fs_map *map, uint64_t *addresses, uint32_t size, uint64_t flags, uint32_t depth,
                   uint64_t *expected) {
    struct stack_test test = {.state = state, .map = map, .addresses = addresses, .expected = expected, .flags = flags, .size = size, .depth = depth};
    return as_caller(&test, 0);
}

// --- Waiting ---

struct library_test { struct fs_library_watch *watch; uint64_t took; int done; };

static void *library_worker(void *argument) {
    struct library_test *test = argument;
    uint64_t values[16] = {0};
    values[8 + FS_CTX_ATTACH_COOKIE] = (uint64_t)test->watch;
    uint64_t start = test_clock(CLOCK_MONOTONIC);
    test_call_native("library_event", &values[8]);
    test->took = test_clock(CLOCK_MONOTONIC) - start;
    __atomic_store_n(&test->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void ignore_signal(int number) { (void)number; }

uint64_t test_library_event(struct fs_library_watch *watch, uint64_t delay_ns, int with_signals) {
    struct library_test test = {.watch = watch};
    uint32_t seen = watch->generation;
    pthread_t thread;
    struct sigaction action = {.sa_handler = ignore_signal}, before;
    sigaction(SIGUSR2, &action, &before);
    pthread_create(&thread, NULL, library_worker, &test);
    if (delay_ns) {
        uint32_t generation = fs_library_wait(watch, seen, 2000000000u);
        for (uint64_t end = test_clock(CLOCK_MONOTONIC) + delay_ns; test_clock(CLOCK_MONOTONIC) < end;) {
            if (with_signals && !__atomic_load_n(&test.done, __ATOMIC_SEQ_CST)) pthread_kill(thread, SIGUSR2);
            fs_library_beat(watch);
            usleep(500);
        }
        fs_library_acknowledge(watch, generation);
    }
    pthread_join(thread, NULL);
    sigaction(SIGUSR2, &before, NULL);
    return test.took;
}

struct wake_test { struct fs_map *map; struct fs_state *state; int reserve; uint64_t at; };

static void *wake_worker(void *argument) {
    struct wake_test *test = argument;
    // The reader has announced that it sleeps; then let it really do so.
    usleep(30000);
    uint64_t now = test_clock(CLOCK_MONOTONIC);
    test->at = now;
    if (test->reserve) {
        uint64_t *sample = (uint64_t *)test_call(BPF_FUNC_ringbuf_reserve, (uint64_t)test->map, 8, 0, 0, 0, test->state);
        *sample = now;
        test_call(BPF_FUNC_ringbuf_submit, (uint64_t)sample, 0, 0, 0, 0, test->state);
    } else {
        test_call(BPF_FUNC_ringbuf_output, (uint64_t)test->map, (uint64_t)&now, 8, 0, 0, test->state);
    }
    return NULL;
}

uint64_t test_ring_wake(struct fs_map *map, struct fs_state *state, int reserve) {
    struct wake_test test = {.map = map, .state = state, .reserve = reserve};
    struct fs_ring_reader reader;
    uint32_t length;
    pthread_t thread;
    fs_ring_reader_init(&reader, map, map->max_entries);
    pthread_create(&thread, NULL, wake_worker, &test);
    fs_ring_wait(&reader, 2000000000u);
    const uint64_t *sample = fs_ring_next(&reader, &length);
    uint64_t took = sample && length == 8 ? test_clock(CLOCK_MONOTONIC) - *sample : ~0ull;
    fs_ring_consume(&reader);
    pthread_join(thread, NULL);
    return took;
}

struct die_test { struct fs_map *map; struct fs_state *state; uint32_t length, thread; };

static void *die_worker(void *argument) {
    struct die_test *test = argument;
    test->thread = test_thread_id();
    test_call(BPF_FUNC_ringbuf_reserve, (uint64_t)test->map, test->length, 0, 0, 0, test->state);
    return NULL;
}

uint32_t test_reserve_and_die(struct fs_map *map, struct fs_state *state, uint32_t length) {
    struct die_test test = {map, state, length, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, die_worker, &test);
    pthread_join(thread, NULL);
    return test.thread;
}

uint64_t test_other_process_pid_tgid(struct fs_state *state) {
    uint64_t *shared = mmap(NULL, FS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_code();
    pid_t child = fork();
    if (child == 0) {
        shared[0] = test_call(BPF_FUNC_get_current_pid_tgid, 0, 0, 0, 0, 0, state);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    uint64_t result = shared[0] == ((uint64_t)child << 32 | (uint64_t)child);
    munmap(shared, FS_PAGE);
    return result;
}

// --- Costs ---

#define MEASURE(field, count, call)                                                    \
    do {                                                                               \
        uint64_t start = test_clock(CLOCK_MONOTONIC);                                  \
        for (uint32_t i = 0; i < (count); i++) { call; }                               \
        costs.field = (double)(test_clock(CLOCK_MONOTONIC) - start) / (double)(count); \
    } while (0)

struct test_costs test_costs(struct fs_map *ring, struct fs_map *hash, struct fs_map *percpu, struct fs_map *array, struct fs_state *state) {
    struct test_costs costs = {0};
    helper *lookup = helper_in_copy(BPF_FUNC_map_lookup_elem), *update = helper_in_copy(BPF_FUNC_map_update_elem);
    helper *output = helper_in_copy(BPF_FUNC_ringbuf_output), *reserve = helper_in_copy(BPF_FUNC_ringbuf_reserve);
    helper *submit = helper_in_copy(BPF_FUNC_ringbuf_submit), *clock = helper_in_copy(BPF_FUNC_ktime_get_ns);
    helper *pid = helper_in_copy(BPF_FUNC_get_current_pid_tgid), *read = helper_in_copy(BPF_FUNC_probe_read_user);
    uint64_t key = 0, data[4] = {1, 2, 3, 4}, count = 1000;
    struct fs_ring_reader reader;
    fs_ring_reader_init(&reader, ring, ring->max_entries);
    for (key = 0; key < count; key++) update((uint64_t)hash, (uint64_t)&key, (uint64_t)&key, 0, 0, state);
    uint32_t fits = ring->max_entries / 40 - 1, length;
    for (int pass = 0; pass < 2; pass++) {  // the first touches the memory
        MEASURE(ring_output, fits, output((uint64_t)ring, (uint64_t)data, sizeof data, 0, 0, state));
        while (fs_ring_next(&reader, &length)) {}
        fs_ring_consume(&reader);
        MEASURE(ring_reserve_submit, fits, submit(reserve((uint64_t)ring, sizeof data, 0, 0, 0, state), 0, 0, 0, 0, state));
        while (fs_ring_next(&reader, &length)) {}
        fs_ring_consume(&reader);
    }
    MEASURE(hash_lookup, 1000000, key = i % count; lookup((uint64_t)hash, (uint64_t)&key, 0, 0, 0, state));
    MEASURE(hash_update, 1000000, key = i % count; update((uint64_t)hash, (uint64_t)&key, (uint64_t)&key, 0, 0, state));
    key = 0;
    MEASURE(percpu_lookup, 1000000, lookup((uint64_t)percpu, (uint64_t)&key, 0, 0, 0, state));
    MEASURE(array_lookup, 1000000, lookup((uint64_t)array, (uint64_t)&key, 0, 0, 0, state));
    MEASURE(clock, 1000000, clock(0, 0, 0, 0, 0, state));
    MEASURE(pid_tgid, 1000000, pid(0, 0, 0, 0, 0, state));
    MEASURE(probe_read, 100000, read((uint64_t)&key, 8, (uint64_t)data, 0, 0, state));
    return costs;
}
