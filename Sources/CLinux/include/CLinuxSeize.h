// PTRACE_SEIZE that comes back, whatever the process does.
#ifndef CLINUX_SEIZE_H
#define CLINUX_SEIZE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct clinux_seizing {
    pid_t process;
    long options;
    /// Threads that the calling thread traces already, and those to be traced.
    const pid_t *held;
    size_t held_count;
    const pid_t *threads;
    size_t count;
    /// Of each of those: 0, or the errno of SEIZE or of the INTERRUPT behind it.
    int *errors;
    /// How long one of them may take.
    uint32_t milliseconds;
};

/// Seizes threads and interrupts them, one after the other (PTRACE_SEIZE, PTRACE_INTERRUPT). Returns how many of them:
/// fewer than there are if one takes too long, whose error is ETIMEDOUT; it is not seized then.
///
/// SEIZE waits while another thread of the process executes a program, and that one waits until each thread that it has
/// ended was taken by its tracer: by us, who could not do so while we wait. So meanwhile those that have ended are
/// taken, by the handler of a timer's signal. It also ends the wait, which the kernel would begin again after it.
size_t clinux_ptrace_seize_all(const struct clinux_seizing *seizing);

#endif
