// A function without room for a long jump, and the padding that it is made in.
    .text
    .globl padded, enters
    .type enters, @function
    .balign 16
enters:
    mov %rsi, %rax
    jmp middle
    .size enters, . - enters

    .balign 32, 0x90
    .byte 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
    .type padded, @function
padded:
    mov %rdi, %rax
middle:
    ret
    .size padded, . - padded
    .section .note.GNU-stack, "", @progbits
