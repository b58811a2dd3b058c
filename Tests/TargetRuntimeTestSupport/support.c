#define _GNU_SOURCE
#include "TargetRuntimeTestSupport.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint32_t test_thread_id(void) { return (uint32_t)syscall(SYS_gettid); }

int test_cpu(void) { return sched_getcpu(); }
int test_thread_name(char name[16]) { return pthread_getname_np(pthread_self(), name, 16); }

uint64_t test_clock(int clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// --- Memory ---

#if defined(__x86_64__)
static uint64_t counter(void) { return __builtin_ia32_rdtsc(); }
static char *thread_pointer(void) {
    char *base;
    __asm__("mov %%fs:0, %0" : "=r"(base));
    return base;
}
#else
static uint64_t counter(void) {
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}
static char *thread_pointer(void) { return __builtin_thread_pointer(); }
#endif

// Where the C library keeps the thread's id: two threads must agree.
struct offset_search { int32_t from, found; };
static void *search_offset(void *argument) {
    struct offset_search *search = argument;
    uint32_t thread = test_thread_id();
    search->found = 0;
    for (int32_t offset = search->from; offset < 2048; offset += 4) {
        if (memcmp(thread_pointer() + offset, &thread, 4) != 0) continue;
        search->found = offset;
        break;
    }
    return NULL;
}

static int32_t thread_id_offset(void) {
    for (int32_t from = 16; from < 2048;) {
        struct offset_search here = {from, 0}, there = {from, 0};
        pthread_t thread;
        search_offset(&here);
        pthread_create(&thread, NULL, search_offset, &there);
        pthread_join(thread, NULL);
        if (here.found == there.found) return here.found;
        from = (here.found < there.found && here.found ? here.found : there.found) + 4;
    }
    return 0;
}

static void calibrate(struct fs_state *state) {
    uint64_t counter_start = counter(), start = test_clock(CLOCK_MONOTONIC);
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    uint64_t counter_end = counter(), end = test_clock(CLOCK_MONOTONIC);
    state->clock[0].base_tsc = counter_end;
    state->clock[0].base_ns = end;
    state->clock[0].mult = (uint64_t)((double)(end - start) / (double)(counter_end - counter_start) * 4294967296.0);
    state->clock_is_tsc = 1;
    state->boottime_delta_ns = (int64_t)(test_clock(CLOCK_BOOTTIME) - test_clock(CLOCK_MONOTONIC));
    state->nanoseconds_per_jiffy = 4000000;
}

static size_t state_bytes(void) { return (sizeof(struct fs_state) + FS_PAGE - 1) / FS_PAGE * FS_PAGE; }

struct fs_state *test_state_new(void) {
    struct fs_state *state = mmap(NULL, state_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED) return NULL;
    void *page = mmap(NULL, FS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, FS_PAGE, MADV_WIPEONFORK) != 0) return NULL;
    state->process_id_address = (uint64_t)page;
    state->thread_id_offset = thread_id_offset();
    calibrate(state);
    return state;
}

void test_state_free(struct fs_state *state) {
    munmap((void *)state->process_id_address, FS_PAGE);
    munmap(state, state_bytes());
}

struct fs_map *test_map_new(const struct fs_map_spec *spec) {
    size_t size = fs_map_size(spec, NULL), file_size = fs_map_file_size(spec), ring = fs_map_ring_size(spec);
    if (size == 0) return NULL;
    int file = memfd_create("map", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)file_size) != 0) return NULL;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED && ring > 0)
        mmap(memory + file_size, ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, (off_t)(file_size - ring));
    close(file);
    if (memory == MAP_FAILED || fs_map_init(memory, spec) != 0) return NULL;
    return (struct fs_map *)memory;
}

void test_map_free(struct fs_map *map, const struct fs_map_spec *spec) { munmap(map, fs_map_size(spec, NULL)); }

char *test_border(void) {
    char *pages = mmap(NULL, 2 * FS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + FS_PAGE, FS_PAGE, PROT_NONE);
    return pages + FS_PAGE;
}

char *test_read_only_page(void) { return mmap(NULL, FS_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

// --- Calls ---

static pthread_once_t code_once = PTHREAD_ONCE_INIT;
static char *code;

static void copy_code(void) {
    size_t size = fs_runtime_size();
    // Far from the program, so that nothing it refers to by distance is still there.
    char *memory = mmap((void *)0x10000000000, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, fs_runtime_start(), size);
    mprotect(memory, size, PROT_READ | PROT_EXEC);
    code = memory;
}

const void *test_code(void) {
    pthread_once(&code_once, copy_code);
    return code;
}

typedef uint64_t helper(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, struct fs_state *);

static helper *helper_in_copy(uint32_t number) {
    int64_t offset = fs_runtime_helper_offset(number);
    if (offset < 0) abort();
    return (helper *)((const char *)test_code() + offset);
}

uint64_t test_call(uint32_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, struct fs_state *state) {
    return helper_in_copy(number)(a1, a2, a3, a4, a5, state);
}

uint64_t test_call_native(const char *name, uint64_t *ctx) {
    int64_t offset = fs_runtime_function_offset(name);
    if (offset < 0) abort();
    return ((uint64_t (*)(uint64_t *))((const char *)test_code() + offset))(ctx);
}

uint64_t test_callback_sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    uint64_t *sums = (uint64_t *)b;
    (void)c, (void)d, (void)e;
    sums[0] += a;
    return a == sums[1];
}

uint64_t test_callback_elements(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    uint64_t *sums = (uint64_t *)d;
    (void)a, (void)e;
    sums[0] += *(uint32_t *)b;
    sums[1] += *(uint64_t *)c;
    return 0;
}

uint64_t test_callback_delete(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    uint64_t *context = (uint64_t *)d;
    (void)c, (void)e;
    return test_call(BPF_FUNC_map_delete_elem, a, b, 0, 0, 0, (struct fs_state *)context[0]) == 0 ? 0 : 1;
}

uint64_t test_address(uint64_t (*callback)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)) { return (uint64_t)callback; }

// --- Threads ---

static uint64_t next_random(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t value_of(uint64_t key) { return key * 0x100000001b3ull + 7; }

struct worker {
    pthread_t thread;
    struct fs_map *map;
    struct fs_state *state;
    int number, workers;
    uint32_t rounds, keys, pause_every;
    uint64_t wrong, kept, attempts, written, discarded;
    uint64_t *seen;
    int *running;
};

static void run_workers(struct worker *workers, int count, void *(*body)(void *)) {
    for (int i = 0; i < count; i++) pthread_create(&workers[i].thread, NULL, body, &workers[i]);
    for (int i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
}

static void *hash_worker(void *argument) {
    struct worker *worker = argument;
    helper *lookup = helper_in_copy(BPF_FUNC_map_lookup_elem), *update = helper_in_copy(BPF_FUNC_map_update_elem);
    helper *delete = helper_in_copy(BPF_FUNC_map_delete_elem);
    struct fs_state *state = worker->state;
    uint64_t map = (uint64_t)worker->map, random = (uint64_t)worker->number + 1;
    char *present = calloc(worker->keys, 1);
    for (uint32_t round = 0; round < worker->rounds; round++) {
        uint64_t choice = next_random(&random), index = (choice >> 8) % worker->keys;
        uint64_t key = index * (uint64_t)worker->workers + (uint64_t)worker->number, value = value_of(key);
        if (choice & 1) {
            uint64_t *found = (uint64_t *)lookup(map, (uint64_t)&key, 0, 0, 0, state);
            if ((found != NULL) != present[index] || (found && *found != value)) worker->wrong++;
        } else if (choice & 2) {
            int64_t result = (int64_t)update(map, (uint64_t)&key, (uint64_t)&value, BPF_NOEXIST, 0, state);
            if (result != (present[index] ? -EEXIST : 0)) worker->wrong++;
            present[index] = 1;
        } else {
            int64_t result = (int64_t)delete(map, (uint64_t)&key, 0, 0, 0, state);
            if (result != (present[index] ? 0 : -ENOENT)) worker->wrong++;
            present[index] = 0;
        }
        // Another thread's key: any answer, but an answer.
        uint64_t other = (choice >> 32) % (worker->keys * (uint64_t)worker->workers);
        lookup(map, (uint64_t)&other, 0, 0, 0, state);
    }
    for (uint32_t i = 0; i < worker->keys; i++) worker->kept += (uint64_t)present[i];
    free(present);
    return NULL;
}

uint64_t test_hash_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds, uint32_t keys, uint64_t *kept) {
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    for (int i = 0; i < threads; i++)
        workers[i] = (struct worker){.map = map, .state = state, .number = i, .workers = threads, .rounds = rounds, .keys = keys};
    run_workers(workers, threads, hash_worker);
    uint64_t wrong = 0;
    *kept = 0;
    for (int i = 0; i < threads; i++) wrong += workers[i].wrong, *kept += workers[i].kept;
    free(workers);
    return wrong;
}

static void *queue_worker(void *argument) {
    struct worker *worker = argument;
    helper *push = helper_in_copy(BPF_FUNC_map_push_elem), *pop = helper_in_copy(BPF_FUNC_map_pop_elem);
    helper *peek = helper_in_copy(BPF_FUNC_map_peek_elem);
    uint64_t map = (uint64_t)worker->map;
    uint64_t limit = (uint64_t)worker->workers * worker->rounds;
    for (uint32_t round = 0; round < worker->rounds; round++) {
        uint64_t value = (uint64_t)worker->number * worker->rounds + round;
        while ((int64_t)push(map, (uint64_t)&value, BPF_ANY, 0, 0, worker->state) != 0) {
            if (pop(map, (uint64_t)&value, 0, 0, 0, worker->state) == 0 && value < limit)
                __atomic_fetch_add(&worker->seen[value], 1, __ATOMIC_SEQ_CST);
            value = (uint64_t)worker->number * worker->rounds + round;
        }
        if (peek(map, (uint64_t)&value, 0, 0, 0, worker->state) == 0 && value >= limit) worker->wrong++;
        if (round % 2 && pop(map, (uint64_t)&value, 0, 0, 0, worker->state) == 0) {
            if (value < limit) __atomic_fetch_add(&worker->seen[value], 1, __ATOMIC_SEQ_CST);
            else worker->wrong++;
        }
    }
    return NULL;
}

uint64_t test_queue_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds) {
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    uint64_t limit = (uint64_t)threads * rounds, value, wrong = 0;
    uint64_t *seen = calloc(limit, sizeof *seen);
    for (int i = 0; i < threads; i++)
        workers[i] = (struct worker){.map = map, .state = state, .number = i, .workers = threads, .rounds = rounds, .seen = seen};
    run_workers(workers, threads, queue_worker);
    while (test_call(BPF_FUNC_map_pop_elem, (uint64_t)map, (uint64_t)&value, 0, 0, 0, state) == 0) {
        if (value < limit) seen[value]++;
        else wrong++;
    }
    for (uint64_t i = 0; i < limit; i++) wrong += seen[i] != 1;
    for (int i = 0; i < threads; i++) wrong += workers[i].wrong;
    free(seen);
    free(workers);
    return wrong;
}

static void *count_worker(void *argument) {
    struct worker *worker = argument;
    helper *lookup = helper_in_copy(BPF_FUNC_map_lookup_elem);
    uint64_t key = 0;
    for (uint32_t round = 0; round < worker->rounds; round++) {
        volatile uint64_t *value = (uint64_t *)lookup((uint64_t)worker->map, (uint64_t)&key, 0, 0, 0, worker->state);
        *value = *value + 1;
    }
    return NULL;
}

// pthread_join returns when the kernel has cleared the thread's id, a moment before the thread is gone.
void test_count_in_threads(struct fs_map *map, struct fs_state *state, int threads, int at_once, uint32_t rounds) {
    struct worker *workers = calloc((size_t)at_once, sizeof *workers);
    for (int done = 0; done < threads; done += at_once) {
        for (int i = 0; i < at_once; i++) workers[i] = (struct worker){.map = map, .state = state, .rounds = rounds};
        run_workers(workers, at_once, count_worker);
    }
    free(workers);
}

// --- Ring buffers ---

struct record { uint32_t writer, length; uint64_t sequence, check; uint8_t bytes[]; };

static uint64_t check_of(const struct record *record) {
    uint64_t check = record->sequence * 31 + record->writer * 17 + record->length;
    for (uint32_t i = 0; i < record->length; i++) check = check * 131 + record->bytes[i];
    return check;
}

static void fill_record(struct record *record, uint32_t writer, uint64_t sequence, uint32_t length) {
    record->writer = writer;
    record->length = length;
    record->sequence = sequence;
    // Many zeros and all-ones: what a head or free space might be mistaken for.
    for (uint32_t i = 0; i < length; i++) record->bytes[i] = (uint8_t)((i + sequence) % 3 == 0 ? 0 : (i % 5 ? sequence : 0xff));
    record->check = check_of(record);
}

static int record_is_intact(const struct record *record, uint32_t length) {
    return length >= sizeof *record && record->length == length - sizeof *record && record->check == check_of(record);
}

static void *ring_worker(void *argument) {
    struct worker *worker = argument;
    helper *output = helper_in_copy(BPF_FUNC_ringbuf_output), *reserve = helper_in_copy(BPF_FUNC_ringbuf_reserve);
    helper *submit = helper_in_copy(BPF_FUNC_ringbuf_submit), *discard = helper_in_copy(BPF_FUNC_ringbuf_discard);
    struct fs_state *state = worker->state;
    uint64_t map = (uint64_t)worker->map, random = (uint64_t)worker->number + 99, buffer[64];
    struct record *own = (struct record *)buffer;
    for (uint32_t round = 0; round < worker->rounds; round++) {
        uint64_t choice = next_random(&random);
        uint32_t length = (uint32_t)(choice >> 16) % 200;
        worker->attempts++;
        if (choice & 1) {
            fill_record(own, (uint32_t)worker->number, round, length);
            worker->written += output(map, (uint64_t)own, sizeof *own + length, 0, 0, state) == 0;
        } else {
            struct record *record = (struct record *)reserve(map, sizeof *own + length, 0, 0, 0, state);
            if (record) {
                fill_record(record, (uint32_t)worker->number, round, length);
                if (choice & 2) {
                    submit((uint64_t)record, 0, 0, 0, 0, state);
                    worker->written++;
                } else {
                    discard((uint64_t)record, 0, 0, 0, 0, state);
                    worker->discarded++;
                }
            }
        }
        if (worker->pause_every && round % worker->pause_every == 0) usleep(200);
    }
    if (worker->running) __atomic_fetch_sub(worker->running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

struct test_ring_result test_ring_stress(struct fs_map *map, struct fs_state *state, int threads, uint32_t rounds, uint32_t pause_every) {
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    int64_t *last = malloc(sizeof(int64_t) * (size_t)threads);
    struct test_ring_result result = {0};
    struct fs_ring_reader reader;
    int running = threads;
    fs_ring_reader_init(&reader, map, map->max_entries);
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){.map = map, .state = state, .number = i, .rounds = rounds, .pause_every = pause_every, .running = &running};
        last[i] = -1;
        pthread_create(&workers[i].thread, NULL, ring_worker, &workers[i]);
    }
    uint64_t deadline = test_clock(CLOCK_MONOTONIC) + 60000000000ull;
    result.finished = 1;
    for (;;) {
        int was_running = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
        const struct record *record;
        uint32_t length, batch = 0;
        while (batch++ < 64 && (record = fs_ring_next(&reader, &length)) != NULL) {
            result.received++;
            if (!record_is_intact(record, length) || record->writer >= (uint32_t)threads) {
                result.damaged++;
            } else {
                if ((int64_t)record->sequence <= last[record->writer]) result.out_of_order++;
                last[record->writer] = (int64_t)record->sequence;
            }
        }
        fs_ring_consume(&reader);
        if (batch >= 64) continue;
        if (was_running == 0) break;
        fs_ring_wait(&reader, 20000000);
        if (test_clock(CLOCK_MONOTONIC) > deadline) {
            result.finished = 0;
            break;
        }
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        result.attempts += workers[i].attempts;
        result.written += workers[i].written;
        result.discarded += workers[i].discarded;
    }
    result.abandoned = reader.abandoned;
    result.corrupt = reader.corrupt;
    free(workers);
    free(last);
    return result;
}

// --- Kills ---

struct kill_shared { uint64_t rounds, stop, inserts; };

static void work(struct fs_map *hash, struct fs_map *queue, struct fs_map *ring, struct fs_state *state, uint64_t random, uint64_t *rounds,
                 volatile uint64_t *stop) {
    uint64_t buffer[64];
    struct record *own = (struct record *)buffer;
    for (uint64_t round = 0; !*stop; round++) {
        uint64_t choice = next_random(&random), key = choice >> 40 & 63, value = value_of(key);
        uint32_t length = (uint32_t)(choice >> 16) % 200;
        test_call(BPF_FUNC_map_update_elem, (uint64_t)hash, (uint64_t)&key, (uint64_t)&value, 0, 0, state);
        key = choice >> 48 & 63;
        test_call(BPF_FUNC_map_lookup_elem, (uint64_t)hash, (uint64_t)&key, 0, 0, 0, state);
        test_call(BPF_FUNC_map_delete_elem, (uint64_t)hash, (uint64_t)&key, 0, 0, 0, state);
        test_call(BPF_FUNC_map_push_elem, (uint64_t)queue, (uint64_t)&value, BPF_EXIST, 0, 0, state);
        test_call(BPF_FUNC_map_pop_elem, (uint64_t)queue, (uint64_t)&value, 0, 0, 0, state);
        fill_record(own, 1, round, length);
        test_call(BPF_FUNC_ringbuf_output, (uint64_t)ring, (uint64_t)own, sizeof *own + length, 0, 0, state);
        struct record *record = (struct record *)test_call(BPF_FUNC_ringbuf_reserve, (uint64_t)ring, sizeof *own + length, 0, 0, 0, state);
        if (record) {
            fill_record(record, 2, round, length);
            test_call(BPF_FUNC_ringbuf_submit, (uint64_t)record, 0, 0, 0, 0, state);
        }
        if (!rounds) continue;
        __atomic_fetch_add(rounds, 1, __ATOMIC_RELAXED);
        if (round % 32 == 0) usleep(50);  // leaves room in the ring for those who die
    }
}

static uint64_t drain(struct fs_ring_reader *reader, struct test_kill_result *result) {
    const struct record *record;
    uint32_t length;
    uint64_t count = 0;
    while (count < 4096 && (record = fs_ring_next(reader, &length)) != NULL) {
        count++;
        if (!record_is_intact(record, length)) result->damaged++;
        if (count % 16 == 0) fs_ring_consume(reader);
    }
    fs_ring_consume(reader);
    result->received += count;
    return count;
}

struct test_kill_result test_kill(struct fs_map *hash, struct fs_map *queue, struct fs_map *ring, struct fs_state *state, uint32_t kills) {
    struct test_kill_result result = {0};
    struct kill_shared *shared = mmap(NULL, FS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct fs_ring_reader reader;
    fs_ring_reader_init(&reader, ring, ring->max_entries);
    test_code();
    pid_t survivor = fork();
    if (survivor == 0) {
        work(hash, queue, ring, state, 4711, &shared->rounds, &shared->stop);
        _exit(0);
    }
    uint64_t random = 12345, never = 0, seen = 0, seen_at = test_clock(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < kills; i++) {
        pid_t child = fork();
        if (child == 0) {
            work(hash, queue, ring, state, i, NULL, (volatile uint64_t *)&never);
            _exit(0);
        }
        uint64_t until = test_clock(CLOCK_MONOTONIC) + next_random(&random) % 1000000;
        while (test_clock(CLOCK_MONOTONIC) < until) drain(&reader, &result);
        kill(child, SIGKILL);
        // Now and then the dead child stays a zombie for a while.
        if (i % 8 == 0) drain(&reader, &result);
        waitpid(child, NULL, 0);
        result.kills++;
        drain(&reader, &result);
        uint64_t rounds = __atomic_load_n(&shared->rounds, __ATOMIC_RELAXED), now = test_clock(CLOCK_MONOTONIC);
        if (rounds != seen) {
            seen = rounds;
            seen_at = now;
        } else if (now - seen_at > 2000000000u) {
            result.survivor_stuck++;
            seen_at = now;
        }
    }
    // With nobody dying any more, everything goes on.
    uint64_t end = test_clock(CLOCK_MONOTONIC) + 300000000u;
    while (test_clock(CLOCK_MONOTONIC) < end) result.last_received += drain(&reader, &result);
    shared->stop = 1;
    waitpid(survivor, NULL, 0);
    result.survivor_rounds = shared->rounds;
    for (uint64_t key = 1000; key < 1000 + hash->max_entries; key++)
        result.fresh_inserts += test_call(BPF_FUNC_map_update_elem, (uint64_t)hash, (uint64_t)&key, (uint64_t)&key, BPF_NOEXIST, 0, state) == 0;
    result.abandoned = reader.abandoned;
    result.corrupt = reader.corrupt;
    munmap(shared, FS_PAGE);
    return result;
}

// Everything is found before the child stops, so that few instructions are not the runtime's.
struct step_call { helper *first, *second; uint64_t arguments[5]; };

static void step_prepare(struct step_call *call, struct fs_map *map, enum test_operation operation, uint64_t number) {
    static uint64_t buffer[16], key;
    static const uint32_t helpers[] = {BPF_FUNC_ringbuf_output, BPF_FUNC_ringbuf_reserve, BPF_FUNC_map_update_elem,
                                       BPF_FUNC_map_delete_elem, BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem};
    struct record *record = (struct record *)buffer;
    uint64_t key_address = (uint64_t)&key;
    key = 1u << 20 | number;
    fill_record(record, 1, number, 8);
    *call = (struct step_call){helper_in_copy(helpers[operation]), NULL, {(uint64_t)map, key_address, 0, 0, 0}};
    if (operation == TEST_RING_OUTPUT) {
        call->arguments[1] = (uint64_t)record;
        call->arguments[2] = sizeof *record + 8;
    } else if (operation == TEST_RING_RESERVE_SUBMIT) {
        call->second = helper_in_copy(BPF_FUNC_ringbuf_submit);
        call->arguments[1] = sizeof *record + 8;
    } else if (operation == TEST_HASH_INSERT) {
        call->arguments[2] = key_address;
    }
}

static void step_child(const struct step_call *call, struct fs_state *state, uint64_t number) {
    const uint64_t *a = call->arguments;
    kill(getpid(), SIGSTOP);
    uint64_t result = call->first(a[0], a[1], a[2], a[3], a[4], state);
    if (call->second && result) {
        fill_record((struct record *)result, 1, number, 8);
        call->second(result, 0, 0, 0, 0, state);
    }
    kill(getpid(), SIGKILL);
}

// What the survivor does after each kill; true if all of it worked.
static int step_survivor(struct fs_map *map, struct fs_state *state, enum test_operation operation, uint64_t number,
                         struct fs_ring_reader *reader, struct test_step_result *result) {
    uint64_t key = 1u << 20 | number, own = 1, address = (uint64_t)map;
    if (operation == TEST_RING_OUTPUT || operation == TEST_RING_RESERVE_SUBMIT) {
        uint64_t buffer[16], deadline = test_clock(CLOCK_MONOTONIC) + 2000000000u;
        struct record *record = (struct record *)buffer;
        const struct record *found;
        uint32_t length;
        fill_record(record, 7, number, 16);
        if (test_call(BPF_FUNC_ringbuf_output, address, (uint64_t)record, sizeof *record + 16, 0, 0, state) != 0) return 0;
        while (test_clock(CLOCK_MONOTONIC) < deadline) {
            while ((found = fs_ring_next(reader, &length)) != NULL) {
                if (!record_is_intact(found, length)) result->damaged++;
                if (found->writer == 7 && found->sequence == number) {
                    fs_ring_consume(reader);
                    return 1;
                }
            }
            fs_ring_wait(reader, 2000000);
        }
        return 0;
    }
    if (operation == TEST_HASH_INSERT || operation == TEST_HASH_DELETE) {
        // The key that the child was at is there or not, and can be inserted and deleted.
        test_call(BPF_FUNC_map_delete_elem, address, (uint64_t)&key, 0, 0, 0, state);
        if (test_call(BPF_FUNC_map_lookup_elem, address, (uint64_t)&key, 0, 0, 0, state) != 0) return 0;
        if (test_call(BPF_FUNC_map_update_elem, address, (uint64_t)&key, (uint64_t)&own, BPF_NOEXIST, 0, state) != 0) return 0;
        uint64_t *value = (uint64_t *)test_call(BPF_FUNC_map_lookup_elem, address, (uint64_t)&key, 0, 0, 0, state);
        return value && *value == own && test_call(BPF_FUNC_map_delete_elem, address, (uint64_t)&key, 0, 0, 0, state) == 0;
    }
    if (test_call(BPF_FUNC_map_push_elem, address, (uint64_t)&own, BPF_ANY, 0, 0, state) != 0) return 0;
    while (test_call(BPF_FUNC_map_pop_elem, address, (uint64_t)&key, 0, 0, 0, state) == 0)
        if (key == own) return 1;
    return 0;
}

struct test_step_result test_kill_at_each_instruction(struct fs_map *map, struct fs_state *state, enum test_operation operation) {
    struct test_step_result result = {0};
    struct fs_ring_reader reader;
    fs_ring_reader_init(&reader, map, map->max_entries);
    test_code();
    int ended = 0;
    for (uint64_t steps = 1; !ended && steps < 20000; steps++) {
        uint64_t key = 1u << 20 | steps;
        if (operation == TEST_HASH_DELETE)
            test_call(BPF_FUNC_map_update_elem, (uint64_t)map, (uint64_t)&key, (uint64_t)&key, BPF_ANY, 0, state);
        if (operation == TEST_SEQUENCE_POP) {
            test_call(BPF_FUNC_map_push_elem, (uint64_t)map, (uint64_t)&key, BPF_ANY, 0, 0, state);
            test_call(BPF_FUNC_map_push_elem, (uint64_t)map, (uint64_t)&key, BPF_ANY, 0, 0, state);
        }
        struct step_call call;
        step_prepare(&call, map, operation, steps);
        kill(getpid(), 0);  // binds the symbols
        pid_t child = fork();
        if (child == 0) {
            ptrace(PTRACE_TRACEME, 0, NULL, NULL);
            step_child(&call, state, steps);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        for (uint64_t i = 0; i < steps && WIFSTOPPED(status); i++) {
            ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
            waitpid(child, &status, 0);
        }
        ended = !WIFSTOPPED(status);
        if (!ended) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            result.kills++;
        }
        result.failures += !step_survivor(map, state, operation, steps, &reader, &result);
    }
    result.failures += !ended;
    result.abandoned = reader.abandoned;
    result.corrupt = reader.corrupt;
    if (operation >= TEST_HASH_INSERT) {
        uint64_t value, stored = 0;
        if (operation >= TEST_SEQUENCE_PUSH)
            while (test_call(BPF_FUNC_map_pop_elem, (uint64_t)map, (uint64_t)&value, 0, 0, 0, state) == 0) {}
        for (value = 0; value < map->max_entries; value++) {
            if (operation <= TEST_HASH_DELETE)
                stored += test_call(BPF_FUNC_map_update_elem, (uint64_t)map, (uint64_t)&value, (uint64_t)&value, BPF_ANY, 0, state) == 0;
            else
                stored += test_call(BPF_FUNC_map_push_elem, (uint64_t)map, (uint64_t)&value, BPF_ANY, 0, 0, state) == 0;
        }
        result.lost = map->max_entries - stored;
    }
    return result;
}

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
