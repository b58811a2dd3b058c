// A hostile target: a process that shares its file descriptors, and that nobody stops, puts an O_PATH descriptor of
// somebody else's file in the place of every descriptor that appears.
// `swapper FILE`: reads a line, calls a function, answers with how often that happened.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline, used, visibility("default"))) long touch(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

static volatile long *swapped;
static int prize;

static int swap(void *unused) {
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        for (int place = prize + 1; place < prize + 4; place++) {
            // What it puts there answers F_GETFL with O_PATH.
            int flags = (int)syscall(SYS_fcntl, place, F_GETFL);
            if (flags < 0 || flags & O_PATH) continue;
            if (syscall(SYS_dup2, prize, place) == place) ++*swapped;
        }
        // What nobody closes makes no room for the next.
        for (int place = prize + 1; place < prize + 4; place++) {
            static int seen[64];
            int flags = (int)syscall(SYS_fcntl, place, F_GETFL);
            if (flags >= 0 && flags & O_PATH && ++seen[place] > 20000) {
                seen[place] = 0;
                syscall(SYS_close, place);
            }
        }
    }
}

int main(int count, char **arguments) {
    char line[64];
    if (count < 2) return 2;
    swapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    prize = open(arguments[1], O_PATH);
    if (prize < 0 || swapped == MAP_FAILED) return 3;
    char *stack = malloc(1 << 16);
    if (clone(swap, stack + (1 << 16), CLONE_FILES | CLONE_VM | SIGCHLD, NULL) < 0) return 4;
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        touch(1);
        printf("%ld\n", *swapped);
        fflush(stdout);
    }
    return 0;
}
