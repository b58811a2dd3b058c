// stepper PID: walks the process instruction by instruction from its getppid to its getpgrp, and delivers SIGUSR1 at
// each of them, twice at those of a loop: a loop that waits for its turn (compare and swap) would never end if a handler
// that takes its turn came all the time. Prints how many instructions and signals there were, or what went wrong.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

static pid_t pid;

static void fail(const char *what, int status) {
    printf("%s: status %x, %s\n", what, status, strerror(errno));
    exit(1);
}

static struct user_regs_struct registers(void) {
    struct user_regs_struct registers;

    if (ptrace(PTRACE_GETREGS, pid, 0, &registers) != 0) fail("GETREGS", 0);
    return registers;
}

// Goes on to the next stop and gives its signal.
static int go(int request, int signal) {
    int status = 0;

    if (ptrace(request, pid, 0, signal) != 0) fail("go", signal);
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) fail("ended", status);
    return WSTOPSIG(status);
}

// To the exit of a system call.
static void pass(unsigned long number) {
    for (int is_inside = 0;;) {
        int signal = go(PTRACE_SYSCALL, 0);
        if (signal != (SIGTRAP | 0x80)) fail("stop", signal);
        if (is_inside) return;
        is_inside = registers().orig_rax == number;
        if (!is_inside) go(PTRACE_SYSCALL, 0);
    }
}

// How often the process has been at an instruction, this time included.
static int visits(unsigned long place) {
    static struct { unsigned long place; int count; } seen[1 << 16];
    unsigned long slot = place * 0x9e3779b97f4a7c15 >> 48;

    while (seen[slot].place && seen[slot].place != place) slot = (slot + 1) & 0xffff;
    seen[slot].place = place;
    return ++seen[slot].count;
}

int main(int count, char **arguments) {
    long steps = 0, signals = 0;

    if (count != 2) return 2;
    pid = atoi(arguments[1]);
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) != 0) fail("SEIZE", 0);
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, NULL, __WALL);
    puts("ready");
    fflush(stdout);
    // What the process waits in is started again.
    pass(SYS_getppid);
    for (;; steps++) {
        struct user_regs_struct before = registers();
        long code = ptrace(PTRACE_PEEKTEXT, pid, before.rip, 0);

        if ((code & 0xffff) == 0x050f && before.rax == SYS_getpgrp) break;
        int signal = 0;
        if (visits(before.rip) > 2) {
            if ((signal = go(PTRACE_SINGLESTEP, 0)) != SIGTRAP) fail("step", signal);
            continue;
        }
        // The handler, to its end.
        signals++;
        signal = go(PTRACE_SYSCALL, SIGUSR1);
        // From the exit of a system call the signal is sent, not delivered.
        if (signal == SIGUSR1) signal = go(PTRACE_SYSCALL, SIGUSR1);
        while (signal == (SIGTRAP | 0x80) && registers().orig_rax != SYS_rt_sigreturn) {
            go(PTRACE_SYSCALL, 0);
            signal = go(PTRACE_SYSCALL, 0);
        }
        if (signal != (SIGTRAP | 0x80)) fail("handler", signal);
        go(PTRACE_SYSCALL, 0);
        struct user_regs_struct after = registers();
        if (after.rip != before.rip || after.rsp != before.rsp || after.rax != before.rax) fail("registers", 0);
        signal = go(PTRACE_SINGLESTEP, 0);
        if (signal != SIGTRAP) fail("step", signal);
    }
    if (ptrace(PTRACE_DETACH, pid, 0, 0) != 0) fail("DETACH", 0);
    printf("%ld %ld\n", steps, signals);
    return 0;
}
