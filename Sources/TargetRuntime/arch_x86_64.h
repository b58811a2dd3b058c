// What is particular to x86-64: system calls, the clock, the thread block, compare-and-swap.
#ifndef FS_ARCH_X86_64_H
#define FS_ARCH_X86_64_H



enum {
    SYSTEM_CALL_CLONE = 56, SYSTEM_CALL_CLONE3 = 435,
    SYSTEM_CALL_GETPID = 39, SYSTEM_CALL_GETUID = 102, SYSTEM_CALL_GETGID = 104, SYSTEM_CALL_PRCTL = 157,
    SYSTEM_CALL_GETTID = 186, SYSTEM_CALL_TKILL = 200, SYSTEM_CALL_FUTEX = 202, SYSTEM_CALL_CLOCK_GETTIME = 228,
    SYSTEM_CALL_GETCPU = 309, SYSTEM_CALL_PROCESS_VM_READV = 310, SYSTEM_CALL_PROCESS_VM_WRITEV = 311, SYSTEM_CALL_SECCOMP = 317,
};

FS_INLINE i64 system_call(i64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    i64 result;
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

FS_INLINE u64 arch_counter(void) {
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

// A thread block starts with its own address. (`rdfsbase` would work without one, but takes 4 ns and more.)
FS_INLINE u64 arch_thread_pointer(void) {
    u64 base;
    __asm__ volatile("movq %%fs:0, %0" : "=r"(base));
    return base;
}

FS_INLINE u64 arch_stack_pointer(void) {
    u64 pointer;
    __asm__ volatile("movq %%rsp, %0" : "=r"(pointer));
    return pointer;
}

// One instruction: a signal handler comes before or after it.
FS_INLINE void arch_increment(u64 *word) { __asm__ volatile("incq %0" : "+m"(*word)); }

// `name` calls `function` with rbp, r10 and r11 as arguments and keeps every register but rax, r10 and r11.
#define ARCH_COUNT(name, function)                                                                           \
    static __attribute__((naked)) void name(void) {                                                          \
        __asm__("push %rdi; push %rsi; push %rdx; push %rcx; push %r8; push %r9\n"                           \
                "mov %rbp, %rdi; mov %r10, %rsi; mov %r11, %rdx\n"                                           \
                "call " #function "\n"                                                                       \
                "pop %r9; pop %r8; pop %rcx; pop %rdx; pop %rsi; pop %rdi\n"                                 \
                "ret");                                                                                      \
    }

// The 32-bit word at an offset from the thread pointer.
FS_INLINE u32 arch_thread_word(i64 offset) {
    u32 word;
    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(word) : "r"(offset));
    return word;
}

// CPU in bits 0–11, NUMA node above: the limit of the segment that the kernel keeps for its vdso's
// getcpu; false where there is none.
FS_INLINE int arch_cpu_and_node(u32 *result) {
    u32 limit = 0, selector = 15 * 8 + 3;
    int found;
    __asm__ volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(found) : "r"(selector));
    *result = limit;
    return found;
}

FS_INLINE int cas32(u32 *word, u32 expected, u32 desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

FS_INLINE int cas64(u64 *word, u64 expected, u64 desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

// Like cas64, as one instruction but without a lock: a signal handler, or whoever runs while this thread is stopped,
// comes before or after it; another processor may come in between.
FS_INLINE int swap_here(u64 *word, u64 expected, u64 desired) {
    int swapped;
    __asm__ volatile("cmpxchgq %3, %1"
                     : "=@ccz"(swapped), "+m"(*word), "+a"(expected)
                     : "r"(desired)
                     : "memory");
    return swapped;
}

// Two neighbouring words, 16-byte aligned.
FS_INLINE int cas128(u64 *words, u64 low, u64 high, u64 new_low, u64 new_high) {
    int swapped;
    __asm__ volatile("lock cmpxchg16b (%3)"
                     : "=@ccz"(swapped), "+a"(low), "+d"(high)
                     : "r"(words), "b"(new_low), "c"(new_high)
                     : "memory");
    return swapped;
}

FS_INLINE u64 add64(u64 *word, u64 amount) { return __atomic_fetch_add(word, amount, __ATOMIC_SEQ_CST); }
FS_INLINE u32 add32(u32 *word, u32 amount) { return __atomic_fetch_add(word, amount, __ATOMIC_SEQ_CST); }
FS_INLINE u32 exchange32(u32 *word, u32 value) { return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST); }

#endif
