// What is particular to arm64. The atomics are written out: the compiler's would call helper
// functions outside the section ("outline atomics").
#ifndef FS_ARCH_ARM64_H
#define FS_ARCH_ARM64_H



enum {
    SYSTEM_CALL_CLONE = 220, SYSTEM_CALL_CLONE3 = 435,
    SYSTEM_CALL_FUTEX = 98, SYSTEM_CALL_CLOCK_GETTIME = 113, SYSTEM_CALL_TKILL = 130, SYSTEM_CALL_PRCTL = 167,
    SYSTEM_CALL_GETCPU = 168, SYSTEM_CALL_GETPID = 172, SYSTEM_CALL_GETUID = 174, SYSTEM_CALL_GETGID = 176,
    SYSTEM_CALL_GETTID = 178, SYSTEM_CALL_PROCESS_VM_READV = 270, SYSTEM_CALL_PROCESS_VM_WRITEV = 271, SYSTEM_CALL_SECCOMP = 277,
};

FS_INLINE i64 system_call(i64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    register i64 x8 __asm__("x8") = number;
    register u64 x0 __asm__("x0") = a;
    register u64 x1 __asm__("x1") = b;
    register u64 x2 __asm__("x2") = c;
    register u64 x3 __asm__("x3") = d;
    register u64 x4 __asm__("x4") = e;
    register u64 x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return (i64)x0;
}

FS_INLINE u64 arch_counter(void) {
    u64 count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

FS_INLINE u64 arch_thread_pointer(void) {
    u64 base;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(base));
    return base;
}

FS_INLINE u64 arch_stack_pointer(void) {
    u64 pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

// There is no trampoline that counts in lanes.
#define arch_increment(word) add64(word, 1)
#define ARCH_COUNT(name, function) \
    static void name(void) {}

FS_INLINE u32 arch_thread_word(i64 offset) {
    u64 base;
    u32 word;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(base));
    __asm__ volatile("ldr %w0, [%1]" : "=r"(word) : "r"(base + (u64)offset) : "memory");
    return word;
}

FS_INLINE int arch_cpu_and_node(u32 *result) {
    *result = 0;
    return 0;
}

FS_INLINE int cas32(u32 *word, u32 expected, u32 desired) {
    u32 seen, failed;
    __asm__ volatile("1: ldaxr %w0, [%2]\n"
                     "   cmp %w0, %w3\n"
                     "   b.ne 2f\n"
                     "   stlxr %w1, %w4, [%2]\n"
                     "   cbnz %w1, 1b\n"
                     "2: dmb ish"
                     : "=&r"(seen), "=&r"(failed)
                     : "r"(word), "r"(expected), "r"(desired)
                     : "memory", "cc");
    return seen == expected;
}

FS_INLINE int cas64(u64 *word, u64 expected, u64 desired) {
    u64 seen;
    u32 failed;
    __asm__ volatile("1: ldaxr %0, [%2]\n"
                     "   cmp %0, %3\n"
                     "   b.ne 2f\n"
                     "   stlxr %w1, %4, [%2]\n"
                     "   cbnz %w1, 1b\n"
                     "2: dmb ish"
                     : "=&r"(seen), "=&r"(failed)
                     : "r"(word), "r"(expected), "r"(desired)
                     : "memory", "cc");
    return seen == expected;
}

FS_INLINE int swap_here(u64 *word, u64 expected, u64 desired) { return cas64(word, expected, desired); }

// A pair is only read atomically once the store has succeeded, so what differs is stored back.
FS_INLINE int cas128(u64 *words, u64 low, u64 high, u64 new_low, u64 new_high) {
    u64 seen_low, seen_high, store_low, store_high;
    u32 failed;
    __asm__ volatile("1: ldaxp %0, %1, [%5]\n"
                     "   cmp %0, %6\n"
                     "   ccmp %1, %7, #0, eq\n"
                     "   csel %2, %8, %0, eq\n"
                     "   csel %3, %9, %1, eq\n"
                     "   stlxp %w4, %2, %3, [%5]\n"
                     "   cbnz %w4, 1b\n"
                     "   dmb ish"
                     : "=&r"(seen_low), "=&r"(seen_high), "=&r"(store_low), "=&r"(store_high), "=&r"(failed)
                     : "r"(words), "r"(low), "r"(high), "r"(new_low), "r"(new_high)
                     : "memory", "cc");
    return seen_low == low && seen_high == high;
}

FS_INLINE u64 add64(u64 *word, u64 amount) {
    for (;;) {
        u64 old = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (cas64(word, old, old + amount)) return old;
    }
}

FS_INLINE u32 add32(u32 *word, u32 amount) {
    for (;;) {
        u32 old = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (cas32(word, old, old + amount)) return old;
    }
}

FS_INLINE u32 exchange32(u32 *word, u32 value) {
    for (;;) {
        u32 old = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (cas32(word, old, value)) return old;
    }
}

#endif
