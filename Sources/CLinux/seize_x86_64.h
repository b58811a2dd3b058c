// ptrace(2) at an instruction that is known, so that a signal handler can take the thread past it.
#ifndef CLINUX_SEIZE_X86_64_H
#define CLINUX_SEIZE_X86_64_H

// request, thread, address, data: the result, -errno for an error.
__asm__(".text\n"
        ".p2align 4\n"
        ".globl clinux_ptrace_call\n.hidden clinux_ptrace_call\n.type clinux_ptrace_call, @function\n"
        "clinux_ptrace_call:\n"
        "  mov %rcx, %r10\n"
        "  mov $101, %eax\n"
        ".globl clinux_ptrace_instruction\n.hidden clinux_ptrace_instruction\n"
        "clinux_ptrace_instruction:\n"
        "  syscall\n"
        "  ret\n"
        ".size clinux_ptrace_call, .-clinux_ptrace_call\n");

static int is_at(const ucontext_t *context, const char *instruction) {
    return context->uc_mcontext.gregs[REG_RIP] == (greg_t)instruction;
}

static void skip(ucontext_t *context, long value) {
    context->uc_mcontext.gregs[REG_RIP] += 2;
    context->uc_mcontext.gregs[REG_RAX] = value;
}

#endif
