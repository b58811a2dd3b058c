// Threads that call functions all the time and check what they give. Reads a command per line:
// "calls" answers with how many rounds there were, "end" ends with status 0. Wrong results abort.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))
#define OPAQUE(x) __asm__ volatile("" : "+r"(x) : : "memory")

static atomic_long rounds;
static atomic_int ending;

// 0 + 1 + … + n, a call each.
TRACED long down(long n) {
    if (n <= 0) return 0;
    long rest = down(n - 1);
    OPAQUE(rest);
    return rest + n;
}

TRACED long add(long a, long b) {
    OPAQUE(a);
    return a + b;
}

TRACED long many(long a, int b, unsigned char c, const char *d, long e, short f, long g, long h) {
    OPAQUE(a);
    return a + b + c + (long)strlen(d) + e + f + g + h;
}

TRACED double half(double x, float y) {
    __asm__ volatile("" : "+x"(x));
    return x / 2 + (double)y;
}

struct pair {
    long a, b;
};

TRACED struct pair both(struct pair p) {
    OPAQUE(p.a);
    return (struct pair){ p.b, p.a };
}

TRACED void nothing(void) { __asm__ volatile(""); }

static void *work(void *unused) {
    long n = 0;

    (void)unused;
    while (!atomic_load_explicit(&ending, memory_order_relaxed)) {
        struct pair pair = both((struct pair){ n, ~n });

        if (down(n & 7) != (n & 7) * ((n & 7) + 1) / 2) abort();
        if (add(n, 2) != n + 2) abort();
        if (many(n, -2, 3, "four", 5, -6, 7, 8) != n + 19) abort();
        if (half((double)n, 0.5f) != (double)n / 2 + 0.5) abort();
        if (pair.a != ~n || pair.b != n) abort();
        nothing();
        atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
        n++;
        // Leaves something of the processors to those who attach.
        if (n % 32 == 0) usleep(100);
    }
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[64];
    int size = count > 1 ? atoi(arguments[1]) : 8;
    char line[64];

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < size && i < 64; i++) pthread_create(&threads[i], NULL, work, NULL);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "calls\n") == 0) printf("%ld\n", atomic_load(&rounds));
        if (strcmp(line, "end\n") == 0) break;
    }
    atomic_store(&ending, 1);
    for (int i = 0; i < size && i < 64; i++) pthread_join(threads[i], NULL);
    return 0;
}
