// What somebody else may do to a traced process, on command; each answers with a line:
//   bytes   the first bytes of `victim`, in hexadecimal
//   call    calls it
//   hook    puts an inline hook of its own on it, which goes on by a copy of the five bytes that it found
//   memory, code, all   unmaps fsession's shared memory, its code, or both
//   load    begins to load and unload the library that is the first argument, over and over, in a thread; another one sleeps
//           in the traced function `sleeper`
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

TRACED long victim(long n) {
    __asm__ volatile("nop; nop; nop; nop; nop; nop" : "+r"(n));
    return n * 2 + 1;
}

TRACED long sleeper(long n) {
    sleep((unsigned)n);
    __asm__ volatile("" : "+r"(n));
    return n;
}

// Not taken by code, which would keep it from being traced.
static uint8_t *volatile address_of_victim = (uint8_t *)(void *)&victim;
static long hooked;
static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

// mov $hooked, %rax; incq (%rax); then the five bytes, a jump among them made to lead to where it led; then on.
static int hook(void) {
    uint8_t *place = address_of_victim;
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *to = page;
    uint64_t counter = (uint64_t)(uintptr_t)&hooked, next = (uint64_t)(uintptr_t)place + 5;
    if (page == MAP_FAILED) return 1;
    memcpy(to, "\x48\xb8", 2); memcpy(to + 2, &counter, 8); to += 10;
    memcpy(to, "\x48\xff\x00", 3); to += 3;
    if (*place == 0xe9) {
        int32_t distance;
        memcpy(&distance, place + 1, 4);
        next += (uint64_t)(int64_t)distance;
    } else {
        memcpy(to, place, 5);
        to += 5;
    }
    memcpy(to, "\xff\x25\0\0\0\0", 6); memcpy(to + 6, &next, 8);
    // The entry itself: five bytes, by a jump table near it.
    uint8_t *near = mmap((void *)(((uintptr_t)place & ~0xfffull) + (64 << 20)), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t code = (uint64_t)(uintptr_t)page;
    memcpy(near, "\xff\x25\0\0\0\0", 6); memcpy(near + 6, &code, 8);
    int64_t away = near - (place + 5);
    int32_t distance = (int32_t)away;
    if (near == MAP_FAILED || away != distance) return 2;
    if (mprotect((void *)((uintptr_t)place & ~0xfffull), 8192, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return 3;
    place[0] = 0xe9;
    memcpy(place + 1, &distance, 4);
    return 0;
}

static int unmap(int memory, int code) {
    char line[512];
    uintptr_t starts[64], ends[64];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && count < 64 && fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset, inode;
        char permissions[8], device[16], path[256] = "";
        sscanf(line, "%lx-%lx %7s %lx %15s %lu %255s", &start, &end, permissions, &offset, device, &inode, path);
        int isMemory = strncmp(path, "/memfd:fsession", 15) == 0;
        int isCode = path[0] == 0 && strcmp(permissions, "r-xp") == 0;
        if (!(memory && isMemory) && !(code && isCode)) continue;
        starts[count] = start;
        ends[count++] = end;
    }
    if (maps) fclose(maps);
    for (int i = 0; i < count; i++) munmap((void *)starts[i], ends[i] - starts[i]);
    return count;
}

static const char *library;
static void *loads(void *unused) {
    for (;;) {
        void *handle = dlopen(library, RTLD_NOW);
        if (handle) dlclose(handle);
    }
    return unused;
}
static void *sleeps(void *unused) {
    sleeper(4);
    return unused;
}

int main(int count, char **arguments) {
    char line[64], answer[64];
    pthread_t thread;
    library = count > 1 ? arguments[1] : "libm.so.6";
    say("ready");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "bytes") == 0) {
            for (int i = 0; i < 16; i++) sprintf(answer + 2 * i, "%02x", (address_of_victim)[i]);
        } else if (strcmp(line, "call") == 0) {
            sprintf(answer, "%ld", victim(20));
        } else if (strcmp(line, "hooked") == 0) {
            sprintf(answer, "%ld", hooked);
        } else if (strcmp(line, "hook") == 0) {
            sprintf(answer, "%d", hook());
        } else if (strcmp(line, "load") == 0) {
            pthread_create(&thread, NULL, sleeps, NULL);
            pthread_create(&thread, NULL, loads, NULL);
            usleep(300000);
            strcpy(answer, "0");
        } else {
            int all = strcmp(line, "all") == 0;
            sprintf(answer, "%d", unmap(all || strcmp(line, "memory") == 0, all || strcmp(line, "code") == 0) > 0 ? 0 : 1);
        }
        say(answer);
    }
    return 0;
}
