// Calls functions that a test has laid out with their trampolines, under an emulator and without a C library: caller IMAGE
//
// The image is a file that begins with a struct image. It is mapped where it says; what comes of the calls is written into it.
typedef unsigned long u64;

enum { WORDS = 48 };

struct call {
    u64 code;
    // The stack pointer at the function's entry, in memory of the image.
    u64 stack;
    u64 words[WORDS];
    u64 x[16], d[8];
    // As the function left them.
    u64 after_x[16], after_d[8];
    // Not 0: registers that a function must keep are others, or the stack pointer.
    u64 damage;
};

struct image {
    u64 address, size, count;
    // Whether its pages are guarded: every indirect branch must find a landing pad.
    u64 guarded;
    struct call calls[];
};

static long system_call(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    register long x8 __asm__("x8") = number;
    register u64 x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register u64 x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return (long)x0;
}

enum { OPENAT = 56, READ = 63, EXIT = 94, MMAP = 222 };
enum { READ_WRITE = 3, EXECUTE = 4, GUARDED = 16, SHARED = 1, FIXED = 0x10 };

void call_function(struct call *call);

static int run(const char *path) {
    long file = system_call(OPENAT, -100, (u64)path, 2, 0, 0, 0);
    if (file < 0) return 10;
    struct image header;
    if (system_call(READ, file, (u64)&header, sizeof header, 0, 0, 0) != sizeof header) return 11;
    u64 guarded = GUARDED;
    long mapped = system_call(MMAP, header.address, header.size, READ_WRITE | EXECUTE | GUARDED, SHARED | FIXED, file, 0);
    if (mapped < 0) {
        guarded = 0;
        mapped = system_call(MMAP, header.address, header.size, READ_WRITE | EXECUTE, SHARED | FIXED, file, 0);
    }
    if ((u64)mapped != header.address) return 12;
    struct image *image = (struct image *)header.address;
    image->guarded = guarded != 0;
    for (u64 i = 0; i < header.count; i++) {
        struct call *call = &image->calls[i];
        for (u64 word = 0; word < WORDS; word++) ((volatile u64 *)call->stack)[word] = call->words[word];
        call_function(call);
    }
    return 0;
}

__attribute__((used)) static void start(u64 *stack) {
    system_call(EXIT, stack[0] == 2 ? run((const char *)stack[2]) : 9, 0, 0, 0, 0, 0);
}

__asm__(
    ".text\n"
    ".globl _start\n"
    "_start: mov x0, sp\n"
    "    b start\n"
    ".macro pairs operation, base, offset, n, m, more:vararg\n"
    "    \\operation \\n, \\m, [\\base, #\\offset]\n"
    "    .ifnb \\more\n"
    "    pairs \\operation, \\base, \"(\\offset + 16)\", \\more\n"
    "    .endif\n"
    ".endm\n"
    ".globl call_function\n"
    "call_function:\n"
    "    stp x29, x30, [sp, #-176]!\n"
    "    pairs stp, sp, 16, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28\n"
    "    pairs stp, sp, 96, d8, d9, d10, d11, d12, d13, d14, d15\n"
    "    adrp x9, kept\n"
    "    mov x10, sp\n"
    "    str x10, [x9, :lo12:kept]\n"
    "    add x9, x9, :lo12:kept\n"
    "    str x0, [x9, #8]\n"
    "    ldp x16, x17, [x0]\n"
    "    mov sp, x17\n"
    "    add x17, x0, #400\n"
    "    .irp n, 19,20,21,22,23,24,25,26,27,28,29\n"
    "    mov x\\n, #\\n + 1000\n"
    "    .endr\n"
    "    .irp n, 8,9,10,11,12,13,14,15\n"
    "    mov x0, #\\n + 1000\n"
    "    fmov d\\n, x0\n"
    "    .endr\n"
    "    pairs ldp, x17, 128, d0, d1, d2, d3, d4, d5, d6, d7\n"
    "    pairs ldp, x17, 0, x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15\n"
    "    blr x16\n"
    "    adrp x16, kept\n"
    "    add x16, x16, :lo12:kept\n"
    "    ldr x17, [x16, #8]\n"
    "    add x17, x17, #592\n"
    "    pairs stp, x17, 0, x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15\n"
    "    pairs stp, x17, 128, d0, d1, d2, d3, d4, d5, d6, d7\n"
    "    mov x9, #0\n"
    "    .irp n, 19,20,21,22,23,24,25,26,27,28,29\n"
    "    sub x10, x\\n, #\\n\n"
    "    sub x10, x10, #1000\n"
    "    orr x9, x9, x10\n"
    "    .endr\n"
    "    .irp n, 8,9,10,11,12,13,14,15\n"
    "    fmov x10, d\\n\n"
    "    sub x10, x10, #\\n\n"
    "    sub x10, x10, #1000\n"
    "    orr x9, x9, x10\n"
    "    .endr\n"
    "    ldr x11, [x16, #8]\n"
    "    ldr x12, [x11, #8]\n"
    "    mov x10, sp\n"
    "    eor x10, x10, x12\n"
    "    orr x9, x9, x10\n"
    "    str x9, [x11, #784]\n"
    "    ldr x10, [x16]\n"
    "    mov sp, x10\n"
    "    pairs ldp, sp, 16, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28\n"
    "    pairs ldp, sp, 96, d8, d9, d10, d11, d12, d13, d14, d15\n"
    "    ldp x29, x30, [sp], #176\n"
    "    ret\n"
    ".bss\n"
    ".balign 8\n"
    "kept: .skip 16\n"
    ".text\n");
