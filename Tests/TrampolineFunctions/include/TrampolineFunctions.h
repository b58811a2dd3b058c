// Real functions for the trampoline tests to trace, programs that record what they see, and callers for
// what Swift cannot call.
#ifndef TRAMPOLINE_FUNCTIONS_H
#define TRAMPOLINE_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- Functions to trace ---

int64_t t_add(int64_t a, int64_t b);
int64_t t_subtract(int64_t a, int64_t b);
size_t t_length(const char *text);
void t_store(int64_t *where, int64_t value);
int64_t t_sum20(int64_t a1, int64_t a2, int64_t a3, int64_t a4, int64_t a5, int64_t a6, int64_t a7,
                int64_t a8, int64_t a9, int64_t a10, int64_t a11, int64_t a12, int64_t a13, int64_t a14,
                int64_t a15, int64_t a16, int64_t a17, int64_t a18, int64_t a19, int64_t a20);
struct t_small { int64_t a; int32_t b; };
struct t_large { int64_t values[5]; };
struct t_huge { int64_t values[600]; };
int64_t t_small_sum(struct t_small value, int64_t factor);
int64_t t_large_sum(struct t_large value, int64_t factor);
int64_t t_huge_sum(struct t_huge value, int64_t factor);
struct t_small t_return_small(int64_t a, int32_t b);
struct t_large t_return_large(int64_t first);
double t_mix(double a, float b, int64_t c, double d);
float t_half(float a);
long double t_long_double(long double a, int64_t b, long double c);
int t_format(char *buffer, size_t size, const char *format, ...);
int64_t t_depth(int64_t n);
int64_t t_fibonacci(int64_t n);
// Tells that it is inside, then waits.
int64_t t_wait(volatile int32_t *inside, volatile int32_t *go, int64_t value);

// Callers for what Swift cannot call.
bool call_vector(void);
bool call_int128(void);
int call_format_doubles(char *buffer, size_t size);
int call_format_many(char *buffer, size_t size);
// A C++ function throws through the traced t_throw; -error is returned.
int call_throw(int value);

// t_fibonacci(n) in so many threads at once.
void call_fibonacci_in_threads(int threads, int64_t n, int64_t *results);
// t_wait in a thread of its own, and its result.
void *call_wait_in_thread(volatile int32_t *inside, volatile int32_t *go, int64_t value);
int64_t join_wait(void *thread);

// Addresses of functions, by name; NULL: none.
const void *t_address(const char *name);

// Runs `body` on a stack whose mapping ends `words` words above the return address of t_sum20's frame,
// that is called there with 20 arguments (so words >= 14).
int64_t call_sum20_at_end_of_stack(int words);
// The same for t_add, which has no stack arguments.
int64_t call_add_at_end_of_stack(int words);

// Functions in assembly with first instructions of every shape; ended by a NULL name.
struct t_shape {
    const char *name;
    int64_t (*function)(int64_t a, int64_t b);
};
extern const struct t_shape t_shapes[];
const struct t_shape *t_shape_at(int index);

// --- Registers ---

struct t_registers {
    uint64_t general[16];  // in instruction order; rsp is not set
    uint64_t vector[16][2];
    uint32_t mxcsr;
    uint32_t x87_control;
};
// Fills every register, calls t_untouched, which changes none, and stores what came back.
void call_with_registers(const struct t_registers *before, struct t_registers *after);
// The same with t_keeps, after moving the stack by eight bytes; t_keeps returns its rsp in rax.
uint64_t call_stack_pointer(uint64_t misalignment);

// --- Programs: uint64_t program(uint64_t *ctx) ---

#define T_EVENTS 512
struct t_event {
    uint64_t attach_cookie;
    uint64_t metadata;
    uint64_t ip;
    uint64_t arguments[24];
    uint64_t return_value;
    uint64_t tail_calls;
    uint64_t cookie;
    uint64_t cookie_address;
    uint64_t stack_alignment;
};
// Of the calling thread.
void t_log_clear(void);
int t_log_count(void);
struct t_event t_log_event(int index);
void t_set_modified_value(uint64_t value);

uint64_t t_program(uint64_t *ctx);           // records
uint64_t t_session_program(uint64_t *ctx);   // records, and keeps a cookie
uint64_t t_modify_program(uint64_t *ctx);    // records, returns the modified value
uint64_t t_tail_program(uint64_t *ctx);      // records, and counts a tail call
uint64_t t_clobber_program(uint64_t *ctx);   // destroys every register that it may
uint64_t t_quiet_program(uint64_t *ctx);     // only counts, for many threads
uint64_t t_strict_session(uint64_t *ctx);    // checks its cookie, counts errors
// Over all threads.
struct t_counts { uint64_t entries, exits, errors, safe_copies; };
struct t_counts t_counts(void);
void t_clear_counts(void);

// What a trampoline calls to read the end of the stack: process_vm_readv on this process.
void t_safe_copy(void *to, const void *from, size_t size);

// --- Patching this process ---

// Executable memory within reach of `address`; NULL: none.
void *t_map_near(const void *address, size_t size);
bool t_make_writable(const void *address, size_t size);
// Five bytes at once, when they lie in one aligned word; otherwise one after another.
void t_patch(void *address, const uint8_t bytes[5]);
void t_register_frames(const void *frames);
void t_deregister_frames(const void *frames);

// --- Unwinding ---

// Calls t_add with the trap flag set; at each instruction in [start, end) of either range a backtrace must
// come by the caller. Returns how many instructions were checked, negative: minus the failing ones.
struct t_range { uint64_t start, end; };
int t_step_through(const struct t_range *ranges, int count, uint64_t *first_failure);
// The same for the function at `function`, called with (value, value).
int t_step_function(const void *function, const struct t_range *ranges, int count, uint64_t *first_failure);

#ifdef __cplusplus
}
#endif
#endif
