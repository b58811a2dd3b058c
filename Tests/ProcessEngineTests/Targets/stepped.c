// A call that `stepper` walks through. Reads a command per line: "go" makes the call between two system calls that
// `stepper` knows and answers with its result, the signals that came meanwhile, what was wrong, and the calls made;
// "end" ends.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))
#define COUNT(x) __asm__ volatile("incq %0" : "+m"(x))  // one instruction: a handler may come before or behind

static volatile long signals, wrong, leaves, outers;

TRACED long leaf(long n, double x) {
    COUNT(leaves);
    __asm__ volatile("" : "+r"(n), "+x"(x));
    return n + (long)x;
}

TRACED long outer(long n) {
    COUNT(outers);
    long sum = leaf(n, 1.5);
    __asm__ volatile("" : "+r"(sum));
    return sum;
}

static void handle(int signal) {
    (void)signal;
    COUNT(signals);
    if (leaf(signals, 3.5) != signals + 3) COUNT(wrong);
    if (outer(2) != 3) COUNT(wrong);
}

int main(void) {
    struct sigaction action = { .sa_handler = handle };
    char line[64];

    sigaction(SIGUSR1, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n")) {
        syscall(SYS_getppid);
        long result = outer(20);
        syscall(SYS_getpgrp);
        printf("%ld %ld %ld %ld %ld\n", result, signals, wrong, outers, leaves);
    }
    return 0;
}
