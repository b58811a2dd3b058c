#define _GNU_SOURCE
#include "internal.h"

#include <linux/bpf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
