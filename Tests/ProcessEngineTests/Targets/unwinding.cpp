// Leaves functions in every way that C++ and threads know, and prints what came of it.
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <pthread.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

static std::atomic<int> destroyed, caught, rethrown;

struct Guard {
    ~Guard() { destroyed++; }
};

TRACED int thrower(int n) {
    Guard guard;
    if (n % 3 == 0) throw std::runtime_error("three");
    if (n % 3 == 1) throw n;
    return n;
}

TRACED int passer(int n, double x) {
    Guard guard;
    return thrower(n) + static_cast<int>(x);
}

TRACED int rethrower(int n) {
    Guard guard;
    try {
        return passer(n, 1.5);
    } catch (int) {
        rethrown++;
        throw;
    }
}

TRACED int catcher(int n) {
    Guard guard;
    try {
        return rethrower(n);
    } catch (const std::exception &) {
        caught++;
        return -1;
    } catch (...) {
        caught++;
        // Another exception while one is being handled, kept and thrown again.
        std::exception_ptr kept = std::current_exception();
        try {
            std::rethrow_exception(kept);
        } catch (int m) {
            return m == n ? -2 : -100;
        }
    }
}

// An exception that may not leave: std::terminate.
TRACED int firm(int n) noexcept { return passer(n, 0); }

TRACED void *waits(void *) {
    Guard guard;
    for (;;) sleep(1000);
}

TRACED void leaves(int n) {
    Guard guard;
    if (n == 0) pthread_exit(reinterpret_cast<void *>(9));
    leaves(n - 1);
}

TRACED void *exits(void *) {
    Guard guard;
    try {
        leaves(3);
    } catch (...) {
        // pthread_exit's unwinding passes here, and must go on.
        destroyed += 1000;
        throw;
    }
    return nullptr;
}

static std::jmp_buf place;

// setjmp in one traced function, longjmp in another, with others between them.
TRACED int jumper(int n) {
    if (n == 0) std::longjmp(place, 7);
    return jumper(n - 1) + 1;
}

TRACED int lands(int n) {
    volatile int before = n;
    int value = setjmp(place);
    if (value == 0) return jumper(n);
    return value + before;
}

static int statusOf(void (*body)()) {
    std::fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main() {
    long sum = 0;
    for (int n = 0; n < 300; n++) sum += catcher(n);
    int jumped = 0;
    for (int n = 0; n < 50; n++) jumped += lands(n);
    std::printf("sum %ld caught %d rethrown %d destroyed %d jumped %d\n", sum, caught.load(), rethrown.load(), destroyed.load(), jumped);
    destroyed = 0;
    int ends = 0;
    for (int n = 0; n < 8; n++) {
        pthread_t thread;
        void *result = nullptr;
        pthread_create(&thread, nullptr, waits, nullptr);
        usleep(2000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        ends += result == PTHREAD_CANCELED;
        pthread_create(&thread, nullptr, exits, nullptr);
        pthread_join(thread, &result);
        ends += result == reinterpret_cast<void *>(9);
    }
    std::printf("ends %d destroyed %d\n", ends, destroyed.load() % 1000);
    int terminated = statusOf([] { firm(3); });
    std::set_terminate([] { _exit(33); });
    int handled = statusOf([] { firm(4); });
    int uncaught = statusOf([] { passer(1, 0); });
    std::printf("terminated %d handled %d uncaught %d\n", terminated, handled, uncaught);
    return 5;
}
