// Calls a traced function from every kind of stack there is; reads a command per line and answers with the number
// of calls that it made.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline, used, visibility("default"))) long counted(long a) {
    __asm__ volatile("" : "+r"(a) : : "memory");
    return a + 1;
}

static void call(long times) {
    for (long i = 0; i < times; i++) counted(i);
}

static void *body(void *argument) {
    call((long)argument);
    return NULL;
}

static long threads(long count, long times) {
    static pthread_t ids[512];
    for (long i = 0; i < count; i++) pthread_create(&ids[i], NULL, body, (void *)times);
    for (long i = 0; i < count; i++) pthread_join(ids[i], NULL);
    return count * times;
}

// One after the other, at other addresses: more stacks than any table of them can hold.
static long stacks(long count, long times) {
    size_t size = 256 << 10;
    char *memory = mmap(NULL, size * (size_t)count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < count; i++) {
        pthread_t id;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, memory + size * (size_t)i, size);
        pthread_create(&id, &attributes, body, (void *)times);
        pthread_join(id, NULL);
        pthread_attr_destroy(&attributes);
    }
    munmap(memory, size * (size_t)count);
    return count * times;
}

// Children that run at the same time as their parent and each other.
static long forks(long count, long times, int raw) {
    for (long i = 0; i < count; i++) {
        pid_t child = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        if (child == 0) {
            call(times);
            syscall(SYS_exit_group, 0);
        }
    }
    call(times);
    while (wait(NULL) > 0) {}
    return (count + 1) * times;
}

static long vforks(long count, long times) {
    for (volatile long i = 0; i < count; i++) {
        if (vfork() == 0) {
            call(times);
            _exit(0);
        }
        call(times);
    }
    while (wait(NULL) > 0) {}
    return 2 * count * times;
}

static int shares_all(void *argument) {
    call((long)argument);
    return 0;
}

// Children in the same memory and with the same thread block as their parent, all at the same time.
static long clones(long count, long times) {
    size_t size = 1 << 20;
    char *memory = mmap(NULL, size * (size_t)count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < count; i++)
        clone(shares_all, memory + size * (size_t)(i + 1), CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, (void *)times);
    call(times);
    while (wait(NULL) > 0) {}
    munmap(memory, size * (size_t)count);
    return (count + 1) * times;
}

static volatile long handled;
static long in_handler;
static void handler(int number) {
    (void)number;
    call(in_handler);
    handled++;
}

// A handler that calls the function while the function is being called, on a stack of its own or not.
static long signals(long count, long times, int own_stack) {
    struct sigaction action;
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16, .ss_flags = 0};
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = own_stack ? SA_ONSTACK : 0;
    if (own_stack) sigaltstack(&stack, NULL);
    sigaction(SIGALRM, &action, NULL);
    handled = 0;
    in_handler = times;
    struct itimerval timer = {{0, 200}, {0, 200}}, none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
    long calls = 0;
    for (; handled < count; calls += 1000) call(1000);
    setitimer(ITIMER_REAL, &none, NULL);
    return calls + handled * times;
}

int main(void) {
    char line[100], what[20];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        long count = 0, times = 0, calls = -1;
        if (sscanf(line, "%19s %ld %ld", what, &count, &times) != 3) return 2;
        if (!strcmp(what, "threads")) calls = threads(count, times);
        if (!strcmp(what, "stacks")) calls = stacks(count, times);
        if (!strcmp(what, "forks")) calls = forks(count, times, 0);
        if (!strcmp(what, "raw-forks")) calls = forks(count, times, 1);
        if (!strcmp(what, "vforks")) calls = vforks(count, times);
        if (!strcmp(what, "clones")) calls = clones(count, times);
        if (!strcmp(what, "signals")) calls = signals(count, times, 0);
        if (!strcmp(what, "alternate")) calls = signals(count, times, 1);
        printf("%ld\n", calls);
    }
    return 0;
}
