// Calls every function of entries.S with some numbers and prints what it gives: name | verdict | results.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct entry {
    int64_t (*function)(int64_t, int64_t, int64_t (*)(void));
    const char *name, *verdict;
};
extern const struct entry entries[];

static int64_t nothing(void) { return 5; }

// rcx counts for `loop` and `jrcxz`, rbx is what a function might fall behind on, rax what it may not touch.
static int64_t call(const struct entry *entry, int64_t a, int64_t b, int64_t counter)
{
    int64_t result = 17;
    int64_t kept = a ^ 0x55;

    __asm__ volatile(
        "mov %[kept], %%rbx\n\t"
        "call *%[function]\n\t"
        "sub %%rbx, %[kept]"
        : "+a"(result), "+D"(a), "+S"(b), [kept] "+r"(kept), "+c"(counter)
        : [function] "r"(entry->function), "d"(nothing)
        : "rbx", "r8", "r9", "r10", "r11", "memory", "cc");
    return result ^ kept << 40;
}

int main(void)
{
    static const int64_t inputs[][3] = { { 40, 2, 1 }, { 3, 7, 0 }, { -5, 1ll << 33, 9 }, { 0, 0, 2 } };

    // Not to be called like the others: data, parts of functions, and one whose argument is on the stack.
    for (const struct entry *entry = entries; entry->function; entry++) {
        printf("%s|%s|", entry->name, entry->verdict);
        for (int round = 0; round < 4 && !strstr("e_data e_inner e_middle", entry->name) && strncmp(entry->name, "own_", 4); round++) {
            // A `loop` that counts down from zero takes an eternity.
            int64_t counter = inputs[round][2] + (strcmp(entry->name, "e_loop_self") == 0);
            printf(" %lld", (long long)call(entry, inputs[round][0], inputs[round][1], counter));
        }
        printf("\n");
    }
    return 0;
}
