// Files that others name, and memory that maps them.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

#include <stddef.h>

/// Opens the regular file at `path` for reading. What is there is looked at before it is opened: -EISDIR for a folder,
/// -ENOTSUP for a FIFO, a device or a socket.
int clinux_open_regular(const char *path);
/// The same for a path below the folder `root`: symbolic links and ".." are followed as if `root` were /, and lead nowhere
/// outside. Where the kernel has no openat2(2) (before 5.6), `clinux_open_by_components`.
int clinux_open_regular_below(int root, const char *path);
/// Opens (O_PATH) what is at a path below `root` one component after the other. It follows no symbolic link and no "..":
/// -ELOOP.
int clinux_open_by_components(int root, const char *path);
/// A folder to start from, opened with O_PATH.
int clinux_open_folder(const char *path);
/// Whether there is something that can be executed at a path below `root`.
int clinux_is_executable_below(int root, const char *path);
/// The kind of file system that a file is on, by statfs(2)'s magic numbers.
long clinux_file_system(int descriptor);

/// Mapped files that others may shorten: a page that is gone reads as zeros, and is told, instead of ending the process
/// by SIGBUS. The handler is set with the first of them; signals for other memory go to the one that was there before.
struct clinux_watch;
/// NULL where there is no memory.
struct clinux_watch *clinux_watch_mapping(void *start, size_t size);
/// Whether a page of it was gone.
int clinux_watch_lost_pages(const struct clinux_watch *watch);
/// To be called when the memory is not used any more, and still mapped.
void clinux_watch_end(struct clinux_watch *watch);

#endif
