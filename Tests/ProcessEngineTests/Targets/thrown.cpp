// Throws through functions all the time, on four threads, and, when told to, out of a call that has waited for long.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define TRACED extern "C" __attribute__((noinline, used, visibility("default")))
#define KEEP(x) __asm__ volatile("" : "+r"(x))

static sem_t inside, release_it, left;
static int stays, caught_of_waiting;
static bool over;

TRACED long odd_ones(long n) { if (n % 2) throw n; return n; }
TRACED long middle(long n) { long result = odd_ones(n); KEEP(result); return result + 1; }
TRACED long catches(long n) { try { return middle(n); } catch (long thrown) { return -thrown; } }

TRACED long waits(long n) {
    sem_post(&inside);
    while (sem_wait(&release_it)) {}
    if (n) throw n;
    return n;
}
TRACED long around(long n) { long result = waits(n); KEEP(result); return result + 1; }

static void *spin(void *) {
    for (long i = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED); i++) {
        long result = catches(i);
        if (result != (i % 2 ? -i : i + 1)) abort();
    }
    return nullptr;
}

static void *wait(void *) {
    try { around(++stays); } catch (long) { __atomic_fetch_add(&caught_of_waiting, 1, __ATOMIC_SEQ_CST); }
    sem_post(&left);
    return nullptr;
}

// Addresses inside the first instructions of what finds frames, as a thread has them that a signal interrupted there.
static __attribute__((noinline)) void point_into_finder(volatile unsigned long *words) {
    void *library = dlopen("libgcc_s.so.1", RTLD_NOW);
    char *finder = static_cast<char *>(dlsym(library, "_Unwind_Find_FDE"));
    for (int i = 0; i < 9; i++) words[i] = reinterpret_cast<unsigned long>(finder + 1 + i);
}

static int to_child[2], from_child[2];

// A child that calls, and does not throw, when it is told to; it ends with its parent.
static void fork_child() {
    if (pipe(to_child) || pipe(from_child) || fork()) {
        close(from_child[1]);
        return;
    }
    close(to_child[1]);
    char byte;
    while (read(to_child[0], &byte, 1) == 1) {
        byte = catches(2) == 3;
        if (write(from_child[1], &byte, 1) != 1) break;
    }
    _exit(0);
}

// 1: the child's calls are as they should be. 0: they are not. 2: there is no child any more.
static int ask_child() {
    char byte = 0;
    if (write(to_child[1], &byte, 1) != 1 || read(from_child[0], &byte, 1) != 1) return 2;
    return byte;
}

int main(int, char **arguments) {
    pthread_t threads[4], waiter;
    int count = arguments[1] ? atoi(arguments[1]) : 0;
    char line[64];
    volatile unsigned long words[9] = {};

    sem_init(&inside, 0, 0);
    sem_init(&release_it, 0, 0);
    sem_init(&left, 0, 0);
    for (int i = 0; i < count; i++) pthread_create(&threads[i], nullptr, spin, nullptr);
    std::puts("ready");
    std::fflush(stdout);
    while (std::fgets(line, sizeof line, stdin)) {
        if (!std::strcmp(line, "wait\n")) {
            pthread_create(&waiter, nullptr, wait, nullptr);
            sem_wait(&inside);
        } else if (!std::strcmp(line, "throw\n")) {
            int first = caught_of_waiting;
            for (int i = first; i < stays; i++) sem_post(&release_it);
            for (int i = first; i < stays; i++) sem_wait(&left);
        } else if (!std::strcmp(line, "point\n")) {
            point_into_finder(words);
        } else if (!std::strcmp(line, "clear\n")) {
            for (auto &word : words) word = 0;
        } else if (!std::strcmp(line, "fork\n")) {
            fork_child();
        } else if (!std::strcmp(line, "child\n")) {
            std::printf("child %d\n", ask_child());
            std::fflush(stdout);
            continue;
        } else if (!std::strcmp(line, "call\n")) {
            catches(2);
        } else if (!std::strcmp(line, "end\n")) {
            break;
        }
        std::printf("%d\n", caught_of_waiting);
        std::fflush(stdout);
    }
    over = true;
    for (int i = 0; i < count; i++) pthread_join(threads[i], nullptr);
    return 0;
}
