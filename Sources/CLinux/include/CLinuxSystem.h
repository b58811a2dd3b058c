// What the system's headers have by another value on each architecture, and as macros that Swift does not import.
#ifndef CLINUX_SYSTEM_H
#define CLINUX_SYSTEM_H

#include <sys/syscall.h>

/// Numbers of system calls: those that fsession makes without a function of the C library, or has a target make.
enum {
    clinux_sys_bpf = SYS_bpf,
    clinux_sys_close = SYS_close,
    clinux_sys_getpid = SYS_getpid,
    clinux_sys_ioctl = SYS_ioctl,
    clinux_sys_madvise = SYS_madvise,
    clinux_sys_memfd_create = SYS_memfd_create,
    clinux_sys_mmap = SYS_mmap,
    clinux_sys_mprotect = SYS_mprotect,
    clinux_sys_munmap = SYS_munmap,
    clinux_sys_perf_event_open = SYS_perf_event_open,
    clinux_sys_recvmsg = SYS_recvmsg,
    clinux_sys_socketpair = SYS_socketpair,
};

/// The name of the folder that Debian keeps libraries of this architecture in.
const char *clinux_multiarch_folder(void);
/// What the names of the kernel's functions for system calls begin with, where the kernel wraps them.
const char *clinux_system_call_prefix(void);

#endif
