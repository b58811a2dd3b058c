// Executes itself while it is attached to.
// `executes THREADS`: as soon as the main thread is traced the last of so many threads executes the program again.
// `executes stuck`: another process traces one of its threads and never takes its end: the exec never ends.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline, used, visibility("default"))) long touch(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

static char **all;
static volatile int idler;

static void *idle(void *unused) {
    idler = (int)syscall(SYS_gettid);
    for (;;) pause();
    return unused;
}

static int is_traced(void) {
    char text[2048];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    text[count < 0 ? 0 : count] = 0;
    const char *line = strstr(text, "TracerPid:");
    return line && atoi(line + 10) != 0;
}

static void *executes(void *unused) {
    while (!is_traced()) {}
    execv("/proc/self/exe", all);
    return unused;
}

int main(int count, char **arguments) {
    int number = count > 1 ? atoi(arguments[1]) : 0;
    pthread_attr_t small;
    pthread_t thread;
    all = arguments;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 15);
    if (number == 0) {
        pid_t self = getpid();
        pthread_create(&thread, &small, idle, NULL);
        while (!idler) usleep(1000);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (ptrace(PTRACE_SEIZE, idler, NULL, NULL) != 0) _exit(1);
            printf("ready\n");
            fflush(stdout);
            for (;;) pause();
        }
        (void)self;
        while (!is_traced()) {
            // The idler's tracer, not the main thread's.
            char path[64], text[2048];
            snprintf(path, sizeof path, "/proc/self/task/%d/status", idler);
            int file = open(path, O_RDONLY | O_CLOEXEC);
            ssize_t got = read(file, text, sizeof text - 1);
            close(file);
            text[got < 0 ? 0 : got] = 0;
            const char *line = strstr(text, "TracerPid:");
            if (line && atoi(line + 10) != 0) break;
            usleep(1000);
        }
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
        return 1;
    }
    for (int i = 0; i < number; i++) pthread_create(&thread, &small, idle, NULL);
    pthread_create(&thread, &small, executes, NULL);
    if (write(1, "ready\n", 6) < 0) return 1;
    for (;;) touch(usleep(1000));
}
