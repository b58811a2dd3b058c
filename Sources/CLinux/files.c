#define _GNU_SOURCE
#include "CLinuxFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static int or_error(int result) { return result < 0 ? -errno : result; }

// What an O_PATH descriptor stands for, opened for reading. The descriptor is closed.
static int reopened(int place) {
    if (place < 0) return place;
    struct stat status;
    int result;
    if (fstat(place, &status) != 0) {
        result = -errno;
    } else if (S_ISDIR(status.st_mode)) {
        result = -EISDIR;
    } else if (!S_ISREG(status.st_mode)) {
        result = -ENOTSUP;
    } else {
        // By this link the kernel opens that very file, whatever has become of its name.
        char path[40];
        snprintf(path, sizeof path, "/proc/self/fd/%d", place);
        result = or_error(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    }
    close(place);
    return result;
}

int clinux_open_by_components(int root, const char *path) {
    int folder = or_error(openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    while (folder >= 0) {
        path += strspn(path, "/");
        if (!*path) break;
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        int next;
        if (length > NAME_MAX) {
            next = -ENAMETOOLONG;
        } else {
            memcpy(name, path, length);
            name[length] = 0;
            struct stat status;
            next = strcmp(name, "..") == 0 ? -ELOOP : or_error(openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
            if (next >= 0 && fstat(next, &status) == 0 && S_ISLNK(status.st_mode)) {
                close(next);
                next = -ELOOP;
            }
        }
        close(folder);
        folder = next;
        path += length;
    }
    return folder;
}

static int open_below(int root, const char *path) {
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    // -EAGAIN: something was renamed meanwhile, so that the kernel could not tell whether ".." stays inside.
    for (int attempt = 0; attempt < 64; attempt++) {
        int place = or_error((int)syscall(SYS_openat2, root, path, &how, sizeof how));
        // Filters of system calls that do not know it say -EPERM.
        if (place == -ENOSYS || place == -EPERM) return clinux_open_by_components(root, path);
        if (place != -EAGAIN && place != -EINTR) return place;
    }
    return -EAGAIN;
}

int clinux_open_folder(const char *path) { return or_error(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)); }

int clinux_open_regular_below(int root, const char *path) { return reopened(open_below(root, path)); }

int clinux_open_regular(const char *path) { return reopened(or_error(open(path, O_PATH | O_CLOEXEC))); }

int clinux_is_executable_below(int root, const char *path) {
    int place = open_below(root, path);
    if (place < 0) return 0;
    struct stat status;
    int answer = fstat(place, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111);
    close(place);
    return answer;
}

long clinux_file_system(int descriptor) {
    struct statfs system;
    return fstatfs(descriptor, &system) == 0 ? (long)system.f_type : -errno;
}
