// Measures what a call costs while something traces it, beside the same call untraced, in one process.
//
//     calls [-t THREADS] [-n CALLS] [-r ROUNDS] [-p PAUSE] [-R RATE] plain
//     calls [...] uprobe                 the kernel's uprobe and uretprobe on the function
//     calls [...] with COMMAND ARGS…     COMMAND ARGS… -p PID, until terminated
//     calls [...] parts                  no call: two rdtsc, and two lock inc, in loops of their own
//
// Untraced and traced rounds alternate. Each thread makes CALLS calls in a round, and its own processor
// time is taken, so that neither other programs nor threads waiting for a processor count. A round is the
// mean of the threads. The result is the least of all rounds with one thread; with several it is the median,
// as rounds in which the threads happened to run one after the other would show no contention. PAUSE is a
// sleep between rounds, in milliseconds, for a reader of events to catch up. RATE is how many calls a second all
// threads together make at most; 0: as many as they can. Prints "UNTRACED TRACED" in
// nanoseconds per call, only the first with `plain`, and "TWO-RDTSC TWO-LOCK-INC" with `parts`.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { entry_bytes = 16, most_threads = 64, most_rounds = 100, alternations = 2 };

// The function. A prototype with two arguments; a few instructions more than a trampoline displaces.
__attribute__((noinline)) long work(long a, long b)
{
    __asm__ volatile("" : "+r"(a), "+r"(b));
    return (a * 3) ^ (b + 7);
}

static int threads = 1, rounds = 8, pause_ms;
static long calls = 1000000;
static double rate;
static volatile int finished;
static pthread_barrier_t barrier;
static double results[most_threads];

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    _exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

__attribute__((noinline)) static void make_calls(int index)
{
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    long value = index;
    if (rate > 0) {
        // A thousand calls, then a wait for their time to be over.
        double begin = seconds(CLOCK_MONOTONIC), step = 1000.0 * threads / rate;
        for (long done = 0; done < calls; done += 1000) {
            while (seconds(CLOCK_MONOTONIC) < begin + (double)(done / 1000) * step) {}
            for (long i = 0; i < 1000; i++)
                value = work(value, i);
        }
    } else {
        for (long i = 0; i < calls; i++)
            value = work(value, i);
    }
    results[index] = (seconds(CLOCK_THREAD_CPUTIME_ID) - start) * 1e9 / (double)calls;
    __asm__ volatile("" : : "r"(value));
}

/// What a trampoline cannot do without, or does: nanoseconds for two of each, the least of all rounds.
static void measure_parts(double *clocks, double *counters)
{
    static uint64_t entered, returned;
    *clocks = *counters = 1e9;
    for (int round = 0; round < rounds; round++) {
        double start = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (long i = 0; i < calls; i++)
            __asm__ volatile("rdtsc\n\trdtsc" : : : "rax", "rdx");
        double middle = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (long i = 0; i < calls; i++)
            __asm__ volatile("lock incq %0\n\tlock incq %1" : "+m"(entered), "+m"(returned));
        double end = seconds(CLOCK_THREAD_CPUTIME_ID);
        double a = (middle - start) * 1e9 / (double)calls, b = (end - middle) * 1e9 / (double)calls;
        *clocks = a < *clocks ? a : *clocks;
        *counters = b < *counters ? b : *counters;
    }
}

static void *body(void *argument)
{
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (finished)
            return NULL;
        make_calls((int)(intptr_t)argument);
        pthread_barrier_wait(&barrier);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/// Rounds of one kind.
struct series {
    double values[most_rounds * (alternations + 1)];
    int count;
};

static void measure(struct series *series)
{
    for (int round = 0; round < rounds; round++) {
        if (pause_ms)
            usleep((useconds_t)pause_ms * 1000);
        pthread_barrier_wait(&barrier);
        make_calls(0);
        pthread_barrier_wait(&barrier);
        double sum = 0;
        for (int i = 0; i < threads; i++)
            sum += results[i];
        series->values[series->count++] = sum / threads;
    }
}

static double result(struct series *series)
{
    qsort(series->values, (size_t)series->count, sizeof series->values[0], compare);
    return series->values[threads == 1 ? 0 : series->count / 2];
}

/// Starts the command with `-p PID` behind it and waits until it has changed the function's entry.
static pid_t attach(char **command)
{
    unsigned char before[entry_bytes];
    volatile unsigned char *entry = (volatile unsigned char *)(uintptr_t)work;
    for (int i = 0; i < entry_bytes; i++)
        before[i] = entry[i];

    char target[16];
    snprintf(target, sizeof target, "%d", (int)getpid());
    int words = 0;
    while (command[words])
        words++;
    char **arguments = calloc((size_t)words + 3, sizeof *arguments);
    if (!arguments)
        fail("no memory");
    memcpy(arguments, command, (size_t)words * sizeof *arguments);
    arguments[words] = "-p";
    arguments[words + 1] = target;
    pid_t tracer = fork();
    if (tracer == 0) {
        execvp(arguments[0], arguments);
        fail("%s: %s", arguments[0], strerror(errno));
    }
    free(arguments);
    if (tracer < 0)
        fail("fork: %s", strerror(errno));
    for (double start = seconds(CLOCK_MONOTONIC); seconds(CLOCK_MONOTONIC) < start + 20;) {
        for (int i = 0; i < entry_bytes; i++) {
            if (entry[i] != before[i]) {
                usleep(20000);  // the tracer goes on to read events
                return tracer;
            }
        }
        if (waitpid(tracer, NULL, WNOHANG) == tracer)
            fail("%s ended without attaching", command[0]);
        usleep(2000);
    }
    kill(tracer, SIGKILL);
    fail("%s did not attach within 20 s", command[0]);
}

static void detach(pid_t tracer)
{
    int status = 0;
    kill(tracer, SIGTERM);  // SIGINT is ignored in what a shell runs in the background
    for (double start = seconds(CLOCK_MONOTONIC); waitpid(tracer, &status, WNOHANG) != tracer; usleep(2000)) {
        if (seconds(CLOCK_MONOTONIC) > start + 20) {
            kill(tracer, SIGKILL);
            fail("the tracer did not detach within 20 s");
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail("the tracer ended with status %#x", (unsigned)status);
}

/// A perf event of the uprobe device on the function, for this process and its threads to come; -1 if refused.
static int open_uprobe(int is_return)
{
    FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
    int type = 0;
    if (!file || fscanf(file, "%d", &type) != 1)
        return -1;
    fclose(file);

    // The function's place in the file, from the mapping it lies in.
    char path[4096] = "", line[4200];
    uint64_t offset = 0;
    file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t start, end, from;
        char name[4096] = "";
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &start, &end, &from, name) < 3)
            continue;
        uint64_t address = (uint64_t)(uintptr_t)work;
        if (address >= start && address < end) {
            memcpy(path, name, sizeof path);
            offset = address - start + from;
        }
    }
    if (file)
        fclose(file);

    struct perf_event_attr attributes = {
        .type = (uint32_t)type,
        .size = sizeof attributes,
        .config = is_return ? 1 : 0,
        .uprobe_path = (uint64_t)(uintptr_t)path,
        .probe_offset = offset,
        .inherit = 1,
        .disabled = 0,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, getpid(), -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "+t:n:r:p:R:")) != -1) {
        switch (option) {
        case 't': threads = atoi(optarg); break;
        case 'n': calls = atol(optarg); break;
        case 'r': rounds = atoi(optarg); break;
        case 'p': pause_ms = atoi(optarg); break;
        case 'R': rate = atof(optarg); break;
        default: return 2;
        }
    }
    if (optind >= argc || threads < 1 || threads > most_threads || calls < 1 || rounds < 1 || rounds > most_rounds)
        return 2;
    const char *mode = argv[optind];
    if (strcmp(mode, "parts") == 0) {
        double clocks, counters;
        measure_parts(&clocks, &counters);
        printf("%.2f %.2f\n", clocks, counters);
        return 0;
    }

    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // a child may trace us under Yama, too
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    pthread_t identifiers[most_threads];
    for (int i = 1; i < threads; i++)
        pthread_create(&identifiers[i], NULL, body, (void *)(intptr_t)i);

    static struct series untraced, traced;
    measure(&untraced);
    for (int i = 0; i < alternations && strcmp(mode, "plain") != 0; i++) {
        if (strcmp(mode, "uprobe") == 0) {
            int entry = open_uprobe(0);
            int exit = entry < 0 ? -1 : open_uprobe(1);
            if (exit < 0)
                fail("perf_event_open of a uprobe: %s", strerror(errno));
            measure(&traced);
            close(entry);
            close(exit);
        } else {
            pid_t tracer = attach(argv + optind + 1);
            measure(&traced);
            detach(tracer);
        }
        measure(&untraced);
    }

    finished = 1;
    if (threads > 1)
        pthread_barrier_wait(&barrier);
    for (int i = 1; i < threads; i++)
        pthread_join(identifiers[i], NULL);
    if (strcmp(mode, "plain") == 0)
        printf("%.2f\n", result(&untraced));
    else
        printf("%.2f %.2f\n", result(&untraced), result(&traced));
    return 0;
}
