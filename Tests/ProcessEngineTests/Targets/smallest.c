// Calls a traced function on the smallest thread, or on a stack that shows how much of it was used. A command per line.
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

TRACED long small(long a, long b) {
    long sum = a + b;
    __asm__ volatile("" : "+r"(sum) : : "memory");
    return sum;
}

// As many words as a context can have.
struct words { long word[60]; };
TRACED long wide(struct words words) {
    long sum = words.word[0] + words.word[59];
    __asm__ volatile("" : "+r"(sum) : : "memory");
    return sum;
}

static char *before;

static void *call_small(void *ignored) {
    (void)ignored;
    before = __builtin_frame_address(0);
    return (void *)small(40, 2);
}

static void *call_wide(void *ignored) {
    (void)ignored;
    struct words words;
    memset(&words, 0, sizeof words);
    words.word[0] = 40;
    words.word[59] = 2;
    // Above the words that are passed.
    __asm__ volatile("mov %%rsp, %0" : "=r"(before));
    return (void *)wide(words);
}

static long run(pthread_attr_t *attributes, void *(*body)(void *)) {
    pthread_t thread;
    void *result = 0;
    if (pthread_create(&thread, attributes, body, 0) != 0) return -1;
    pthread_join(thread, &result);
    return (long)result;
}

int main(void) {
    char line[64];
    enum { SIZE = 256 << 10 };
    char *stack = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        if (!strncmp(line, "smallest", 8)) {
            pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
            printf("%ld\n", run(&attributes, call_small));
        } else {
            // Once before, for what happens at a first call only.
            run(&attributes, strncmp(line, "wide", 4) ? call_small : call_wide);
            memset(stack, 0x5a, SIZE);
            pthread_attr_setstack(&attributes, stack, SIZE);
            long result = run(&attributes, strncmp(line, "wide", 4) ? call_small : call_wide);
            char *lowest = stack;
            while (*lowest == 0x5a) lowest++;
            printf("%ld %ld\n", result, (long)(before - lowest));
        }
        pthread_attr_destroy(&attributes);
        fflush(stdout);
    }
    return 0;
}
