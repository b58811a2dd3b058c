// Functions and callers whose registers are all known.
#if defined(__x86_64__)
    .text

// Changes no register. Long enough for a jump.
    .globl t_untouched
    .type t_untouched, @function
    .p2align 4
t_untouched:
    .cfi_startproc
    lea 0(%rsp), %rsp
    xchg %rcx, %rcx
    xchg %rdx, %rdx
    ret
    .cfi_endproc
    .size t_untouched, . - t_untouched

// Returns its rsp.
    .globl t_keeps
    .type t_keeps, @function
    .p2align 4
t_keeps:
    .cfi_startproc
    mov %rsp, %rax
    xchg %rcx, %rcx
    ret
    .cfi_endproc
    .size t_keeps, . - t_keeps

    .globl call_stack_pointer
    .type call_stack_pointer, @function
    .p2align 4
call_stack_pointer:
    push %rbp
    mov %rsp, %rbp
    sub %rdi, %rsp
    call t_keeps
    leave
    ret
    .size call_stack_pointer, . - call_stack_pointer

// void call_with_registers(const struct t_registers *before, struct t_registers *after)
    .globl call_with_registers
    .type call_with_registers, @function
    .p2align 4
call_with_registers:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    push %rdi
    sub $8, %rsp
    movups 128(%rdi), %xmm0
    movups 144(%rdi), %xmm1
    movups 160(%rdi), %xmm2
    movups 176(%rdi), %xmm3
    movups 192(%rdi), %xmm4
    movups 208(%rdi), %xmm5
    movups 224(%rdi), %xmm6
    movups 240(%rdi), %xmm7
    movups 256(%rdi), %xmm8
    movups 272(%rdi), %xmm9
    movups 288(%rdi), %xmm10
    movups 304(%rdi), %xmm11
    movups 320(%rdi), %xmm12
    movups 336(%rdi), %xmm13
    movups 352(%rdi), %xmm14
    movups 368(%rdi), %xmm15
    mov 0(%rdi), %rax
    mov 8(%rdi), %rcx
    mov 16(%rdi), %rdx
    mov 24(%rdi), %rbx
    mov 40(%rdi), %rbp
    mov 48(%rdi), %rsi
    mov 64(%rdi), %r8
    mov 72(%rdi), %r9
    mov 80(%rdi), %r10
    mov 88(%rdi), %r11
    mov 96(%rdi), %r12
    mov 104(%rdi), %r13
    mov 112(%rdi), %r14
    mov 120(%rdi), %r15
    mov 56(%rdi), %rdi
    call t_untouched
    push %rdi
    mov 24(%rsp), %rdi
    pop 56(%rdi)
    mov %rax, 0(%rdi)
    mov %rcx, 8(%rdi)
    mov %rdx, 16(%rdi)
    mov %rbx, 24(%rdi)
    mov %rbp, 40(%rdi)
    mov %rsi, 48(%rdi)
    mov %r8, 64(%rdi)
    mov %r9, 72(%rdi)
    mov %r10, 80(%rdi)
    mov %r11, 88(%rdi)
    mov %r12, 96(%rdi)
    mov %r13, 104(%rdi)
    mov %r14, 112(%rdi)
    mov %r15, 120(%rdi)
    movups %xmm0, 128(%rdi)
    movups %xmm1, 144(%rdi)
    movups %xmm2, 160(%rdi)
    movups %xmm3, 176(%rdi)
    movups %xmm4, 192(%rdi)
    movups %xmm5, 208(%rdi)
    movups %xmm6, 224(%rdi)
    movups %xmm7, 240(%rdi)
    movups %xmm8, 256(%rdi)
    movups %xmm9, 272(%rdi)
    movups %xmm10, 288(%rdi)
    movups %xmm11, 304(%rdi)
    movups %xmm12, 320(%rdi)
    movups %xmm13, 336(%rdi)
    movups %xmm14, 352(%rdi)
    movups %xmm15, 368(%rdi)
    stmxcsr 384(%rdi)
    fnstcw 388(%rdi)
    add $8, %rsp
    pop %rdi
    pop %rsi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size call_with_registers, . - call_with_registers

// int64_t t_call_sum20_on(void *stack_pointer): arguments 1…20, the last 14 words of them on the stack
// from stack_pointer on.
    .globl t_call_sum20_on
    .type t_call_sum20_on, @function
    .p2align 4
t_call_sum20_on:
    push %rbp
    mov %rsp, %rbp
    mov %rdi, %rsp
    mov $7, %eax
1:  mov %rax, -56(%rdi, %rax, 8)
    inc %eax
    cmp $21, %eax
    jne 1b
    mov $1, %edi
    mov $2, %esi
    mov $3, %edx
    mov $4, %ecx
    mov $5, %r8d
    mov $6, %r9d
    call t_sum20
    leave
    ret
    .size t_call_sum20_on, . - t_call_sum20_on

// int64_t t_call_add_on(void *stack_pointer): 40 + 2
    .globl t_call_add_on
    .type t_call_add_on, @function
    .p2align 4
t_call_add_on:
    push %rbp
    mov %rsp, %rbp
    mov %rdi, %rsp
    mov $40, %edi
    mov $2, %esi
    call t_add
    leave
    ret
    .size t_call_add_on, . - t_call_add_on

// int64_t t_stepping_call(const void *function, int64_t a, int64_t b): with the trap flag set.
    .globl t_stepping_call, t_stepping_call_end
    .type t_stepping_call, @function
    .p2align 4
t_stepping_call:
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register %rbp
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    pushfq
    orq $0x100, (%rsp)
    popfq
    call *%rax
    pushfq
    andq $~0x100, (%rsp)
    popfq
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size t_stepping_call, . - t_stepping_call
t_stepping_call_end:

// Destroys every register that a program may.
    .globl t_clobber_program
    .type t_clobber_program, @function
    .p2align 4
t_clobber_program:
    mov $0xdead0001, %ecx
    mov $0xdead0002, %edx
    mov $0xdead0003, %esi
    mov $0xdead0004, %edi
    mov $0xdead0005, %r8d
    mov $0xdead0006, %r9d
    mov $0xdead0007, %r10d
    mov $0xdead0008, %r11d
    xor %eax, %eax
    ret
    .size t_clobber_program, . - t_clobber_program

    .section .note.GNU-stack, "", @progbits
#endif
