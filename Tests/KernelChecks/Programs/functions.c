// Functions with the names and the prototypes of the kernel's test functions, in a process: the checks are made here, too.
// Reads a command per line and answers with a line.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))
// The compiler can neither guess the value nor leave out what led to it.
#define OPAQUE(x) __asm__ volatile("" : "+r"(x) : : "memory")

TRACED int bpf_fentry_test1(int a) { OPAQUE(a); return a + 1; }
TRACED int bpf_fentry_test2(int a, uint64_t b) { OPAQUE(a); return a + b; }
TRACED int bpf_fentry_test3(char a, int b, uint64_t c) { OPAQUE(b); return a + b + c; }
TRACED int bpf_fentry_test4(void *a, char b, int c, uint64_t d) { OPAQUE(c); return (long)a + b + c + d; }

TRACED int bpf_modify_return_test(int a, int *b) {
    *b += 1;
    OPAQUE(a);
    return a + *b;
}

TRACED int hrtimer_nanosleep(long nanoseconds) {
    usleep(nanoseconds / 1000);
    return 0;
}

TRACED __attribute__((noreturn)) void do_exit(long code) { _exit(code); }

static int over;

static void *sleeper(void *number) {
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) hrtimer_nanosleep(1000000 + (long)number * 700000);
    return 0;
}

int main(void) {
    pthread_t sleepers[16];
    int count = 0;
    char line[64];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        uint32_t answer = 0;
        if (!strcmp(line, "fentry\n")) {
            if (bpf_fentry_test1(1) != 2 || bpf_fentry_test2(2, 3) != 5 || bpf_fentry_test3(4, 5, 6) != 15 ||
                bpf_fentry_test4((void *)7, 8, 9, 10) != 34)
                answer = 1;
        } else if (!strcmp(line, "modify\n")) {
            int b = 2;
            int result = bpf_modify_return_test(1, &b);
            // As BPF_PROG_TEST_RUN tells it: what was changed, and what was returned.
            answer = (uint32_t)(b != 2) << 16 | (uint16_t)result;
        } else if (!strncmp(line, "sleepers ", 9)) {
            __atomic_store_n(&over, 0, __ATOMIC_RELAXED);
            for (count = 0; count < atoi(line + 9) && count < 16; count++)
                pthread_create(&sleepers[count], 0, sleeper, (void *)(long)count);
        } else if (!strcmp(line, "wake\n")) {
            __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
            while (count > 0) pthread_join(sleepers[--count], 0);
        } else if (!strcmp(line, "exit\n")) {
            do_exit(0);
        }
        printf("%u\n", answer);
        fflush(stdout);
    }
    return 0;
}
