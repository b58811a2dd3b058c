// Programs as the compiler of BPF makes them: no vector registers, context below and above the pointer.
#define _GNU_SOURCE
#if defined(__x86_64__)
#include "TrampolineFunctions.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRAM __attribute__((target("general-regs-only"), noinline))

static __thread struct t_event events[T_EVENTS];
static __thread int event_count;
static __thread uint64_t modified_value;
static struct t_counts counts;

void t_log_clear(void) { event_count = 0; }
int t_log_count(void) { return event_count; }
struct t_event t_log_event(int index) { return events[index]; }
struct t_counts t_counts(void) { return counts; }
void t_clear_counts(void) { memset(&counts, 0, sizeof counts); }
void t_set_modified_value(uint64_t value) { modified_value = value; }

static PROGRAM struct t_event *record(uint64_t *ctx) {
    if (event_count >= T_EVENTS) return &events[T_EVENTS - 1];
    struct t_event *event = &events[event_count++];
    event->metadata = ctx[-1];
    event->ip = ctx[-2];
    event->attach_cookie = ctx[-3];
    event->tail_calls = ctx[-4];
    unsigned n = ctx[-1] & 0xff;
    for (unsigned i = 0; i < 24; i++) event->arguments[i] = i < n ? ctx[i] : 0;
    event->return_value = ctx[n];
    event->cookie = 0;
    event->cookie_address = 0;
    return event;
}

PROGRAM uint64_t t_program(uint64_t *ctx) {
    struct t_event *event = record(ctx);
    event->stack_alignment = (uint64_t)__builtin_frame_address(0) & 15;
    return 0;
}

PROGRAM uint64_t t_session_program(uint64_t *ctx) {
    struct t_event *event = record(ctx);
    uint64_t *cookie = &ctx[-(int64_t)(ctx[-1] >> 8 & 0xff)];
    event->cookie = *cookie;
    event->cookie_address = (uint64_t)cookie;
    if (!(ctx[-1] >> 63)) *cookie = ctx[-3] << 32 | ctx[0];
    return 0;
}

PROGRAM uint64_t t_modify_program(uint64_t *ctx) {
    record(ctx);
    return modified_value;
}

PROGRAM uint64_t t_tail_program(uint64_t *ctx) {
    record(ctx);
    ctx[-4]++;
    return 0;
}

PROGRAM uint64_t t_quiet_program(uint64_t *ctx) {
    __atomic_add_fetch(ctx[-1] >> 63 ? &counts.exits : &counts.entries, 1, __ATOMIC_RELAXED);
    return 0;
}

PROGRAM uint64_t t_strict_session(uint64_t *ctx) {
    uint64_t *cookie = &ctx[-(int64_t)(ctx[-1] >> 8 & 0xff)];
    uint64_t mine = ctx[-3] ^ ctx[0] * 0x9e3779b97f4a7c15 ^ (uint64_t)ctx;
    if (ctx[-1] >> 63) {
        if (*cookie != mine) __atomic_add_fetch(&counts.errors, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&counts.exits, 1, __ATOMIC_RELAXED);
    } else {
        if (*cookie != 0 || ctx[ctx[-1] & 0xff] != 0) __atomic_add_fetch(&counts.errors, 1, __ATOMIC_RELAXED);
        *cookie = mine;
        __atomic_add_fetch(&counts.entries, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

PROGRAM void t_safe_copy(void *to, const void *from, size_t size) {
    struct iovec local = {to, size};
    struct iovec remote = {(void *)from, size};
    int64_t result;
    register uint64_t r10 __asm__("r10") = (uint64_t)&remote;
    register uint64_t r8 __asm__("r8") = 1;
    register uint64_t r9 __asm__("r9") = 0;
    static int32_t pid;
    if (!pid) pid = getpid();
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_process_vm_readv), "D"((uint64_t)pid), "S"(&local), "d"(1ul), "r"(r10), "r"(r8),
                       "r"(r9)
                     : "rcx", "r11", "memory");
    __atomic_add_fetch(&counts.safe_copies, 1, __ATOMIC_RELAXED);
}

// --- Patching this process ---

void *t_map_near(const void *address, size_t size) {
    for (uint64_t distance = 1 << 20; distance < 0x70000000; distance += 1 << 20) {
        for (int sign = -1; sign <= 1; sign += 2) {
            uint64_t hint = ((uint64_t)address + (uint64_t)((int64_t)distance * sign)) & ~0xfffull;
            void *result = mmap((void *)hint, size, PROT_READ | PROT_WRITE | PROT_EXEC,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            if (result == (void *)hint) return result;
            if (result != MAP_FAILED) munmap(result, size);
        }
    }
    return NULL;
}

bool t_make_writable(const void *address, size_t size) {
    uint64_t start = (uint64_t)address & ~0xfffull;
    uint64_t end = ((uint64_t)address + size + 0xfff) & ~0xfffull;
    return mprotect((void *)start, end - start, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

void t_patch(void *address, const uint8_t bytes[5]) {
    uint64_t place = (uint64_t)address & 7;
    if (place <= 3) {
        uint64_t *word = (uint64_t *)((uint64_t)address & ~7ull);
        uint64_t value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        memcpy((uint8_t *)&value + place, bytes, 5);
        __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    } else {
        memcpy(address, bytes, 5);
    }
}

extern void __register_frame(const void *);
extern void __deregister_frame(const void *);
void t_register_frames(const void *frames) { __register_frame(frames); }
void t_deregister_frames(const void *frames) { __deregister_frame(frames); }
#endif
