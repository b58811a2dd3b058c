// Memory that is made to keep fsession busy, or to blame another process.
// `forged empty`: a code region whose only record has no size. `names PID`: one that a living process is said to have made.
// `huge`: a terabyte of executable memory with nothing in it. `vast`: a region of that size. `nested`: records that each claim
// a million instructions. `stacks`: threads whose stack pointers lie in 64 MiB of memory each.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline, used, visibility("default"))) long touch(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

struct head { uint64_t magic; uint32_t version, controller; uint64_t start, used, size; };
struct record { uint32_t magic, kind, size, code, name, instructions, displaced, originals; uint64_t function; };

static uint64_t start_of(int process) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "r");
    size_t count = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[count] = 0;
    char *field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++) field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

static void *waits_far(void *memory) {
    // pause(), with the stack pointer at the beginning of the memory, from which everything up to its end is a stack.
    __asm__ volatile("mov %0, %%rsp\n1: mov $34, %%eax\nsyscall\njmp 1b" : : "r"(memory) : "rax", "rcx", "r11", "memory");
    return memory;
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    size_t size = strcmp(how, "huge") == 0 || strcmp(how, "vast") == 0 ? 1ull << 40 : strcmp(how, "nested") == 0 ? 64 << 20 : 1 << 20;
    if (strcmp(how, "stacks") == 0) {
        int file = memfd_create("one", 0);
        pthread_attr_t small;
        pthread_t thread;
        if (ftruncate(file, 64 << 20) != 0) return 4;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 1 << 15);
        for (int i = 0; i < 400; i++) {
            char *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            if (i == 0) memset(memory, 1, 64 << 20);
            if (memory == MAP_FAILED || pthread_create(&thread, &small, waits_far, memory) != 0) return 5;
        }
        sleep(1);
    }
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return 3;
    if (strcmp(how, "huge") != 0 && strcmp(how, "stacks") != 0) {
        int named = count > 2 ? atoi(arguments[2]) : 0;
        struct head head = { 0x4e4f495353455346ull, 1, (uint32_t)(named ? named : 4194000), named ? start_of(named) : 1, size, size };
        memcpy(memory, &head, sizeof head);
        struct record record = { .magic = 0x63657266, .kind = 3 };
        if (strcmp(how, "nested") == 0) {
            record.size = 64;
            record.instructions = 1 << 20;
            for (size_t i = 64; i + 64 <= size; i += 64) memcpy(memory + i, &record, sizeof record);
        } else {
            memcpy(memory + 64, &record, sizeof record);
        }
    }
    if (mprotect(memory, size, PROT_READ | PROT_EXEC) != 0) return 6;
    puts("ready");
    fflush(stdout);
    for (;;) touch(usleep(1000));
}
