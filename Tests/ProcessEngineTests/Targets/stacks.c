// Calls traced functions on every kind of stack: contexts (swapcontext), alternate signal stacks, the smallest threads,
// small stacks with a guard page below. Prints what came of it.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

TRACED long leaf(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

TRACED long many(long a, long b, long c, long d, long e, long f, long g, long h) {
    __asm__ volatile("" : "+r"(a));
    return a + b + c + d + e + f + g + h + leaf(a);
}

// ---- Contexts: two that switch to each other in the middle of traced calls.

static ucontext_t contexts[2], home;
static long switches, context_sum;

TRACED long yields(int from) {
    switches++;
    swapcontext(&contexts[from], &contexts[1 - from]);
    return from;
}

TRACED long context_work(int from, int rounds) {
    long sum = 0;
    for (int n = 0; n < rounds; n++) sum += yields(from) + leaf(n);
    return sum;
}

static void context_body(int from) { context_sum += context_work(from, 100); }

static void run_contexts(void) {
    static char stacks[2][64 << 10] __attribute__((aligned(64)));

    for (int n = 0; n < 2; n++) {
        getcontext(&contexts[n]);
        contexts[n].uc_stack.ss_sp = stacks[n];
        contexts[n].uc_stack.ss_size = sizeof stacks[n];
        contexts[n].uc_link = n == 0 ? &contexts[1] : &home;
        makecontext(&contexts[n], (void (*)(void))context_body, 1, n);
    }
    swapcontext(&home, &contexts[0]);
    printf("switches %ld sum %ld\n", switches, context_sum);
}

// ---- Alternate signal stacks of the usual size.

static volatile sig_atomic_t handled;
static sigjmp_buf out;

TRACED void in_handler(int signal) {
    (void)signal;
    handled += (int)leaf(0) + (many(1, 2, 3, 4, 5, 6, 7, 8) == 38);
}

TRACED void jumps_out(int signal) {
    (void)signal;
    handled += (int)leaf(1);
    siglongjmp(out, 1);
}

static void run_signal_stacks(void) {
    size_t size = (size_t)sysconf(_SC_SIGSTKSZ);
    stack_t stack = { .ss_sp = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
    struct sigaction action = { .sa_handler = in_handler, .sa_flags = SA_ONSTACK };
    unsigned char *below = stack.ss_sp;

    // What lies below the stack must not be touched.
    memset(below, 0x5a, 4096);
    stack.ss_sp = below + 4096;
    stack.ss_size = size;
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = jumps_out;
    sigaction(SIGUSR2, &action, NULL);
    for (int n = 0; n < 20; n++) {
        raise(SIGUSR1);
        if (sigsetjmp(out, 1) == 0) raise(SIGUSR2);
    }
    int touched = 0;
    for (int n = 0; n < 4096; n++) touched += below[n] != 0x5a;
    printf("handled %d touched %d\n", (int)handled, touched);
}

// ---- The smallest threads, many of them, which end at once.

TRACED void *small_thread(void *argument) { return (void *)leaf(many((long)argument, 1, 1, 1, 1, 1, 1, 1)); }

static void run_threads(void) {
    pthread_attr_t attributes;
    long sum = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    for (int round = 0; round < 40; round++) {
        pthread_t threads[5];
        for (long n = 0; n < 5; n++) pthread_create(&threads[n], &attributes, small_thread, (void *)n);
        for (int n = 0; n < 5; n++) {
            void *result = NULL;
            pthread_join(threads[n], &result);
            sum += (long)result;
        }
    }
    printf("threads %ld\n", sum);
}

// ---- A stack with `room` bytes above a page that cannot be touched: how much a traced call needs.

static sigjmp_buf overflow;
static volatile long deep_result;

static void overflowed(int signal) {
    (void)signal;
    siglongjmp(overflow, 1);
}

// Calls leaf(41) with the stack pointer at `top`.
long call_at(void *top);
__asm__(
    ".text\n"
    "call_at: push %rbp\n  mov %rsp, %rbp\n  mov %rdi, %rsp\n  mov $41, %edi\n  call leaf\n  leave\n  ret\n");

static void run_last_page(void) {
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = { .sa_handler = overflowed, .sa_flags = SA_ONSTACK };
    volatile long room = 16;

    mprotect(pages, 4096, PROT_NONE);
    sigaction(SIGSEGV, &action, NULL);
    // The smallest room in which the call works.
    if (sigsetjmp(overflow, 1) != 0) room += 16;
    deep_result = call_at(pages + 4096 + room);
    printf("last page %ld\n", deep_result);
    fprintf(stderr, "room %ld\n", room);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_contexts();
    run_signal_stacks();
    run_threads();
    run_last_page();
    return 6;
}
