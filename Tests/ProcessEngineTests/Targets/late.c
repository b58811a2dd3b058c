// Loads libraries when it is told to. Reads a command per line and answers each with a line:
//
//     open PATH, new PATH     loads it, `new` into a namespace of its own; how many milliseconds that took, or what went wrong
//     call NAME               calls NAME(1) of each library that has it; the sum
//     close                   unloads the last one; 0 when that worked
//     churn PATH N            loads and unloads it N times; the sum of what its `step` gave
//     fork PATH               a child loads it; how many milliseconds that took
//     end                     ends
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *handles[16];
static int count;

// Patterns have to match something that is there already.
#define HERE(name) \
    __attribute__((noinline, used, aligned(16), visibility("default"))) long name(long n) { __asm__ volatile("" : "+r"(n)); return n + 1; }

HERE(large_here)
HERE(plug_here)
HERE(step_here)

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void load(const char *path, int is_new) {
    long start = milliseconds();
#ifdef LM_ID_NEWLM
    void *handle = is_new ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW) : dlopen(path, RTLD_NOW);
#else
    void *handle = is_new ? NULL : dlopen(path, RTLD_NOW);
#endif
    if (!handle || count == 16) {
        printf("%s\n", dlerror());
        return;
    }
    handles[count++] = handle;
    printf("%ld\n", milliseconds() - start);
}

static long call(void *handle, const char *name) {
    long (*function)(long) = (long (*)(long))dlsym(handle, name);
    return function ? function(1) : 0;
}

int main(void) {
    char line[512];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n")) {
        char *path = strchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        path = path ? path + 1 : line;
        if (strncmp(line, "open ", 5) == 0 || strncmp(line, "new ", 4) == 0) {
            load(path, line[0] == 'n');
        } else if (strncmp(line, "call ", 5) == 0) {
            long sum = 0;
            for (int i = 0; i < count; i++) sum += call(handles[i], path);
            printf("%ld\n", sum);
        } else if (strcmp(line, "close") == 0) {
            printf("%d\n", count > 0 ? dlclose(handles[--count]) : -1);
        } else if (strncmp(line, "churn ", 6) == 0) {
            char *rounds = strchr(path, ' ');
            long sum = 0;
            *rounds++ = 0;
            for (int i = atoi(rounds); i > 0; i--) {
                void *handle = dlopen(path, RTLD_NOW);
                if (!handle) continue;
                sum += call(handle, "step");
                dlclose(handle);
            }
            printf("%ld\n", sum);
        } else if (strncmp(line, "fork ", 5) == 0) {
            pid_t child = fork();
            int status = 0;
            if (child == 0) {
                load(path, 0);
                _exit(0);
            }
            waitpid(child, &status, 0);
            if (status) puts("the child has failed");
        } else {
            puts("?");
        }
    }
    return 0;
}
