// The functions to trace. Each is called from another file only, so that the compiler cannot know them.
#if defined(__x86_64__)
#include "TrampolineFunctions.h"

#include <immintrin.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t t_add(int64_t a, int64_t b) { return a + b; }
int64_t t_subtract(int64_t a, int64_t b) { return a - b; }

size_t t_length(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

void t_store(int64_t *where, int64_t value) { *where = value; }

int64_t t_sum20(int64_t a1, int64_t a2, int64_t a3, int64_t a4, int64_t a5, int64_t a6, int64_t a7,
                int64_t a8, int64_t a9, int64_t a10, int64_t a11, int64_t a12, int64_t a13, int64_t a14,
                int64_t a15, int64_t a16, int64_t a17, int64_t a18, int64_t a19, int64_t a20) {
    int64_t all[] = {a1,  a2,  a3,  a4,  a5,  a6,  a7,  a8,  a9,  a10,
                     a11, a12, a13, a14, a15, a16, a17, a18, a19, a20};
    int64_t sum = 0;
    for (int i = 0; i < 20; i++) sum = sum * 3 + all[i];
    return sum;
}

int64_t t_small_sum(struct t_small value, int64_t factor) { return (value.a + value.b) * factor; }

int64_t t_large_sum(struct t_large value, int64_t factor) {
    int64_t sum = 0;
    for (int i = 0; i < 5; i++) sum = sum * 7 + value.values[i];
    return sum * factor;
}

int64_t t_huge_sum(struct t_huge value, int64_t factor) {
    int64_t sum = 0;
    for (int i = 0; i < 600; i++) sum = sum * 7 + value.values[i];
    return sum * factor;
}

struct t_small t_return_small(int64_t a, int32_t b) {
    struct t_small result = {a * 2, b * 3};
    return result;
}

struct t_large t_return_large(int64_t first) {
    struct t_large result;
    for (int i = 0; i < 5; i++) result.values[i] = first + i;
    return result;
}

double t_mix(double a, float b, int64_t c, double d) { return a * 1000 + b * 100 + (double)c * 10 + d; }
float t_half(float a) { return a * 0.5f; }

long double t_long_double(long double a, int64_t b, long double c) { return a * (long double)b + c; }

__m128 t_vector(__m128 a, __m128 b) { return _mm_add_ps(_mm_mul_ps(a, a), b); }

unsigned __int128 t_int128(uint64_t high, uint64_t low) { return (unsigned __int128)high << 64 | low; }

int t_format(char *buffer, size_t size, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(buffer, size, format, list);
    va_end(list);
    return n;
}

// Recursion goes through the symbol, as between modules.
int64_t (*volatile t_depth_pointer)(int64_t) = t_depth;
int64_t (*volatile t_fibonacci_pointer)(int64_t) = t_fibonacci;

int64_t t_depth(int64_t n) { return n == 0 ? 0 : 1 + t_depth_pointer(n - 1); }

int64_t t_fibonacci(int64_t n) {
    return n < 2 ? n : t_fibonacci_pointer(n - 1) + t_fibonacci_pointer(n - 2);
}

int64_t t_wait(volatile int32_t *inside, volatile int32_t *go, int64_t value) {
    __atomic_add_fetch(inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(go, __ATOMIC_SEQ_CST)) __builtin_ia32_pause();
    return value + 1;
}
#endif
