#define _GNU_SOURCE
#include "CLinuxFiles.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// The handler walks this list: what is in it is never freed, only used again.
struct clinux_watch {
    _Atomic uintptr_t start; // 0: free
    _Atomic uintptr_t end;
    _Atomic int lost;
    struct clinux_watch *next;
};

static struct clinux_watch *_Atomic watches;
static struct sigaction before;
static uintptr_t page_size;
static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

// From the page on, zeros: the file has been shortened there, or cannot be read.
static int replaced(uintptr_t address) {
    for (struct clinux_watch *watch = atomic_load(&watches); watch; watch = watch->next) {
        uintptr_t start = atomic_load(&watch->start), end = atomic_load(&watch->end);
        if (!start || address < start || address >= end) continue;
        uintptr_t page = address & ~(page_size - 1);
        atomic_store(&watch->lost, 1);
        return mmap((void *)page, end - page, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return 0;
}

static void pass_on(int signal, siginfo_t *information, void *context) {
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, information, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else if (information->si_code > 0 || before.sa_handler == SIG_DFL) {
        // An access that faults is made again, and ends the process as it would have; a signal that was sent is sent again.
        struct sigaction none = { .sa_handler = SIG_DFL };
        sigaction(signal, &none, NULL);
        if (information->si_code <= 0) raise(signal);
    }
}

static void faulted(int signal, siginfo_t *information, void *context) {
    int saved = errno;
    if (information->si_code <= 0 || !replaced((uintptr_t)information->si_addr)) pass_on(signal, information, context);
    errno = saved;
}

static void catch_faults(void) {
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigaction(SIGBUS, NULL, &before);
    struct sigaction action = { .sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

struct clinux_watch *clinux_watch_mapping(void *start, size_t size) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, catch_faults);
    pthread_mutex_lock(&changes);
    struct clinux_watch *watch = atomic_load(&watches);
    while (watch && atomic_load(&watch->start)) watch = watch->next;
    int is_new = !watch;
    if (is_new) watch = calloc(1, sizeof *watch);
    if (watch) {
        atomic_store(&watch->lost, 0);
        atomic_store(&watch->end, (uintptr_t)start + size);
        atomic_store(&watch->start, (uintptr_t)start);
        if (is_new) {
            watch->next = atomic_load(&watches);
            atomic_store(&watches, watch);
        }
    }
    pthread_mutex_unlock(&changes);
    return watch;
}

int clinux_watch_lost_pages(const struct clinux_watch *watch) { return atomic_load(&watch->lost); }

void clinux_watch_end(struct clinux_watch *watch) { atomic_store(&watch->start, 0); }
