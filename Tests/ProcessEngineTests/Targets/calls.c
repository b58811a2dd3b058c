// What the session tests trace: reads a command per line, calls the functions that it names, answers with a line.
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACED __attribute__((noinline, used, visibility("default")))
// The compiler can neither guess the value nor leave out what led to it.
#define OPAQUE(x) __asm__ volatile("" : "+r"(x) : : "memory")

long executed;            // how often the bodies below really ran
const char greeting[] = "hello from the target";
long *null_pointer;
char writable[16] = "before";

TRACED long add(long a, long b) {
    executed++;
    long sum = a + b;
    OPAQUE(sum);
    return sum;
}

TRACED long other(long a, long b) {
    executed++;
    long difference = a - b;
    OPAQUE(difference);
    return difference;
}

TRACED long many(long a, int b, unsigned char c, const char *d, long e, short f, long g, long h) {
    executed++;
    long sum = a + b + c + (long)strlen(d) + e + f + g + h;
    OPAQUE(sum);
    return sum;
}

TRACED void nothing(void) {
    executed++;
    OPAQUE(executed);
}

// 0 + 1 + … + n, a call each.
TRACED long down(long n) {
    if (n <= 0) return 0;
    long rest = down(n - 1);
    OPAQUE(rest);
    return rest + n;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside, released;

// Stays inside until it is released.
TRACED long stay(long n) {
    pthread_mutex_lock(&mutex);
    inside++;
    pthread_cond_broadcast(&changed);
    while (!released) pthread_cond_wait(&changed, &mutex);
    inside--;
    pthread_mutex_unlock(&mutex);
    OPAQUE(n);
    return n + 1;
}

static jmp_buf landing;

TRACED long leap(long n) {
    OPAQUE(n);
    if (n > 0) longjmp(landing, (int)n);
    return n;
}

TRACED __attribute__((noreturn)) void quit(int status) {
    OPAQUE(status);
    exit(status);
}

static void *stay_on_thread(void *n) { return (void *)stay((long)n); }

static long repeats;
static void *work_on_thread(void *number) {
    long wrong = 0;
    for (long i = 0; i < repeats; i++) {
        long depth = ((long)number + i) % 7;
        if (down(depth) != depth * (depth + 1) / 2) wrong++;
    }
    return (void *)wrong;
}

#define MOST 16

int main(void) {
    char line[256];
    pthread_t staying[MOST];
    int stays = 0;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long a = 0, b = 0;
        char name[32] = "";
        sscanf(line, "%31s %ld %ld", name, &a, &b);
        if (!strcmp(name, "add")) printf("%ld\n", add(a, b));
        else if (!strcmp(name, "other")) printf("%ld\n", other(a, b));
        else if (!strcmp(name, "many")) printf("%ld\n", many(1, -2, 3, "four", 5, -6, 7, 8));
        else if (!strcmp(name, "nothing")) nothing(), puts("done");
        else if (!strcmp(name, "down")) printf("%ld\n", down(a));
        else if (!strcmp(name, "executed")) printf("%ld\n", executed);
        else if (!strcmp(name, "writable")) printf("%s\n", writable);
        else if (!strcmp(name, "quit")) quit((int)a);
        else if (!strcmp(name, "leap")) {
            int from = setjmp(landing);
            if (from == 0) printf("returned %ld\n", leap(a));
            else printf("leapt %d\n", from);
        } else if (!strcmp(name, "threads")) {
            pthread_t threads[MOST];
            long wrong = 0;
            repeats = b;
            for (long i = 0; i < a && i < MOST; i++) pthread_create(&threads[i], 0, work_on_thread, (void *)i);
            for (long i = 0; i < a && i < MOST; i++) {
                void *result;
                pthread_join(threads[i], &result);
                wrong += (long)result;
            }
            printf("%ld wrong\n", wrong);
        } else if (!strcmp(name, "enter")) {
            pthread_mutex_lock(&mutex);
            released = 0;
            pthread_mutex_unlock(&mutex);
            for (stays = 0; stays < a && stays < MOST; stays++)
                pthread_create(&staying[stays], 0, stay_on_thread, (void *)(long)(stays * 10));
            pthread_mutex_lock(&mutex);
            while (inside < stays) pthread_cond_wait(&changed, &mutex);
            pthread_mutex_unlock(&mutex);
            printf("%d inside\n", stays);
        } else if (!strcmp(name, "leave")) {
            pthread_mutex_lock(&mutex);
            released = 1;
            pthread_cond_broadcast(&changed);
            pthread_mutex_unlock(&mutex);
            for (int i = 0; i < stays; i++) {
                void *result;
                pthread_join(staying[i], &result);
                printf("%s%ld", i ? " " : "", (long)result);
            }
            puts("");
        } else puts("?");
        fflush(stdout);
    }
    return 0;
}
