// Functions that are hard to trace, or only look traceable: int64_t f(int64_t a, int64_t b).
//
// Each says what `fsession list` must say of it: "traced", "entry only", or words of the reason for which it is
// refused. A refused one must work as before while its neighbours are traced.

// The words of the reasons.
#define SHORT "too short"
#define BRANCH "among the bytes that the jump would overwrite"
#define LOOP "jumps back to its own entry"
#define INSIDE "begins inside another function"
#define DATA "as data or takes its address"
#define FLAGS "looks at the flags"
#define FRAME "writes into its caller's frame"

    .macro function name, verdict, aligned=16
    .section .rodata.names, "a"
9:  .asciz "\name"
8:  .asciz "\verdict"
    .section .data.rel.ro.entries, "aw"
    .quad \name, 9b, 8b
    .text
    .balign \aligned, 0xcc
    .globl \name
    .type \name, @function
\name:
    .endm

    .macro done name
    .size \name, . - \name
    .endm

    .section .data.rel.ro.entries, "aw"
    .balign 8
    .globl entries
entries:

// ---- What compilers make

function e_endbr_jmp, "traced"
    endbr64
    jmp e_target
    done e_endbr_jmp

function e_jmp, "traced"
    jmp e_target
    done e_jmp

function e_endbr_short_jmp, "traced"
    endbr64
    jmp 1f
    .nops 6
1:  lea 7(%rdi, %rsi), %rax
    ret
    done e_endbr_short_jmp

function e_target, "traced"
    lea (%rdi, %rsi), %rax
    imul $3, %rax, %rax
    ret
    done e_target

function e_ret_padded, "traced"
    ret
    done e_ret_padded

function e_endbr_ret_padded, "traced"
    endbr64
    ret
    done e_endbr_ret_padded

function e_rep_ret, "traced"
    rep ret
    done e_rep_ret

// The next function begins right behind these.
function e_ret_bare, SHORT
    ret
    done e_ret_bare
function e_ret_bare_too, SHORT, 1
    ret
    done e_ret_bare_too
function e_return_one, "traced", 1
    mov $1, %eax
    ret
    done e_return_one

function e_return_zero, "traced"
    xor %eax, %eax
    ret
    done e_return_zero
function e_after_zero, "traced", 1
    mov %rdi, %rax
    sub %rsi, %rax
    ret
    done e_after_zero

// ---- Calls at the entry

// Reads its own address: what lies behind the call is code.
function e_call_next, "reads its own address"
    call 1f
1:  pop %rax
    lea 1b(%rip), %rdx
    sub %rdx, %rax
    add %rdi, %rax
    ret
    done e_call_next

// The call's return address is that of a number.
function e_call_over_data, "traced"
    call 1f
    .quad 1234567
1:  pop %rax
    mov (%rax), %rax
    add %rsi, %rax
    ret
    done e_call_over_data

function e_indirect_call, "traced"
    call *e_helper_pointer(%rip)
    add %rdi, %rax
    ret
    done e_indirect_call

function e_push_call, "traced"
    push %rbx
    lea e_helper(%rip), %rbx
    call *%rbx
    pop %rbx
    ret
    done e_push_call

// Returns into the bytes that a jump would overwrite.
function e_register_call, "would return into the bytes"
    xor %esi, %edi
    call *%rdx
    add $1, %rax
    ret
    done e_register_call

function e_helper, "traced"
    mov $1000, %eax
    ret
    done e_helper

// ---- Branches to the entry and behind it

function e_loop_entry, LOOP
    sub $1, %rdi
    add %rsi, %rax
    test $7, %edi
    jne e_loop_entry
    mov %rdi, %rax
    ret
    done e_loop_entry

function e_loop_counted, "traced"
    lea 5(%rdi), %rax
    mov $3, %ecx
1:  add %rsi, %rax
    loop 1b
    ret
    done e_loop_counted

// `loop` is the first instruction and leads on.
function e_loop_first, "traced"
    loop 1f
    mov %rsi, %rax
    ret
    .nops 8
1:  mov %rdi, %rax
    ret
    done e_loop_first

function e_loop_self, LOOP
    loop e_loop_self
    mov %rdi, %rax
    add %rsi, %rax
    ret
    done e_loop_self

function e_jrcxz_first, "traced"
    jrcxz 1f
    mov %rsi, %rax
    ret
1:  mov %rdi, %rax
    ret
    done e_jrcxz_first

// Its loop starts at the second instruction.
function e_loop_second, "traced"
    mov %rdi, %rax
1:  add %rsi, %rax
    sub $1, %dil
    test $3, %dil
    jne 1b
    ret
    done e_loop_second

// A branch into the first five bytes from far away.
function e_entered_far, "traced"
    mov %rdi, %rax
1:  add %rsi, %rax
    add $100, %rax
    ret
    done e_entered_far

    .section .text.unlikely, "ax", @progbits
    .balign 16
    .globl e_far_entrance
    .type e_far_entrance, @function
e_far_entrance:
    lea (%rdi, %rdi), %rax
    jmp 1b
    .size e_far_entrance, . - e_far_entrance
    .section .rodata.names, "a"
9:  .asciz "e_far_entrance"
8:  .asciz "traced"
    .section .data.rel.ro.entries, "aw"
    .quad e_far_entrance, 9b, 8b
    .text

// The branch comes from a part of the function that lies elsewhere, as compilers part cold code off.
function e_with_cold_part, "traced"
    test %rdi, %rdi
    js e_with_cold_part.cold
.Lwarm:
    lea (%rdi, %rsi), %rax
    ret
    done e_with_cold_part
    .section .text.unlikely, "ax", @progbits
    .type e_with_cold_part.cold, @function
e_with_cold_part.cold:
    neg %rdi
    jmp e_with_cold_part + 3
    .size e_with_cold_part.cold, . - e_with_cold_part.cold
    .text

// Entered behind the endbr64: that is where the jump is, and a session begins.
function e_after_endbr, "traced"
    endbr64
    lea 9(%rdi, %rsi), %rax
    ret
    done e_after_endbr
function e_skips_endbr, "traced"
    add $1, %rdi
    jmp e_after_endbr + 4
    done e_skips_endbr

// ---- Tables in the code

function e_jump_table, "traced"
    and $3, %edi
    lea 2f(%rip), %rax
    movslq (%rax, %rdi, 4), %rdx
    add %rdx, %rax
    jmp *%rax
    .balign 4
2:  .long 3f - 2b, 4f - 2b, 5f - 2b, 3f - 2b
3:  mov %rsi, %rax
    ret
4:  lea 1(%rsi), %rax
    ret
5:  lea 2(%rsi), %rax
    ret
    done e_jump_table

// One of its bytes and the four behind could be a jump to e_looks_entered's second instruction.
function e_data_in_code, "traced"
    mov 2f(%rip), %rax
    add %rdi, %rax
    ret
    .balign 8
2:  .quad 0xe9e8e9e8e9e8e9e8
    done e_data_in_code

// What a switch made by hand may do: a table that leads behind the entry.
function e_table_entered, DATA
    mov %rdi, %rax
1:  add %rsi, %rax
    add $5, %rax
    ret
    done e_table_entered
function e_table_entrance, "traced"
    mov %rsi, %rax
    lea 1b(%rip), %rdx
    jmp *%rdx
    done e_table_entrance

// Data that calls itself a function, and is read as data.
function e_data, DATA
    .quad 0x9090909090909090, 0x1234
    done e_data
function e_reads_data, "traced"
    mov e_data(%rip), %rax
    add e_data + 8(%rip), %rax
    ret
    done e_reads_data

// ---- Symbols where there should be none

// A symbol between a prefix and its instruction, as old C libraries have.
function e_locked, BRANCH
    lock
    .globl e_behind_lock
    .type e_behind_lock, @function
e_behind_lock:
    addq $1, e_number(%rip)
    lea (%rdi, %rsi), %rax
    ret
    .size e_behind_lock, . - e_behind_lock
    done e_locked
    .section .rodata.names, "a"
9:  .asciz "e_behind_lock"
8:  .asciz INSIDE
    .section .data.rel.ro.entries, "aw"
    .quad e_behind_lock, 9b, 8b
    .section .rodata.names, "a"
9:  .asciz "e_inner"
    .section .data.rel.ro.entries, "aw"
    .quad e_inner, 9b, 8b
    .section .rodata.names, "a"
9:  .asciz "e_middle"
    .section .data.rel.ro.entries, "aw"
    .quad e_middle, 9b, 8b
    .text

// A symbol in the middle of an instruction further on: a jump there would break the instruction.
function e_outer, "traced"
    mov %rdi, %rax
    mov %rsi, %rdx
    .byte 0x48, 0xb9  // movabs rcx
    .globl e_inner
    .type e_inner, @function
e_inner:
    mov %rdx, %rcx
    mov %rdi, %rax
    nop
    nop
    lea (%rax, %rdx), %rax
    ret
    .size e_inner, . - e_inner
    done e_outer

// Falls into the middle of another symbol with something on the stack.
function e_pushes, "traced"
    push %rbx
    mov %rdi, %rbx
    add %rsi, %rbx
    .globl e_middle
    .type e_middle, @function
e_middle:
    lea 3(%rbx, %rbx), %rax
    pop %rbx
    ret
    .size e_middle, . - e_middle
    done e_pushes

// Falls off its end into the next one.
function e_falls, "traced"
    lea 11(%rdi), %rdi
    nop
    nop
    done e_falls
function e_fallen_into, "traced", 1
    lea (%rdi, %rsi), %rax
    add $1, %rax
    ret
    done e_fallen_into

// ---- Instructions that do not move, or do so with care

function e_trap, BRANCH
    .byte 0xeb, 0x01  // over the trap
    int3
    lea (%rdi, %rsi), %rax
    ret
    done e_trap

function e_undefined, "traced"
    jmp 1f
    ud2
    .nops 6
1:  lea 2(%rdi, %rsi), %rax
    ret
    done e_undefined

function e_system_call, "traced"
    mov $39, %eax
    syscall
    cmp %rcx, %rax
    lea (%rdi, %rsi), %rax
    ret
    done e_system_call

function e_system_call_first, "traced"
    xor %eax, %eax
    mov $39, %al
    syscall
    mov %rdi, %rax
    ret
    done e_system_call_first

function e_rip_load, "traced"
    mov e_constant(%rip), %rax
    add %rdi, %rax
    ret
    done e_rip_load

function e_rip_store, "traced"
    addq $1, e_number(%rip)
    lea (%rdi, %rsi), %rax
    ret
    done e_rip_store

function e_push_rip, "traced"
    pushq e_constant(%rip)
    pop %rax
    add %rdi, %rax
    ret
    done e_push_rip

function e_push_rsp, "traced"
    push %rsp
    pop %rax
    sub %rsp, %rax
    add %rsi, %rax
    ret
    done e_push_rsp

function e_flags, "traced"
    cmp %rsi, %rdi
    setg %al
    movzbl %al, %eax
    ret
    done e_flags

// No room for a long jump, which is made in the padding before; code runs through that padding.
function e_runs_on, "traced"
    add $1, %rdi
    test %rdi, %rdi
    .size e_runs_on, . - e_runs_on
    .byte 0x66, 0x90, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
function e_run_into, "traced", 1
    mov %rdi, %rax
e_fallen_middle:
    lea (%rax, %rsi, 2), %rax
    ret
    done e_run_into
function e_enters_middle, "traced"
    mov %rsi, %rax
    jmp e_fallen_middle
    done e_enters_middle
// The same with an endbr64, and a NOP of just five bytes.
function e_runs_on_too, "traced"
    lea 1(%rdi, %rsi), %rdi
    .size e_runs_on_too, . - e_runs_on_too
    .byte 0x66, 0x0f, 0x1f, 0x44, 0, 0, 0x0f, 0x1f, 0x44, 0, 0
function e_fallen_behind_endbr, "traced"
    endbr64
    mov %rdi, %rax
e_behind_endbr_middle:
    imul $3, %rax, %rax
    ret
    done e_fallen_behind_endbr
function e_enters_endbr_middle, "traced"
    mov %rsi, %rax
    jmp e_behind_endbr_middle
    done e_enters_endbr_middle

// The NOP before is longer than a jump and begins with a prefix, which must not stay before the jump: for some processors
// a jump behind 66 is one of 16 bits. As before glibc's memmove for AVX-512.
function e_runs_on_prefix, "traced"
    add $2, %rdi
    .size e_runs_on_prefix, . - e_runs_on_prefix
    .byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x66, 0x0f, 0x1f, 0x44, 0, 0
function e_run_into_behind_prefix, "traced", 1
    mov %rdi, %rax
e_prefix_middle:
    lea 1(%rax, %rsi, 2), %rax
    ret
    done e_run_into_behind_prefix
function e_enters_prefix_middle, "traced"
    mov %rsi, %rax
    jmp e_prefix_middle
    done e_enters_prefix_middle
// The NOP is one of seven bytes, a small one behind it.
function e_runs_on_seven, "traced"
    add $3, %rdi
    test %rdi, %rdi
    test %rsi, %rsi
    .size e_runs_on_seven, . - e_runs_on_seven
    .byte 0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0x66, 0x90
function e_run_into_behind_seven, "traced", 1
    mov %rdi, %rax
e_seven_middle:
    lea 2(%rax, %rsi, 2), %rax
    ret
    done e_run_into_behind_seven
function e_enters_seven_middle, "traced"
    mov %rsi, %rax
    jmp e_seven_middle
    done e_enters_seven_middle
// Only small NOPs: code that runs through them may stand at each.
function e_runs_on_small, "traced"
    lea 3(%rdi), %rdi
    .size e_runs_on_small, . - e_runs_on_small
    .byte 0x66, 0x90, 0x0f, 0x1f, 0x40, 0, 0x90, 0x90, 0x66, 0x90
function e_run_into_behind_small, BRANCH, 1
    mov %rdi, %rax
e_small_middle:
    lea 3(%rax, %rsi, 2), %rax
    ret
    done e_run_into_behind_small
function e_enters_small_middle, "traced"
    mov %rsi, %rax
    jmp e_small_middle
    done e_enters_small_middle
// What lies before looks like a NOP of five bytes when it is read from its end: it is the end of an instruction.
function e_runs_on_constant, "traced"
    mov %rdi, %rax
    .size e_runs_on_constant, . - e_runs_on_constant
    .byte 0x48, 0x05, 0x0f, 0x1f, 0x44, 0x00  // add $…, %rax
    mov %rax, %rdi
    .byte 0x48, 0xb9, 0, 0, 0, 0x0f, 0x1f, 0x44, 0, 0
function e_run_into_behind_constant, BRANCH, 1
    lea (%rdi, %rsi), %rax
e_constant_middle:
    lea 4(%rax, %rsi, 2), %rax
    ret
    done e_run_into_behind_constant
function e_enters_constant_middle, "traced"
    mov %rsi, %rax
    jmp e_constant_middle
    done e_enters_constant_middle
// A branch into the NOP, whose constant are instructions.
function e_before_entered_padding, "traced"
    lea 5(%rdi, %rsi), %rax
    ret
    .size e_before_entered_padding, . - e_before_entered_padding
    .byte 0x0f, 0x1f, 0x84, 0
e_padding_entrance:
    .byte 0x90, 0x90, 0x90, 0x90
function e_behind_entered_padding, BRANCH, 1
    mov %rdi, %rax
e_entered_padding_middle:
    lea 5(%rax, %rsi, 2), %rax
    ret
    done e_behind_entered_padding
function e_enters_padding, "traced"
    mov %rsi, %rax
    add $9, %rdi
    test %rdi, %rdi
    jne e_padding_entrance
    jmp e_entered_padding_middle
    done e_enters_padding
// int3 that nothing runs through, and int3 that something might.
function e_before_int3, "traced"
    lea 6(%rdi, %rsi), %rax
    ret
    .size e_before_int3, . - e_before_int3
    .fill 9, 1, 0xcc
function e_behind_int3, "traced", 1
    mov %rdi, %rax
e_int3_middle:
    lea 6(%rax, %rsi, 2), %rax
    ret
    done e_behind_int3
function e_enters_int3_middle, "traced"
    mov %rsi, %rax
    jmp e_int3_middle
    done e_enters_int3_middle
function e_before_open_int3, "traced"
    lea 7(%rdi, %rsi), %rax
    test %rax, %rax
    jne 1f
    ret
1:  jmp 2f
3:  ret
2:  cmp %rax, %rax
    je 3b
    .size e_before_open_int3, . - e_before_open_int3
    .fill 9, 1, 0xcc
function e_behind_open_int3, BRANCH, 1
    mov %rdi, %rax
e_open_int3_middle:
    lea 7(%rax, %rsi, 2), %rax
    ret
    done e_behind_open_int3
function e_enters_open_int3_middle, "traced"
    mov %rsi, %rax
    jmp e_open_int3_middle
    done e_enters_open_int3_middle

// ---- Addresses behind the entry that nothing but data tells of. There is no padding before these functions.

// A pointer that the dynamic linker relocates.
    .section .data.rel.ro.pointers, "aw"
    .balign 8
e_pointer_to_middle: .quad e_pointed_to + 3
    .text
function e_pointed_to, BRANCH, 1
    mov %rdi, %rax
    lea 8(%rax, %rsi, 2), %rax
    ret
    done e_pointed_to
function e_jumps_by_pointer, "traced"
    mov %rsi, %rax
    jmp *e_pointer_to_middle(%rip)
    done e_jumps_by_pointer
// A symbol that is no function, and is reached by its distance only.
function e_with_label, BRANCH, 1
    mov %rdi, %rax
    .globl e_label
e_label:
    lea 9(%rax, %rsi, 2), %rax
    ret
    done e_with_label
function e_jumps_by_distance, "traced"
    mov %rsi, %rax
    lea e_jumps_by_distance(%rip), %rdx
    add $(e_label - e_jumps_by_distance), %rdx
    jmp *%rdx
    done e_jumps_by_distance
// A part that only an unwinder is told of.
function e_with_unwound_part, BRANCH, 1
    .cfi_startproc
    mov %rdi, %rax
    .cfi_endproc
5:  .cfi_startproc
    lea 10(%rax, %rsi, 2), %rax
    ret
    .cfi_endproc
    done e_with_unwound_part
function e_jumps_to_unwound_part, "traced"
    mov %rsi, %rax
    lea e_jumps_to_unwound_part(%rip), %rdx
    add $(5b - e_jumps_to_unwound_part), %rdx
    jmp *%rdx
    done e_jumps_to_unwound_part
// A jump table whose entries lead behind the first instruction, as for `for (;;) switch (*p++) { case 3: continue; … }`.
function e_table_to_start, BRANCH, 1
    mov %rdi, %rax
1:  add $1, %rax
    mov %eax, %ecx
    and $3, %ecx
    lea 7f(%rip), %rdx
    movslq (%rdx, %rcx, 4), %rcx
    add %rdx, %rcx
    jmp *%rcx
2:  add %rsi, %rax
    ret
    .section .rodata.tables, "a"
    .balign 4
7:  .long 2b - 7b, 1b - 7b, 1b - 7b, 2b - 7b
    .text
    done e_table_to_start
// The same to the entry itself: a loop.
function e_table_to_entry, LOOP
    add $1, %rdi
    mov %edi, %ecx
    and $3, %ecx
    lea 7f(%rip), %rdx
    movslq (%rdx, %rcx, 4), %rcx
    add %rdx, %rcx
    jmp *%rcx
2:  lea (%rdi, %rsi), %rax
    ret
    .section .rodata.tables, "a"
    .balign 4
7:  .long 2b - 7b, e_table_to_entry - 7b, e_table_to_entry - 7b, 2b - 7b
    .text
    done e_table_to_entry

// Pops its caller's address and jumps to it.
function e_pops_return, "traced"
    pop %rdx
    lea (%rdi, %rsi), %rax
    jmp *%rdx
    done e_pops_return

// ---- The caller's stack and rbp: parts of hand-written code that only their own callers call. What they are called
// "own" for is not called by the program.

    .macro own name, verdict
    .section .rodata.names, "a"
9:  .asciz "\name"
8:  .asciz "\verdict"
    .section .data.rel.ro.entries, "aw"
    .quad \name, 9b, 8b
    .text
    .balign 16, 0xcc
    .globl \name
    .type \name, @function
\name:
    .endm

// Pops eight bytes of its caller's, who has pushed them.
own own_pops_argument, "traced"
    mov 8(%rsp), %rax
    lea (%rax, %rdi), %rax
    ret $8
    done own_pops_argument
function e_calls_popper, "traced"
    push %rsi
    call own_pops_argument
    add $1, %rax
    ret
    done e_calls_popper

// Pops as many words as rdx says.
own own_pops_by_register, "traced"
    mov 8(%rsp), %rax
    add 16(%rsp), %rax
    pop %rcx
    lea (%rsp, %rdx, 8), %rsp
    push %rcx
    ret
    done own_pops_by_register
function e_calls_register_popper, "traced"
    push %rbx
    push %rsi
    push %rdi
    push %rsi
    mov $3, %edx
    call own_pops_by_register
    pop %rbx
    ret
    done e_calls_register_popper

// Pops by an addition, and jumps back.
own own_pops_and_jumps, "traced"
    mov 8(%rsp), %rax
    mov (%rsp), %rcx
    add $24, %rsp
    jmp *%rcx
    done own_pops_and_jumps
function e_calls_jumper, "traced"
    push %rdi
    push %rsi
    call own_pops_and_jumps
    ret
    done e_calls_jumper

// Takes a pointer in rbp, and leaves another value there.
own own_takes_rbp, "traced"
    mov (%rbp), %rax
    add 8(%rbp), %rax
    mov $77, %ebp
    ret
    done own_takes_rbp
function e_calls_rbp_taker, "traced"
    push %rbp
    push %rdi
    push %rsi
    mov %rsp, %rbp
    call own_takes_rbp
    add %rbp, %rax
    add $16, %rsp
    pop %rbp
    ret
    done e_calls_rbp_taker

// Takes a number in rbp, and leaves another one there.
own own_adds_rbp, "traced"
    xor %eax, %eax
    add %rbp, %rax
    lea 5(%rax), %rbp
    ret
    done own_adds_rbp
function e_calls_rbp_adder, "traced"
    push %rbp
    lea (%rdi, %rsi), %rbp
    call own_adds_rbp
    sub %rbp, %rax
    lea (%rax, %rbp, 2), %rax
    pop %rbp
    ret
    done e_calls_rbp_adder

// Counts with rbp and does not keep it.
own own_loses_rbp, "traced"
    lea (%rdi, %rsi), %rbp
    lea 3(%rbp), %rax
    ret
    done own_loses_rbp
function e_calls_rbp_loser, "traced"
    push %rbp
    call own_loses_rbp
    pop %rbp
    ret
    done e_calls_rbp_loser

// Loses rbp, takes what was pushed, all at once.
own own_loses_and_pops, "traced"
    mov 8(%rsp), %rbp
    lea (%rbp, %rdi), %rax
    ret $16
    done own_loses_and_pops
function e_calls_loser_and_popper, "traced"
    push %rbp
    push %rdi
    push %rsi
    call own_loses_and_pops
    add %rbp, %rax
    pop %rbp
    ret
    done e_calls_loser_and_popper

// Thirty words of arguments.
function e_thirty_words, "traced"
    push %rbx
    mov $30, %ecx
1:  lea (%rsi, %rcx), %rax
    push %rax
    dec %ecx
    jnz 1b
    call own_thirty_words
    add $240, %rsp
    pop %rbx
    ret
    done e_thirty_words
own own_thirty_words, "traced"
    push %rbx
    mov 16(%rsp), %rax
    imul 120(%rsp), %rax
    add 248(%rsp), %rax
    pop %rbx
    ret
    done own_thirty_words
// Leaves to that function, which finds what was pushed for this one.
own own_leaves_to_thirty, "traced"
    inc %rdi
    jmp own_thirty_words
    done own_leaves_to_thirty
function e_thirty_by_a_jump, "traced"
    push %rbx
    mov $30, %ecx
1:  lea (%rdi, %rcx, 8), %rax
    push %rax
    dec %ecx
    jnz 1b
    call own_leaves_to_thirty
    add $240, %rsp
    pop %rbx
    ret
    done e_thirty_by_a_jump
// Looks at them through a pointer.
own own_sums_by_pointer, "traced"
    lea 8(%rsp), %rdx
    xor %eax, %eax
    mov $40, %ecx
1:  add (%rdx), %rax
    add $8, %rdx
    dec %ecx
    jnz 1b
    ret
    done own_sums_by_pointer
function e_forty_by_pointer, "traced"
    mov $40, %ecx
1:  push %rdi
    push %rsi
    dec %ecx
    dec %ecx
    jnz 1b
    call own_sums_by_pointer
    add $320, %rsp
    ret
    done e_forty_by_pointer
// The part that needs them lies elsewhere, and runs with more on the stack.
own own_cold_reader, "traced"
    sub $24, %rsp
    test %rdi, %rdi
    jns 5f
    xor %eax, %eax
    add $24, %rsp
    ret
    done own_cold_reader
    .section .text.unlikely, "ax"
5:  mov 256(%rsp), %rax
    add $24, %rsp
    ret
    .text
function e_cold_words, "traced"
    mov $30, %ecx
1:  lea (%rsi, %rcx), %rax
    push %rax
    dec %ecx
    jnz 1b
    call own_cold_reader
    add $240, %rsp
    ret
    done e_cold_words

// Says by the carry which of its arguments is less.
own own_compares, FLAGS
    cmp %rdi, %rsi
    mov %rsi, %rax
    ret
    done own_compares
function e_calls_comparer, "traced"
    call own_compares
    adc $0, %rax
    ret
    done e_calls_comparer
own own_tests, FLAGS
    test %rdi, %rdi
    ret
    done own_tests
function e_calls_tester, "traced"
    mov $1, %eax
    call own_tests
    js 1f
    lea (%rdi, %rsi), %rax
1:  ret
    done e_calls_tester

// Part of its caller: its results go into its caller's frame.
own own_writes_frame, FRAME
    mov %rdi, 8(%rsp)
    mov %rsi, 16(%rsp)
    ret
    done own_writes_frame
function e_calls_frame_writer, "traced"
    sub $24, %rsp
    call own_writes_frame
    mov (%rsp), %rax
    add 8(%rsp), %rax
    add $24, %rsp
    ret
    done e_calls_frame_writer
// The same through registers, in a loop, as in OpenSSL's __rsaz_512_mul.
own own_writes_frame_by_register, FRAME
    lea 8(%rsp), %rcx
    mov %rcx, %rdx
    mov $2, %eax
1:  mov %rdi, (%rdx)
    lea 8(%rdx), %rdx
    mov %rsi, %rdi
    dec %eax
    jnz 1b
    ret
    done own_writes_frame_by_register
function e_calls_register_frame_writer, "traced"
    sub $24, %rsp
    call own_writes_frame_by_register
    mov (%rsp), %rax
    add 8(%rsp), %rax
    add $24, %rsp
    ret
    done e_calls_register_frame_writer
// By a string instruction.
own own_fills_frame, FRAME
    mov %rdi, %rax
    lea 8(%rsp), %rdi
    stosq
    mov %rsi, %rax
    stosq
    ret
    done own_fills_frame
function e_calls_frame_filler, "traced"
    sub $24, %rsp
    call own_fills_frame
    mov (%rsp), %rax
    add 8(%rsp), %rax
    add $24, %rsp
    ret
    done e_calls_frame_filler
// Keeps the address of its arguments and then writes elsewhere by the same register: va_start.
function e_keeps_address, "traced"
    lea 8(%rsp), %rax
    mov %rax, -16(%rsp)
    lea -32(%rsp), %rax
    mov %rdi, (%rax)
    mov (%rax), %rax
    ret
    done e_keeps_address

function e_red_zone, "traced"
    mov %rdi, -8(%rsp)
    mov %rsi, -128(%rsp)
    mov -8(%rsp), %rax
    add -128(%rsp), %rax
    ret
    done e_red_zone

    .section .data.rel.ro.entries, "aw"
    .quad 0, 0, 0

    .data
    .balign 8
e_constant:
    .quad 4242
e_number:
    .quad 0
e_helper_pointer:
    .quad e_helper

    .section .note.GNU-stack, "", @progbits
