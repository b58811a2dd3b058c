// Memory of the target that may not be there: the kernel copies it for us, and says so when it cannot.
#ifndef FS_MEMORY_H
#define FS_MEMORY_H

FS_INLINE i64 transfer(struct fs_state *state, i64 call, u64 own, u64 other, u64 size) {
    struct kernel_vector local, remote;
    local.base = own;
    local.length = size;
    remote.base = other;
    remote.length = size;
    return target_call(state, call, current_process(state), (u64)&local, 1, (u64)&remote, 1, 0);
}

// All or nothing: what could be read of a range that is not all there is wiped again, as the kernel does.
static i64 read_memory(struct fs_state *state, void *to, u64 from, u64 size) {
    if (size == 0) return 0;
    if (transfer(state, SYSTEM_CALL_PROCESS_VM_READV, (u64)to, from, size) == (i64)size) return 0;
    zero_bytes(to, size);
    return -EFAULT;
}

#define BOUNCE_BYTES 256u

// Through a buffer, because a program's bytes behind the terminator must stay as they are. Returns
// the length with the terminator, which is always there.
static i64 read_string(struct fs_state *state, char *to, u64 from, u64 size) {
    if (size == 0) return 0;
    char bounce[BOUNCE_BYTES];
    u64 done = 0;
    while (done < size) {
        u64 address = from + done;
        u64 count = FS_PAGE - (address & (FS_PAGE - 1));
        if (count > BOUNCE_BYTES) count = BOUNCE_BYTES;
        if (count > size - done) count = size - done;
        if (transfer(state, SYSTEM_CALL_PROCESS_VM_READV, (u64)bounce, address, count) != (i64)count) {
            zero_bytes(to, size);
            return -EFAULT;
        }
        for (u64 i = 0; i < count; i++) {
            to[done + i] = bounce[i];
            if (bounce[i] == 0) return (i64)(done + i + 1);
        }
        done += count;
    }
    to[size - 1] = 0;
    return (i64)size;
}

#endif
