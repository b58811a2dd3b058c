// What Swift cannot import of Linux: variadic calls, macros, and code that runs between fork and exec.
//
// Unless it says otherwise a function returns a value >= 0, or -errno.
#ifndef CLINUX_H
#define CLINUX_H

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// MARK: system calls

/// syscall(2) with six arguments.
long clinux_syscall(long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                    unsigned long e, unsigned long f);
/// memfd_create(2), close-on-exec.
int clinux_memfd_create(const char *name);
/// The text of an errno; never NULL, and safe in every thread.
const char *clinux_error_text(int error);
/// open(2) without a mode, close-on-exec added.
int clinux_open(const char *path, int flags);
/// A whole file, read until its end into malloc'ed memory (for /proc, whose files have no size).
ssize_t clinux_read_file(const char *path, uint8_t **bytes);
/// getxattr(2).
ssize_t clinux_get_attribute(const char *path, const char *name, void *value, size_t size);
/// The device numbers of a st_dev.
uint32_t clinux_major(uint64_t device);
uint32_t clinux_minor(uint64_t device);
/// The calling thread's id.
pid_t clinux_thread_id(void);
/// CLOCK_MONOTONIC in nanoseconds.
uint64_t clinux_monotonic(void);

/// A word that somebody else writes: read before, and written after, all that it stands for.
uint64_t clinux_load_acquire(const void *word);
void clinux_store_release(void *word, uint64_t value);

/// eventfd(2): close-on-exec, non-blocking; adds 1; sets back to 0.
int clinux_eventfd(void);
void clinux_eventfd_signal(int descriptor);
void clinux_eventfd_clear(int descriptor);
/// memmem(3); -1 when it is not there.
ssize_t clinux_find(const void *bytes, size_t count, const void *wanted, size_t wanted_count);

// MARK: ptrace

/// For a child that waits for us; of a running process `clinux_ptrace_seize_all` seizes the threads.
int clinux_ptrace_seize(pid_t thread, long options);
int clinux_ptrace_interrupt(pid_t thread);
/// PTRACE_CONT, PTRACE_SYSCALL, PTRACE_LISTEN, PTRACE_DETACH; with a signal to deliver, or 0.
int clinux_ptrace_continue(pid_t thread, int signal);
int clinux_ptrace_system_call(pid_t thread, int signal);
int clinux_ptrace_step(pid_t thread, int signal);
int clinux_ptrace_listen(pid_t thread);
int clinux_ptrace_detach(pid_t thread, int signal);
/// PTRACE_GETREGSET and PTRACE_SETREGSET; the first returns the number of bytes.
ssize_t clinux_ptrace_get_registers(pid_t thread, int note, void *buffer, size_t size);
int clinux_ptrace_set_registers(pid_t thread, int note, const void *buffer, size_t size);
/// PTRACE_GETSIGMASK and PTRACE_SETSIGMASK.
int clinux_ptrace_get_signal_mask(pid_t thread, uint64_t *mask);
int clinux_ptrace_set_signal_mask(pid_t thread, uint64_t mask);
/// The address of the thread's struct rseq, 0 if it has none (PTRACE_GET_RSEQ_CONFIGURATION).
uint64_t clinux_ptrace_rseq_address(pid_t thread);
/// What PR_SET_SYSCALL_USER_DISPATCH has set for a thread: system calls from outside `length` bytes at `offset` are not
/// made but told to the thread by SIGSYS, as the byte at `selector` says.
struct clinux_dispatch { uint64_t mode, selector, offset, length; };
/// 0, and mode 0 where nothing is set; -EIO: the kernel does not tell (before Linux 6.4).
int clinux_ptrace_get_dispatch(pid_t thread, struct clinux_dispatch *dispatch);
/// Sets what was got, or takes it away (NULL).
int clinux_ptrace_set_dispatch(pid_t thread, const struct clinux_dispatch *dispatch);

/// Looks, without blocking, whether a traced thread has stopped or ended.
/// 0: neither. 1: stopped; *status is the signal, with the ptrace event in bits 8 and up.
/// 2: ended; its status has not been taken.
int clinux_wait_stop(pid_t thread, int *status);
/// Takes the exit status of a child or traced thread, without blocking unless `block`.
/// 0: still runs. 1: exited, *value is its code. 2: killed, *value is the signal.
int clinux_wait_exit(pid_t process, int block, int *value);
/// Takes the end of a traced thread if it has ended, and never one of its stops: a wait for ends alone takes those of
/// traced threads, too.
void clinux_take_end(pid_t thread);

// MARK: launching

struct clinux_spawn {
    /// The files to try, in order; NULL at the end.
    const char *const *paths;
    /// argv; NULL at the end.
    char *const *arguments;
    /// "/bin/sh", room for the path, the arguments from 1 on, NULL: for files without "#!", as execvp.
    char **shell_arguments;
    /// NULL: the caller's.
    char *const *environment;
    /// NULL: the caller's.
    const char *directory;
    /// Descriptors for 0, 1 and 2; -1: the caller's.
    int standard[3];
};

enum clinux_spawn_stage {
    clinux_spawn_stage_directory = 1,
    clinux_spawn_stage_descriptor = 2,
    clinux_spawn_stage_exec = 3,
};

/// What the child could not do; nothing is sent when exec succeeds.
struct clinux_spawn_failure {
    int32_t stage;
    int32_t error;
    /// Index in `paths` of the file that decided the error.
    int32_t path;
};

/// Forks. The child waits for clinux_spawn_go and ends if the caller does before that.
/// Signal mask and ignored signals of the child are those that this process was started with.
pid_t clinux_spawn(const struct clinux_spawn *spawn, int *go, int *failure);
/// Lets the child go on to exec; closes `go`.
int clinux_spawn_go(int go);
/// Reads the failure; closes the descriptor. 1: there is one. 0: exec succeeded.
int clinux_spawn_failure_read(int descriptor, struct clinux_spawn_failure *failure);

// MARK: pidfd

int clinux_pidfd_open(pid_t process);
int clinux_pidfd_send_signal(int descriptor, int signal);
/// pidfd_getfd(2): the very descriptor of another process, with the rights that it has there. Since Linux 5.6.
int clinux_pidfd_getfd(int descriptor, int number);

/// Sends a descriptor of ours through a socket of the family AF_UNIX, with one byte. 0 or -errno; it never waits.
int clinux_send_descriptor(int socket, int descriptor);

// MARK: memory files of others

/// Gives a memory file that was just made its size, for ever: nobody can make it shorter or longer any more.
/// -ENOTUNIQ: it is anything but an empty memory file that only descriptors lead to and that may be sealed.
int clinux_memfd_claim(int descriptor, uint64_t size);
/// A lock that /proc/locks shows, with this process as its owner, until the descriptor is closed (F_SETLK).
int clinux_lock_file(int descriptor);

// MARK: threads

/// Starts a thread with all signals blocked, so that handlers run elsewhere.
int clinux_thread_start(void (*body)(void *), void *context, uintptr_t *thread);
int clinux_thread_is_current(uintptr_t thread);
void clinux_thread_join(uintptr_t thread);
void clinux_thread_detach(uintptr_t thread);

// MARK: memory of another process

/// process_vm_readv with one local and one remote range.
ssize_t clinux_process_read(pid_t process, uint64_t address, void *buffer, size_t size);

// MARK: names

/// __cxa_demangle: a malloc'ed string, NULL if the name is not an Itanium C++ name.
char *clinux_demangle_cxx(const char *name);
/// swift_demangle: a malloc'ed string, NULL if the name is not a Swift name.
char *clinux_demangle_swift(const char *name, size_t length);

#include "CLinuxFiles.h"
#include "CLinuxSeize.h"
#include "CLinuxSignal.h"
#include "CLinuxSystem.h"
#include "CLinuxThread.h"

#endif
