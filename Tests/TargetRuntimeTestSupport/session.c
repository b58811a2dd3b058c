#define _GNU_SOURCE
#include "internal.h"

#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

// Where the C library keeps the thread's id: two threads must agree. Its block begins at the thread pointer on x86-64, and
// 1700 bytes or more below it on arm64.
#if defined(__x86_64__)
enum { SEARCH_START = 16, SEARCH_END = 2048 };
#else
enum { SEARCH_START = -1700, SEARCH_END = 0 };
#endif
struct offset_search { int32_t from, found; };
static void *search_offset(void *argument) {
    struct offset_search *search = argument;
    uint32_t thread = test_thread_id();
    search->found = 0;
    for (int32_t offset = search->from; offset < SEARCH_END; offset += 4) {
        if (memcmp(thread_pointer() + offset, &thread, 4) != 0) continue;
        search->found = offset;
        break;
    }
    return NULL;
}

static int32_t thread_id_offset(void) {
    for (int32_t from = SEARCH_START; from < SEARCH_END;) {
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

helper *helper_in_copy(uint32_t number) {
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
