// Functions whose first instructions have every shape that displacing knows: int64_t f(int64_t a, int64_t b).
#if defined(__x86_64__)
    .data
    .p2align 3
t_shape_value:
    .quad 77

    .text
    .p2align 4
t_shape_helper:
    .cfi_startproc
    mov $1000, %eax
    ret
    .cfi_endproc

    .globl t_shape_jcc
    .type t_shape_jcc, @function
    .p2align 4
t_shape_jcc:
    .cfi_startproc
    test %edi, %edi
    je 1f
    lea (%rdi, %rsi), %rax
    ret
1:  mov %rsi, %rax
    ret
    .cfi_endproc
    .size t_shape_jcc, . - t_shape_jcc

    .globl t_shape_jcc_long
    .type t_shape_jcc_long, @function
    .p2align 4
t_shape_jcc_long:
    .cfi_startproc
    test %rdi, %rdi
    .byte 0x0f, 0x85
    .long 1f - . - 4
    mov %rsi, %rax
    ret
1:  lea 5(%rdi), %rax
    ret
    .cfi_endproc
    .size t_shape_jcc_long, . - t_shape_jcc_long

    .globl t_shape_rip
    .type t_shape_rip, @function
    .p2align 4
t_shape_rip:
    .cfi_startproc
    mov t_shape_value(%rip), %rax
    add %rdi, %rax
    ret
    .cfi_endproc
    .size t_shape_rip, . - t_shape_rip

    .globl t_shape_rip_compare
    .type t_shape_rip_compare, @function
    .p2align 4
t_shape_rip_compare:
    .cfi_startproc
    cmpl $77, t_shape_value(%rip)
    sete %al
    movzbl %al, %eax
    ret
    .cfi_endproc
    .size t_shape_rip_compare, . - t_shape_rip_compare

    .globl t_shape_rip_lea
    .type t_shape_rip_lea, @function
    .p2align 4
t_shape_rip_lea:
    .cfi_startproc
    lea t_shape_value(%rip), %rax
    mov (%rax), %rax
    ret
    .cfi_endproc
    .size t_shape_rip_lea, . - t_shape_rip_lea

    .globl t_shape_jrcxz
    .type t_shape_jrcxz, @function
    .p2align 4
t_shape_jrcxz:
    .cfi_startproc
    mov %rdi, %rcx
    jrcxz 1f
    lea 1(%rsi), %rax
    ret
1:  lea 2(%rsi), %rax
    ret
    .cfi_endproc
    .size t_shape_jrcxz, . - t_shape_jrcxz

    .globl t_shape_loop
    .type t_shape_loop, @function
    .p2align 4
t_shape_loop:
    .cfi_startproc
    mov %edi, %ecx
    loop 1f
    nop
    lea 1(%rsi), %rax
    ret
1:  lea 2(%rcx), %rax
    ret
    .cfi_endproc
    .size t_shape_loop, . - t_shape_loop

    .globl t_shape_call
    .type t_shape_call, @function
    .p2align 4
t_shape_call:
    .cfi_startproc
    call t_shape_helper
    add %rdi, %rax
    ret
    .cfi_endproc
    .size t_shape_call, . - t_shape_call

    .globl t_shape_push_call
    .type t_shape_push_call, @function
    .p2align 4
t_shape_push_call:
    .cfi_startproc
    push %rbx
    call t_shape_helper
    add %rsi, %rax
    pop %rbx
    ret
    .cfi_endproc
    .size t_shape_push_call, . - t_shape_push_call

    .globl t_shape_jmp
    .type t_shape_jmp, @function
    .p2align 4
t_shape_jmp:
    .cfi_startproc
    jmp t_add
    .cfi_endproc
    .size t_shape_jmp, . - t_shape_jmp

    .globl t_shape_jmp_short
    .type t_shape_jmp_short, @function
    .p2align 4
t_shape_jmp_short:
    .cfi_startproc
    jmp 1f
    .fill 100, 1, 0xcc
1:  lea (%rdi, %rsi, 2), %rax
    ret
    .cfi_endproc
    .size t_shape_jmp_short, . - t_shape_jmp_short

    .globl t_shape_short
    .type t_shape_short, @function
    .p2align 4
t_shape_short:
    .cfi_startproc
    mov %edi, %eax
    ret
    .cfi_endproc
    .size t_shape_short, . - t_shape_short

    .globl t_shape_sub
    .type t_shape_sub, @function
    .p2align 4
t_shape_sub:
    .cfi_startproc
    sub $24, %rsp
    mov %rdi, (%rsp)
    mov (%rsp), %rax
    add $24, %rsp
    ret
    .cfi_endproc
    .size t_shape_sub, . - t_shape_sub

    .globl t_shape_sub_long
    .type t_shape_sub_long, @function
    .p2align 4
t_shape_sub_long:
    .cfi_startproc
    sub $4096, %rsp
    mov %rsi, (%rsp)
    mov (%rsp), %rax
    add $4096, %rsp
    ret
    .cfi_endproc
    .size t_shape_sub_long, . - t_shape_sub_long

    .globl t_shape_lea
    .type t_shape_lea, @function
    .p2align 4
t_shape_lea:
    .cfi_startproc
    lea -32(%rsp), %rsp
    mov %rdi, %rax
    lea 32(%rsp), %rsp
    ret
    .cfi_endproc
    .size t_shape_lea, . - t_shape_lea

    .globl t_shape_pushes
    .type t_shape_pushes, @function
    .p2align 4
t_shape_pushes:
    .cfi_startproc
    push %r15
    push %r14
    push %rbx
    mov %rdi, %rbx
    mov %rsi, %r14
    lea (%rbx, %r14), %rax
    xor %r15d, %r15d
    pop %rbx
    pop %r14
    pop %r15
    ret
    .cfi_endproc
    .size t_shape_pushes, . - t_shape_pushes

    .globl t_shape_push_pop
    .type t_shape_push_pop, @function
    .p2align 4
t_shape_push_pop:
    .cfi_startproc
    push %rbx
    pop %rbx
    push %r12
    xor %r12d, %r12d
    lea (%rdi, %r12), %rax
    pop %r12
    ret
    .cfi_endproc
    .size t_shape_push_pop, . - t_shape_push_pop

    .globl t_shape_frame
    .type t_shape_frame, @function
    .p2align 4
t_shape_frame:
    .cfi_startproc
    push %rbp
    mov %rsp, %rbp
    and $-32, %rsp
    mov %rdi, -8(%rsp)
    lea 3(%rdi), %rax
    leave
    ret
    .cfi_endproc
    .size t_shape_frame, . - t_shape_frame

    .globl t_shape_realign
    .type t_shape_realign, @function
    .p2align 4
t_shape_realign:
    .cfi_startproc
    lea 8(%rsp), %r10
    and $-32, %rsp
    lea 9(%rdi), %rax
    lea -8(%r10), %rsp
    ret
    .cfi_endproc
    .size t_shape_realign, . - t_shape_realign

    .globl t_shape_push_immediate
    .type t_shape_push_immediate, @function
    .p2align 4
t_shape_push_immediate:
    .cfi_startproc
    push $77
    push 8(%rsp)
    pop %rax
    pop %rax
    add %rdi, %rax
    ret
    .cfi_endproc
    .size t_shape_push_immediate, . - t_shape_push_immediate

    .globl t_shape_endbr
    .type t_shape_endbr, @function
    .p2align 4
t_shape_endbr:
    .cfi_startproc
    endbr64
    push %rbp
    mov %rsp, %rbp
    lea (%rdi, %rsi), %rax
    pop %rbp
    ret
    .cfi_endproc
    .size t_shape_endbr, . - t_shape_endbr

    .globl t_shape_nop
    .type t_shape_nop, @function
    .p2align 4
t_shape_nop:
    .cfi_startproc
    .byte 0x0f, 0x1f, 0x44, 0, 0
    lea (%rdi, %rsi), %rax
    ret
    .cfi_endproc
    .size t_shape_nop, . - t_shape_nop

    .globl t_shape_nops
    .type t_shape_nops, @function
    .p2align 4
t_shape_nops:
    .cfi_startproc
    nop
    nop
    nop
    nop
    nop
    nop
    lea 1(%rdi, %rsi), %rax
    ret
    .cfi_endproc
    .size t_shape_nops, . - t_shape_nops

    .globl t_shape_endbr_nop
    .type t_shape_endbr_nop, @function
    .p2align 4
t_shape_endbr_nop:
    .cfi_startproc
    endbr64
    .byte 0x0f, 0x1f, 0x44, 0, 0
    lea 2(%rdi, %rsi), %rax
    ret
    .cfi_endproc
    .size t_shape_endbr_nop, . - t_shape_endbr_nop

// {name, address} of each, then zeros.
    .section .data.rel.ro, "aw", @progbits
    .globl t_shapes
    .type t_shapes, @object
    .p2align 3
t_shapes:
    .quad t_shape_jcc_name, t_shape_jcc
    .quad t_shape_jcc_long_name, t_shape_jcc_long
    .quad t_shape_rip_name, t_shape_rip
    .quad t_shape_rip_compare_name, t_shape_rip_compare
    .quad t_shape_rip_lea_name, t_shape_rip_lea
    .quad t_shape_jrcxz_name, t_shape_jrcxz
    .quad t_shape_loop_name, t_shape_loop
    .quad t_shape_call_name, t_shape_call
    .quad t_shape_push_call_name, t_shape_push_call
    .quad t_shape_jmp_name, t_shape_jmp
    .quad t_shape_jmp_short_name, t_shape_jmp_short
    .quad t_shape_short_name, t_shape_short
    .quad t_shape_sub_name, t_shape_sub
    .quad t_shape_sub_long_name, t_shape_sub_long
    .quad t_shape_lea_name, t_shape_lea
    .quad t_shape_pushes_name, t_shape_pushes
    .quad t_shape_push_pop_name, t_shape_push_pop
    .quad t_shape_frame_name, t_shape_frame
    .quad t_shape_realign_name, t_shape_realign
    .quad t_shape_push_immediate_name, t_shape_push_immediate
    .quad t_shape_endbr_name, t_shape_endbr
    .quad t_shape_nop_name, t_shape_nop
    .quad t_shape_nops_name, t_shape_nops
    .quad t_shape_endbr_nop_name, t_shape_endbr_nop
    .quad 0, 0
    .size t_shapes, . - t_shapes

    .section .rodata
t_shape_jcc_name: .asciz "t_shape_jcc"
t_shape_jcc_long_name: .asciz "t_shape_jcc_long"
t_shape_rip_name: .asciz "t_shape_rip"
t_shape_rip_compare_name: .asciz "t_shape_rip_compare"
t_shape_rip_lea_name: .asciz "t_shape_rip_lea"
t_shape_jrcxz_name: .asciz "t_shape_jrcxz"
t_shape_loop_name: .asciz "t_shape_loop"
t_shape_call_name: .asciz "t_shape_call"
t_shape_push_call_name: .asciz "t_shape_push_call"
t_shape_jmp_name: .asciz "t_shape_jmp"
t_shape_jmp_short_name: .asciz "t_shape_jmp_short"
t_shape_short_name: .asciz "t_shape_short"
t_shape_sub_name: .asciz "t_shape_sub"
t_shape_sub_long_name: .asciz "t_shape_sub_long"
t_shape_lea_name: .asciz "t_shape_lea"
t_shape_pushes_name: .asciz "t_shape_pushes"
t_shape_push_pop_name: .asciz "t_shape_push_pop"
t_shape_frame_name: .asciz "t_shape_frame"
t_shape_realign_name: .asciz "t_shape_realign"
t_shape_push_immediate_name: .asciz "t_shape_push_immediate"
t_shape_endbr_name: .asciz "t_shape_endbr"
t_shape_nop_name: .asciz "t_shape_nop"
t_shape_nops_name: .asciz "t_shape_nops"
t_shape_endbr_nop_name: .asciz "t_shape_endbr_nop"

    .section .note.GNU-stack, "", @progbits
#endif
