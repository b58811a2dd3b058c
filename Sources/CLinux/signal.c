#define _GNU_SOURCE
#include "CLinuxSignal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int pipe_ends[2] = { -1, -1 };

static void caught(int signal)
{
    int saved = errno;
    unsigned char byte = (unsigned char)signal;
    if (write(pipe_ends[1], &byte, 1) < 0) {
        // The pipe is full of signals that nobody has taken yet: one more changes nothing.
    }
    errno = saved;
}

void fs_signal_catch(int signal)
{
    if (pipe_ends[0] < 0 && pipe2(pipe_ends, O_CLOEXEC) != 0)
        return;
    fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
    struct sigaction old;
    if (sigaction(signal, NULL, &old) != 0 || old.sa_handler == SIG_IGN)
        return;
    struct sigaction action = { .sa_handler = caught, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

static void discarded(int signal) { (void)signal; }

void fs_signal_discard(int signal)
{
    struct sigaction old;
    if (sigaction(signal, NULL, &old) != 0 || old.sa_handler == SIG_IGN)
        return;
    struct sigaction action = { .sa_handler = discarded, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

int fs_signal_next(void)
{
    unsigned char byte = 0;
    while (read(pipe_ends[0], &byte, 1) < 0 && errno == EINTR) {}
    return byte;
}
