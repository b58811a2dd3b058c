#define _GNU_SOURCE
#if defined(__x86_64__)
#include "TrampolineFunctions.h"

#include <immintrin.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

__m128 t_vector(__m128 a, __m128 b);
unsigned __int128 t_int128(uint64_t high, uint64_t low);
void t_untouched(void);
void t_keeps(void);
int t_throw(int value);

bool call_vector(void) {
    __m128 r = t_vector(_mm_set_ps(1, 2, 3, 4), _mm_set_ps(10, 20, 30, 40));
    float out[4];
    _mm_storeu_ps(out, r);
    return out[0] == 56 && out[1] == 39 && out[2] == 24 && out[3] == 11;
}

bool call_int128(void) {
    unsigned __int128 value = t_int128(0x1122334455667788, 0x99aabbccddeeff00);
    return (uint64_t)(value >> 64) == 0x1122334455667788 && (uint64_t)value == 0x99aabbccddeeff00;
}

int call_format_doubles(char *buffer, size_t size) {
    return t_format(buffer, size, "%d %.2f %s %.3f %c", 7, 1.25, "text", 2.5, 'x');
}

int call_format_many(char *buffer, size_t size) {
    return t_format(buffer, size, "%d %d %d %d %d %d %d %d %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %s",
                    1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, "end");
}

// --- Threads ---

static void *fibonacci_thread(void *number) { return (void *)t_fibonacci((int64_t)number); }

void call_fibonacci_in_threads(int threads, int64_t n, int64_t *results) {
    pthread_t all[64];
    for (int i = 0; i < threads; i++) pthread_create(&all[i], NULL, fibonacci_thread, (void *)n);
    for (int i = 0; i < threads; i++) {
        void *result;
        pthread_join(all[i], &result);
        results[i] = (int64_t)result;
    }
}

struct waiting {
    pthread_t thread;
    volatile int32_t *inside, *go;
    int64_t value;
};

static void *wait_thread(void *raw) {
    struct waiting *waiting = raw;
    waiting->value = t_wait(waiting->inside, waiting->go, waiting->value);
    return NULL;
}

void *call_wait_in_thread(volatile int32_t *inside, volatile int32_t *go, int64_t value) {
    struct waiting *waiting = malloc(sizeof *waiting);
    *waiting = (struct waiting){.inside = inside, .go = go, .value = value};
    pthread_create(&waiting->thread, NULL, wait_thread, waiting);
    return waiting;
}

int64_t join_wait(void *raw) {
    struct waiting *waiting = raw;
    pthread_join(waiting->thread, NULL);
    int64_t value = waiting->value;
    free(waiting);
    return value;
}

struct named {
    const char *name;
    const void *address;
};
#define NAMED(f) {#f, (const void *)f}

const void *t_address(const char *name) {
    static const struct named all[] = {
        NAMED(t_add), NAMED(t_subtract), NAMED(t_length), NAMED(t_store), NAMED(t_sum20), NAMED(t_small_sum),
        NAMED(t_large_sum), NAMED(t_huge_sum), NAMED(t_return_small), NAMED(t_return_large), NAMED(t_mix),
        NAMED(t_half), NAMED(t_long_double), NAMED(t_vector), NAMED(t_int128), NAMED(t_format), NAMED(t_depth),
        NAMED(t_fibonacci), NAMED(t_wait), NAMED(t_untouched), NAMED(t_keeps), NAMED(t_throw),
        NAMED(t_program), NAMED(t_session_program), NAMED(t_modify_program), NAMED(t_tail_program),
        NAMED(t_clobber_program), NAMED(t_quiet_program), NAMED(t_strict_session), NAMED(t_safe_copy),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i].name, name)) return all[i].address;
    return NULL;
}

const struct t_shape *t_shape_at(int index) { return t_shapes[index].name ? &t_shapes[index] : NULL; }

// --- Stacks that end ---

// In registers.S: on the stack `top`, which is the address of the last word but `room`, calls.
int64_t t_call_sum20_on(void *stack_pointer);
int64_t t_call_add_on(void *stack_pointer);

static int64_t on_ending_stack(int words, int64_t (*body)(void *)) {
    size_t size = 64 * 1024;
    char *stack = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return -1;
    mprotect(stack + size, 4096, PROT_NONE);
    int64_t result = body(stack + size - 8 * words);
    munmap(stack, size + 4096);
    return result;
}

int64_t call_sum20_at_end_of_stack(int words) { return on_ending_stack(words, t_call_sum20_on); }
int64_t call_add_at_end_of_stack(int words) { return on_ending_stack(words, t_call_add_on); }
#endif
