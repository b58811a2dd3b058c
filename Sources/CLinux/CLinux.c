#define _GNU_SOURCE
#include "CLinux.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#define TMPFS 0x01021994

static long result(long value) { return value < 0 ? -errno : value; }

// MARK: system calls

long clinux_syscall(long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                    unsigned long e, unsigned long f) {
    return result(syscall(number, a, b, c, d, e, f));
}

int clinux_memfd_create(const char *name) { return (int)result(memfd_create(name, MFD_CLOEXEC)); }

const char *clinux_error_text(int error) {
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

int clinux_open(const char *path, int flags) { return (int)result(open(path, flags | O_CLOEXEC)); }

ssize_t clinux_read_file(const char *path, uint8_t **bytes) {
    *bytes = NULL;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    size_t capacity = 16384, count = 0;
    uint8_t *buffer = malloc(capacity);
    ssize_t error = buffer ? 0 : -ENOMEM;
    while (!error) {
        if (count == capacity) {
            uint8_t *larger = realloc(buffer, capacity * 2);
            if (!larger) { error = -ENOMEM; break; }
            buffer = larger;
            capacity *= 2;
        }
        ssize_t got = read(descriptor, buffer + count, capacity - count);
        if (got < 0) { if (errno != EINTR) error = -errno; continue; }
        if (got == 0) break;
        count += (size_t)got;
    }
    close(descriptor);
    if (error) { free(buffer); return error; }
    *bytes = buffer;
    return (ssize_t)count;
}

ssize_t clinux_get_attribute(const char *path, const char *name, void *value, size_t size) {
    return (ssize_t)result(getxattr(path, name, value, size));
}

uint32_t clinux_major(uint64_t device) { return major((dev_t)device); }
uint32_t clinux_minor(uint64_t device) { return minor((dev_t)device); }
pid_t clinux_thread_id(void) { return (pid_t)syscall(SYS_gettid); }

uint64_t clinux_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int clinux_eventfd(void) { return (int)result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
void clinux_eventfd_signal(int descriptor) { eventfd_write(descriptor, 1); }
void clinux_eventfd_clear(int descriptor) {
    eventfd_t count;
    eventfd_read(descriptor, &count);
}

ssize_t clinux_find(const void *bytes, size_t count, const void *wanted, size_t wanted_count) {
    const char *found = count ? memmem(bytes, count, wanted, wanted_count) : NULL;
    return found ? found - (const char *)bytes : -1;
}

// MARK: ptrace

int clinux_ptrace_seize(pid_t thread, long options) {
    return (int)result(ptrace(PTRACE_SEIZE, thread, NULL, (void *)options));
}
int clinux_ptrace_interrupt(pid_t thread) { return (int)result(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL)); }
int clinux_ptrace_continue(pid_t thread, int signal) {
    return (int)result(ptrace(PTRACE_CONT, thread, NULL, (void *)(long)signal));
}
int clinux_ptrace_system_call(pid_t thread, int signal) {
    return (int)result(ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(long)signal));
}
int clinux_ptrace_step(pid_t thread, int signal) {
    return (int)result(ptrace(PTRACE_SINGLESTEP, thread, NULL, (void *)(long)signal));
}
int clinux_ptrace_listen(pid_t thread) { return (int)result(ptrace(PTRACE_LISTEN, thread, NULL, NULL)); }
int clinux_ptrace_detach(pid_t thread, int signal) {
    return (int)result(ptrace(PTRACE_DETACH, thread, NULL, (void *)(long)signal));
}

ssize_t clinux_ptrace_get_registers(pid_t thread, int note, void *buffer, size_t size) {
    struct iovec range = {buffer, size};
    if (ptrace(PTRACE_GETREGSET, thread, (void *)(long)note, &range) < 0) return -errno;
    return (ssize_t)range.iov_len;
}

int clinux_ptrace_set_registers(pid_t thread, int note, const void *buffer, size_t size) {
    struct iovec range = {(void *)buffer, size};
    return (int)result(ptrace(PTRACE_SETREGSET, thread, (void *)(long)note, &range));
}

int clinux_ptrace_get_signal_mask(pid_t thread, uint64_t *mask) {
    return (int)result(ptrace(PTRACE_GETSIGMASK, thread, (void *)sizeof *mask, mask));
}
int clinux_ptrace_set_signal_mask(pid_t thread, uint64_t mask) {
    return (int)result(ptrace(PTRACE_SETSIGMASK, thread, (void *)sizeof mask, &mask));
}

uint64_t clinux_ptrace_rseq_address(pid_t thread) {
    struct { uint64_t address; uint32_t size, signature, flags, pad; } configuration = {0};
    // Kernels before 5.13 do not know the request; they are asked for nothing then.
    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, thread, (void *)sizeof configuration, &configuration) < 0) return 0;
    return configuration.address;
}

#define PTRACE_SET_DISPATCH 0x4210
#define PTRACE_GET_DISPATCH 0x4211

int clinux_ptrace_get_dispatch(pid_t thread, struct clinux_dispatch *dispatch) {
    return (int)result(ptrace(PTRACE_GET_DISPATCH, thread, (void *)sizeof *dispatch, dispatch));
}

int clinux_ptrace_set_dispatch(pid_t thread, const struct clinux_dispatch *dispatch) {
    struct clinux_dispatch new = {0};
    if (dispatch) new = *dispatch;
    int error = (int)result(ptrace(PTRACE_SET_DISPATCH, thread, (void *)sizeof new, &new));
    if (error != -EINVAL || new.mode == 0) return error;
    // Since Linux 6.17 the range may also be the one that is dispatched; it is kept, and told, as all that lies outside,
    // which is only taken the other way round.
    new.mode = 2;
    new.offset += new.length;
    new.length = -new.length;
    return (int)result(ptrace(PTRACE_SET_DISPATCH, thread, (void *)sizeof new, &new));
}

int clinux_wait_stop(pid_t thread, int *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int got;
    // WNOWAIT first: an exit must stay for whoever is to know the exit status.
    do got = waitid(P_PID, (id_t)thread, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    if (info.si_pid == 0) return 0;
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) return 2;
    memset(&info, 0, sizeof info);
    do got = waitid(P_PID, (id_t)thread, &info, WSTOPPED | WNOHANG | __WALL);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    if (info.si_pid == 0) return 0;
    *status = info.si_status;
    return 1;
}

int clinux_wait_exit(pid_t process, int block, int *value) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int got;
    do got = waitid(P_PID, (id_t)process, &info, WEXITED | __WALL | (block ? 0 : WNOHANG));
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    if (info.si_pid == 0) return 0;
    *value = info.si_status;
    return info.si_code == CLD_EXITED ? 1 : 2;
}

void clinux_take_end(pid_t thread) {
    siginfo_t info;
    info.si_pid = 0;
    // System calls alone: this is also called by a signal handler.
    if (syscall(SYS_waitid, P_PID, thread, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) < 0 || info.si_pid == 0) return;
    if (info.si_code != CLD_EXITED && info.si_code != CLD_KILLED && info.si_code != CLD_DUMPED) return;
    syscall(SYS_waitid, P_PID, thread, &info, WEXITED | WNOHANG | __WALL, NULL);
}

// MARK: launching

// Signal state at the start of this process, before anything could change it. A launched command
// gets it back: it must not find SIGPIPE ignored because its tracer ignores it.
static sigset_t started_mask;
static unsigned char started_ignored[65];

__attribute__((constructor)) static void record_signals(void) {
    sigprocmask(SIG_SETMASK, NULL, &started_mask);
    for (int signal = 1; signal <= 64; signal++) {
        struct sigaction action;
        started_ignored[signal] = sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    }
}

_Noreturn static void fail(int descriptor, int stage, int error, int path) {
    struct clinux_spawn_failure failure = {stage, error, path};
    ssize_t written = write(descriptor, &failure, sizeof failure);
    (void)written;
    _exit(127);
}

// Runs in the child: system calls only.
_Noreturn static void child(const struct clinux_spawn *spawn, int go, int failure) {
    char token;
    ssize_t got;
    do got = read(go, &token, 1); while (got < 0 && errno == EINTR);
    if (got != 1) _exit(127);

    int copies[3];
    for (int i = 0; i < 3; i++) {
        copies[i] = -1;
        if (spawn->standard[i] < 0) continue;
        copies[i] = fcntl(spawn->standard[i], F_DUPFD_CLOEXEC, 3);
        if (copies[i] < 0) fail(failure, clinux_spawn_stage_descriptor, errno, i);
    }
    for (int i = 0; i < 3; i++)
        if (copies[i] >= 0 && dup2(copies[i], i) < 0) fail(failure, clinux_spawn_stage_descriptor, errno, i);
    if (spawn->directory && chdir(spawn->directory) < 0) fail(failure, clinux_spawn_stage_directory, errno, 0);

    for (int signal = 1; signal <= 64; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) < 0) continue;
        struct sigaction wanted;
        memset(&wanted, 0, sizeof wanted);
        wanted.sa_handler = started_ignored[signal] ? SIG_IGN : SIG_DFL;
        if (action.sa_handler != wanted.sa_handler) sigaction(signal, &wanted, NULL);
    }
    sigprocmask(SIG_SETMASK, &started_mask, NULL);

    char *const *environment = spawn->environment ? spawn->environment : environ;
    int error = ENOENT, path = 0, denied = -1;
    for (int i = 0; spawn->paths[i]; i++) {
        execve(spawn->paths[i], spawn->arguments, environment);
        int reason = errno;
        if (reason == ENOEXEC && spawn->shell_arguments) {
            spawn->shell_arguments[1] = (char *)spawn->paths[i];
            execve("/bin/sh", spawn->shell_arguments, environment);
            fail(failure, clinux_spawn_stage_exec, ENOEXEC, i);
        }
        // The search goes on past what execvp goes past.
        if (reason == EACCES) { if (denied < 0) denied = i; }
        else if (reason != ENOENT && reason != ENOTDIR && reason != ESTALE && reason != ENODEV && reason != ETIMEDOUT)
            fail(failure, clinux_spawn_stage_exec, reason, i);
        error = reason;
        path = i;
    }
    if (denied >= 0) fail(failure, clinux_spawn_stage_exec, EACCES, denied);
    fail(failure, clinux_spawn_stage_exec, error, path);
}

pid_t clinux_spawn(const struct clinux_spawn *spawn, int *go, int *failure) {
    int go_pipe[2], failure_pipe[2];
    if (pipe2(go_pipe, O_CLOEXEC) < 0) return -errno;
    if (pipe2(failure_pipe, O_CLOEXEC) < 0) {
        int error = errno;
        close(go_pipe[0]);
        close(go_pipe[1]);
        return -error;
    }
    // No handler of ours may run in the child.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        close(go_pipe[1]);
        close(failure_pipe[0]);
        // The pipes leave 0, 1 and 2 to the redirections.
        int go_copy = fcntl(go_pipe[0], F_DUPFD_CLOEXEC, 3);
        int failure_copy = fcntl(failure_pipe[1], F_DUPFD_CLOEXEC, 3);
        if (go_copy < 0 || failure_copy < 0) _exit(127);
        child(spawn, go_copy, failure_copy);
    }
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(go_pipe[0]);
    close(failure_pipe[1]);
    if (pid < 0) {
        close(go_pipe[1]);
        close(failure_pipe[0]);
        return -error;
    }
    *go = go_pipe[1];
    *failure = failure_pipe[0];
    return pid;
}

int clinux_spawn_go(int go) {
    // The child may be gone: no SIGPIPE for that.
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = write(go, "g", 1);
    int error = errno;
    if (written < 0 && error == EPIPE && !sigismember(&before, SIGPIPE)) {
        struct timespec none = {0, 0};
        sigtimedwait(&pipe_signal, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(go);
    return written == 1 ? 0 : -error;
}

int clinux_spawn_failure_read(int descriptor, struct clinux_spawn_failure *failure) {
    ssize_t got;
    do got = read(descriptor, failure, sizeof *failure); while (got < 0 && errno == EINTR);
    close(descriptor);
    return got == (ssize_t)sizeof *failure;
}

// MARK: pidfd

int clinux_pidfd_open(pid_t process) { return (int)result(syscall(SYS_pidfd_open, process, 0)); }
int clinux_pidfd_send_signal(int descriptor, int signal) {
    return (int)result(syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0));
}

int clinux_pidfd_getfd(int descriptor, int number) {
    return (int)result(syscall(SYS_pidfd_getfd, descriptor, number, 0));
}

int clinux_send_descriptor(int socket, int descriptor) {
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof descriptor)]; } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof descriptor)};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(&control.head), &descriptor, sizeof descriptor);
    return (int)result(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0);
}

// MARK: memory files of others

int clinux_memfd_claim(int descriptor, uint64_t size) {
    // First of all: nothing else is asked of a file that may be a network's or a hostile file system's, where each
    // question may wait for ever. Only memory files know their seals, and only those made to be sealed have none.
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || (seals & ~F_SEAL_EXEC) != 0) return -ENOTUNIQ;
    int flags = fcntl(descriptor, F_GETFL);
    struct statfs kind;
    struct stat status;
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstatfs(descriptor, &kind) < 0 || fstat(descriptor, &status) < 0)
        return -ENOTUNIQ;
    // Not huge pages, of which there may be none when one is touched.
    if (kind.f_type != TMPFS || !S_ISREG(status.st_mode) || status.st_nlink != 0 || status.st_size != 0) return -ENOTUNIQ;
    if (ftruncate(descriptor, (off_t)size) < 0) return -errno;
    if (fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) return -ENOTUNIQ;
    // Whoever else has it may have changed it before it was sealed, not since.
    if (fstat(descriptor, &status) < 0 || (uint64_t)status.st_size != size) return -ENOTUNIQ;
    return 0;
}

int clinux_lock_file(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return (int)result(fcntl(descriptor, F_SETLK, &lock));
}

// MARK: threads

struct start { void (*body)(void *); void *context; };

static void *run(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    start.body(start.context);
    return NULL;
}

int clinux_thread_start(void (*body)(void *), void *context, uintptr_t *thread) {
    struct start *start = malloc(sizeof *start);
    if (!start) return -ENOMEM;
    *start = (struct start){body, context};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t handle;
    int error = pthread_create(&handle, NULL, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) { free(start); return -error; }
    *thread = (uintptr_t)handle;
    return 0;
}
int clinux_thread_is_current(uintptr_t thread) { return pthread_equal((pthread_t)thread, pthread_self()); }
void clinux_thread_join(uintptr_t thread) { pthread_join((pthread_t)thread, NULL); }
void clinux_thread_detach(uintptr_t thread) { pthread_detach((pthread_t)thread); }

// MARK: memory of another process

ssize_t clinux_process_read(pid_t process, uint64_t address, void *buffer, size_t size) {
    struct iovec local = {buffer, size}, remote = {(void *)(uintptr_t)address, size};
    return (ssize_t)result(process_vm_readv(process, &local, 1, &remote, 1, 0));
}

// MARK: names

// Swift's runtime brings libstdc++ into the process, but does not put it on the link line of C code.
static char *(*cxa_demangle)(const char *name, char *buffer, size_t *size, int *status);
static char *(*swift_demangle)(const char *name, size_t length, char *buffer, size_t *size, uint32_t flags);
static pthread_once_t demanglers = PTHREAD_ONCE_INIT;

static void find_demanglers(void) {
    void *found = dlsym(RTLD_DEFAULT, "__cxa_demangle");
    if (!found) {
        void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        if (library) found = dlsym(library, "__cxa_demangle");
    }
    cxa_demangle = (char *(*)(const char *, char *, size_t *, int *))found;
    swift_demangle = (char *(*)(const char *, size_t, char *, size_t *, uint32_t))dlsym(RTLD_DEFAULT, "swift_demangle");
}

char *clinux_demangle_cxx(const char *name) {
    pthread_once(&demanglers, find_demanglers);
    int status = 0;
    return cxa_demangle ? cxa_demangle(name, NULL, NULL, &status) : NULL;
}

char *clinux_demangle_swift(const char *name, size_t length) {
    pthread_once(&demanglers, find_demanglers);
    return swift_demangle ? swift_demangle(name, length, NULL, NULL, 0) : NULL;
}

uint64_t clinux_load_acquire(const void *word) { return __atomic_load_n((const uint64_t *)word, __ATOMIC_ACQUIRE); }
void clinux_store_release(void *word, uint64_t value) { __atomic_store_n((uint64_t *)word, value, __ATOMIC_RELEASE); }
