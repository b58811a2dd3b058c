#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// --- Threads ---

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
