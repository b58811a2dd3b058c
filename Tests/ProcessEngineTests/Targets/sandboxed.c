// A process that shuts itself in behind a system-call filter and calls functions behind it.
// `sandboxed strict` uses the strict mode, `sandboxed prctl` and `sandboxed syscall` a filter that kills whoever
// makes another call than read, write, exit, exit_group and rt_sigreturn, set in two ways; "before" as second argument:
// before it says that it is ready. Reads a character for a thousand calls; ends with status 3 when there is no more.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACED __attribute__((noinline, used, visibility("default")))

TRACED long leaf(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

static void shut(const char *how) {
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof code / sizeof code[0], code };

    if (strcmp(how, "strict") == 0) {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        return;
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (strcmp(how, "prctl") == 0) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
    else syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

static void say(const char *line) { if (write(1, line, strlen(line)) < 0) return; }

int main(int count, char **arguments) {
    char character;
    const char *how = count > 1 ? arguments[1] : "strict";
    int isBefore = count > 2;

    if (isBefore) shut(how);
    say("ready\n");
    while (read(0, &character, 1) == 1) {
        if (character != '\n') continue;
        if (!isBefore) shut(how);
        isBefore = 1;
        long sum = 0;
        for (int n = 0; n < 1000; n++) sum += leaf(n);
        say(sum == 500500 ? "500500\n" : "wrong\n");
    }
    // exit(3) would leave by exit_group, which the strict mode does not know.
    syscall(SYS_exit, 3);
}
