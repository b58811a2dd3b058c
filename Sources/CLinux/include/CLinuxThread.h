// Threads that may block, and the time stamp counter.
#ifndef CLINUX_THREAD_H
#define CLINUX_THREAD_H

#include <stdint.h>

// Starts a detached thread that runs body(context). 0 or an errno value.
int fs_thread_start(const char *name, void (*body)(void *), void *context);

// The counter that time stamps are made of (x86-64: rdtsc), 0 where there is none to be used.
uint64_t fs_time_stamp_counter(void);

// 1 if the counter runs at a constant rate and does not stop (CPUID 0x80000007, EDX bit 8).
int fs_time_stamp_counter_is_steady(void);

// FUTEX_WAIT on shared memory: returns when *word is no longer `expected`, on a wake-up, or after the timeout.
void fs_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns);
// FUTEX_WAKE on shared memory, all waiters.
void fs_futex_wake(uint32_t *word);

uint32_t fs_atomic_load_u32(const uint32_t *word);
uint64_t fs_atomic_load_u64(const uint64_t *word);
void fs_atomic_store_u32(uint32_t *word, uint32_t value);

#endif
