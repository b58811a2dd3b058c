#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#include "seize_x86_64.h"
#elif defined(__aarch64__)
#include "seize_arm64.h"
#endif

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

long clinux_ptrace_call(long request, long thread, long address, long data);
extern const char clinux_ptrace_instruction[];

enum { TICK_MILLISECONDS = 20 };

// What the thread is at; NULL: nothing that could wait.
static _Thread_local const struct clinux_seizing *volatile current;
static _Thread_local volatile size_t done;
static _Thread_local volatile uint32_t ticks;

// Of a thread that leads its process others want the end.
static void take_ended(const pid_t *threads, size_t count, pid_t process) {
    for (size_t i = 0; i < count; i++)
        if (threads[i] != process) clinux_take_end(threads[i]);
}

static void tick(int signal, siginfo_t *information, void *context) {
    (void)signal;
    (void)information;
    const struct clinux_seizing *seizing = current;
    if (!seizing) return;
    int error = errno;
    take_ended(seizing->held, seizing->held_count, seizing->process);
    take_ended(seizing->threads, done, seizing->process);
    errno = error;
    ticks = ticks + 1;
    // At the instruction: about to make the call, or to make it again. Behind it there is a result.
    if (ticks * TICK_MILLISECONDS > seizing->milliseconds && is_at(context, clinux_ptrace_instruction))
        skip(context, -ETIMEDOUT);
}

// A signal that nobody uses; 0: there is none.
static int tick_signal;
static pthread_once_t tick_once = PTHREAD_ONCE_INIT;

static void catch_ticks(void) {
    for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) < 0 || action.sa_handler != SIG_DFL) continue;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = tick;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        sigfillset(&action.sa_mask);
        if (sigaction(signal, &action, NULL) < 0) continue;
        tick_signal = signal;
        return;
    }
}

size_t clinux_ptrace_seize_all(const struct clinux_seizing *seizing) {
    pthread_once(&tick_once, catch_ticks);
    timer_t timer;
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = tick_signal;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    int ticking = tick_signal != 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
    sigset_t ours, before;
    sigemptyset(&ours);
    if (ticking) {
        sigaddset(&ours, tick_signal);
        done = 0;
        ticks = 0;
        current = seizing;
        struct timespec period = {0, TICK_MILLISECONDS * 1000000L};
        struct itimerspec times = {period, period};
        timer_settime(timer, 0, &times, NULL);
    }
    pthread_sigmask(SIG_UNBLOCK, &ours, &before);
    size_t count = 0;
    while (count < seizing->count) {
        pid_t thread = seizing->threads[count];
        ticks = 0;
        long result = clinux_ptrace_call(PTRACE_SEIZE, thread, 0, seizing->options);
        if (result == 0) {
            done = count + 1;
            result = ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0 ? -errno : 0;
            // Seized, and ended since: there is something to be taken.
            if (result < 0) result = -ECHILD;
        }
        seizing->errors[count++] = (int)-result;
        if (result == -ETIMEDOUT) break;
    }
    current = NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ticking) timer_delete(timer);
    return count;
}
