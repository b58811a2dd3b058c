// Calls outer, which calls inner, all the time; after SIGUSR1 inner reads from nowhere.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

static long *volatile place;
static long number = 5;

static void crash(int signal) {
    (void)signal;
    place = NULL;
}

TRACED long inner(long n) {
    long value = *place + n;
    __asm__ volatile("" : "+r"(value));
    return value;
}

TRACED long outer(long n) {
    long sum = inner(n);
    __asm__ volatile("" : "+r"(sum));
    return sum + 1;
}

int main(void) {
    place = &number;
    signal(SIGUSR1, crash);
    puts("ready");
    fflush(stdout);
    for (long n = 0;; n++) {
        if (outer(n) != n + 6) return 1;
        usleep(100);
    }
}
