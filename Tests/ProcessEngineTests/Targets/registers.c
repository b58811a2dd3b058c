// One thread that holds known values in all its registers and in the red zone, and looks whether they stay; ends with
// status 0 after SIGTERM, with 1 when something was lost.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t ending;
static void end(int signal) { (void)signal; ending = 1; }

#define TRACED __attribute__((noinline, used, visibility("default")))

TRACED long touch(long n) {
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

// 0 when nothing was lost. Vector registers are compared with what is at `pattern`, 16 times 16 bytes.
int hold(const void *pattern, long rounds);
__asm__(
    ".text\n"
    "hold:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsi, %rcx\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  movups 16*\\n(%rdi), %xmm\\n\n"
    ".endr\n"
    "  mov $0x1001, %rax; mov $0x1002, %rbx; mov $0x1003, %rdx; mov $0x1004, %rsi; mov $0x1005, %rbp\n"
    ".irp n, 8,9,10,11,12,13,14,15\n"
    "  mov $0x1000 + 0x11 * \\n, %r\\n\n"
    ".endr\n"
    "  movq $0x2001, -8(%rsp); movq $0x2002, -128(%rsp)\n"
    "1: lea -1(%rcx), %rcx\n"
    "  jrcxz 2f\n"
    "  jmp 1b\n"
    "2: cmp $0x1001, %rax; jne 9f; cmp $0x1002, %rbx; jne 9f; cmp $0x1003, %rdx; jne 9f; cmp $0x1004, %rsi; jne 9f\n"
    "  cmp $0x1005, %rbp; jne 9f\n"
    ".irp n, 8,9,10,11,12,13,14,15\n"
    "  cmp $0x1000 + 0x11 * \\n, %r\\n; jne 9f\n"
    ".endr\n"
    "  cmpq $0x2001, -8(%rsp); jne 9f; cmpq $0x2002, -128(%rsp); jne 9f\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  sub $16, %rsp; movups %xmm\\n, (%rsp); pop %rax; pop %rdx\n"
    "  cmp 16*\\n(%rdi), %rax; jne 9f; cmp 16*\\n+8(%rdi), %rdx; jne 9f\n"
    ".endr\n"
    "  xor %eax, %eax\n"
    "  jmp 3f\n"
    "9: mov $1, %eax\n"
    "3: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n");

int main(void) {
    uint64_t pattern[32];

    for (int i = 0; i < 32; i++) pattern[i] = 0x0123456789abcdefull * (uint64_t)(i + 1);
    signal(SIGTERM, end);
    puts("ready");
    fflush(stdout);
    for (long n = 0; !ending; n++) {
        if (hold(pattern, 20000)) {
            puts("registers were lost");
            return 1;
        }
        if (touch(n) != n + 1) return 1;
    }
    return 0;
}
