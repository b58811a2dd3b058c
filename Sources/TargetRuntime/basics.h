// Types, atomics and byte loops that need nothing from outside the section.
#ifndef FS_BASICS_H
#define FS_BASICS_H

#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define FS_INLINE static inline __attribute__((always_inline, unused))
#define FS_LIKELY(x) __builtin_expect(!!(x), 1)
#define FS_UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(__x86_64__)
#include "arch_x86_64.h"
#elif defined(__aarch64__)
#include "arch_arm64.h"
#else
#error "TargetRuntime: no support for this architecture"
#endif

FS_INLINE u32 load32(const u32 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
FS_INLINE u64 load64(const u64 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
FS_INLINE void store32(u32 *word, u32 value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
FS_INLINE void store64(u64 *word, u64 value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

// A comparison that the compiler cannot gather with others into a jump table, which would lie elsewhere.
FS_INLINE int is(u32 value, u32 constant) {
    __asm__ volatile("" : "+r"(value));
    return value == constant;
}

FS_INLINE u64 round_up8(u64 value) { return (value + 7) & ~7ull; }

// Programs keep keys and values at any address.
struct __attribute__((packed, may_alias)) unaligned64 { u64 value; };
struct __attribute__((packed, may_alias)) unaligned32 { u32 value; };

FS_INLINE u64 get64(const void *address) { return ((const struct unaligned64 *)address)->value; }
FS_INLINE u32 get32(const void *address) { return ((const struct unaligned32 *)address)->value; }
FS_INLINE void put64(void *address, u64 value) { ((struct unaligned64 *)address)->value = value; }

FS_INLINE void copy_bytes(void *to, const void *from, u64 count) {
    u8 *target = to;
    const u8 *source = from;
    for (; count >= 8; count -= 8, target += 8, source += 8) put64(target, get64(source));
    for (; count > 0; count--) *target++ = *source++;
}

FS_INLINE void zero_bytes(void *to, u64 count) {
    u8 *target = to;
    for (; count >= 8; count -= 8, target += 8) put64(target, 0);
    for (; count > 0; count--) *target++ = 0;
}

FS_INLINE int equal_bytes(const void *one, const void *other, u64 count) {
    const u8 *a = one, *b = other;
    for (; count >= 8; count -= 8, a += 8, b += 8)
        if (get64(a) != get64(b)) return 0;
    for (; count > 0; count--)
        if (*a++ != *b++) return 0;
    return 1;
}

FS_INLINE u64 mix(u64 value) {
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    return value;
}

FS_INLINE u32 hash_bytes(const void *bytes, u64 count) {
    const u8 *p = bytes;
    u64 hash = count * 0x9e3779b97f4a7c15ull;
    for (; count >= 8; count -= 8, p += 8) hash = mix(hash ^ get64(p));
    if (count >= 4) {
        hash = mix(hash ^ get32(p));
        count -= 4;
        p += 4;
    }
    u64 rest = 0;
    for (; count > 0; count--) rest = rest << 8 | *p++;
    return (u32)mix(hash ^ rest);
}

struct kernel_time { i64 seconds, nanoseconds; };
struct kernel_vector { u64 base, length; };

enum { FUTEX_OPERATION_WAIT = 0, FUTEX_OPERATION_WAKE = 1 };  // shared between processes

FS_INLINE i64 futex_wait(u32 *word, u32 expected, u64 nanoseconds) {
    struct kernel_time timeout;
    timeout.seconds = (i64)(nanoseconds / 1000000000u);
    timeout.nanoseconds = (i64)(nanoseconds % 1000000000u);
    return system_call(SYSTEM_CALL_FUTEX, (u64)word, FUTEX_OPERATION_WAIT, expected, (u64)&timeout, 0, 0);
}

FS_INLINE void futex_wake(u32 *word) {
    system_call(SYSTEM_CALL_FUTEX, (u64)word, FUTEX_OPERATION_WAKE, 0x7fffffff, 0, 0, 0);
}

FS_INLINE u64 kernel_clock(u32 clock) {
    struct kernel_time now;
    if (system_call(SYSTEM_CALL_CLOCK_GETTIME, clock, (u64)&now, 0, 0, 0, 0) != 0) return 0;
    return (u64)now.seconds * 1000000000u + (u64)now.nanoseconds;
}

// A zombie that leads its process still counts as there.
FS_INLINE int thread_is_gone(u32 thread) { return system_call(SYSTEM_CALL_TKILL, thread, 0, 0, 0, 0, 0) == -ESRCH; }

// How many words of arguments a program's context has.
FS_INLINE u64 argument_count(const u64 *ctx) { return ctx[FS_CTX_METADATA] & FS_CTX_COUNT_MASK; }

#endif
