// Makes threads and processes by `clone`, without thread blocks of their own; each calls a function with its real ids.
// `clones library`: by the C library's clone, on memory of their own; `frame`: on a part of their maker's stack;
// `raw`: by the instruction itself, on one stack after the other; `process`: processes in the same memory; `fork`: with a
// copy of it.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline, used, visibility("default"))) long tell(long thread, long process) {
    __asm__ volatile("" : "+r"(thread));
    return thread + process;
}

static volatile int over;

static inline long call(long number, long a, long b) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
}

static int child(void *unused) {
    (void)unused;
    for (int i = 0; i < 5; i++) tell(call(SYS_gettid, 0, 0), call(SYS_getpid, 0, 0));
    over = 1;
    return 0;
}

static void ends(void) {
    child(NULL);
    call(SYS_exit, 0, 0);
}

static void wait_for(int process) {
    if (process > 0) waitpid(process, NULL, __WALL);
    else while (!over) usleep(1000);
    usleep(20000);
    over = 0;
}

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "library";
    char *memory = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char frame[1 << 15] __attribute__((aligned(16)));
    memset(frame, 0, sizeof frame);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 5; i++) tell(call(SYS_gettid, 0, 0), call(SYS_getpid, 0, 0));
        char *top = strcmp(how, "frame") == 0 ? frame + sizeof frame : memory + (1 << 18);
        if (strcmp(how, "fork") == 0) {
            long process = syscall(SYS_fork);
            if (process == 0) ends();
            wait_for((int)process);
        } else if (strcmp(how, "process") == 0) {
            int process = clone(child, top, CLONE_VM | SIGCHLD, NULL);
            wait_for(process);
        } else if (strcmp(how, "raw") == 0) {
            // The child takes its first address off its new stack.
            void (**stack)(void) = (void (**)(void))(void *)(top - 24);
            *stack = ends;
            long result;
            register long r10 __asm__("r10") = 0;
            register long r8 __asm__("r8") = 0;
            __asm__ volatile("syscall\ntest %%rax, %%rax\njnz 1f\nxor %%ebp, %%ebp\nret\n1:"
                             : "=a"(result) : "0"(SYS_clone), "D"((long)THREAD), "S"(stack), "d"(0), "r"(r10), "r"(r8)
                             : "rcx", "r11", "memory");
            if (result < 0) return 3;
            wait_for(0);
        } else {
            if (clone(child, top, THREAD, NULL) < 0) return 4;
            wait_for(0);
        }
    }
    return 0;
}
