// Runs programs that a test has compiled for arm64, under an emulator and without a C library: runner IMAGE
//
// The image is a file that begins with a struct image. It is mapped where it says, and so is room for the programs' memory.
// What comes of the programs is written into it.
typedef unsigned long u64;

struct run {
    u64 code, first, second;
    // The memory of the program: where its bytes are in the image, and how many.
    u64 memory, size;
    u64 result;
    // Not 0: registers that a function must keep are others.
    u64 damage;
};

struct image {
    u64 address, size, room, count;
    u64 helpers[3];
    // Whether its pages are guarded: every indirect branch must find a `bti`.
    u64 guarded;
    struct run runs[];
};

static long system_call(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    register long x8 __asm__("x8") = number;
    register u64 x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register u64 x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return (long)x0;
}

enum { OPENAT = 56, READ = 63, CLOSE = 57, EXIT = 94, MMAP = 222 };
enum { READ_WRITE = 3, EXECUTE = 4, GUARDED = 16, SHARED = 1, PRIVATE_ANONYMOUS = 0x22, FIXED = 0x10 };

u64 call_program(u64 code, u64 first, u64 second, u64 *result);
u64 helper_clock(void);

// Shows its six arguments, a digit each.
static u64 helper_sum(u64 a, u64 b, u64 c, u64 d, u64 e, u64 state) {
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * state;
}

// Like bpf_loop: calls back until the callback returns 1.
static u64 helper_loop(u64 count, u64 (*callback)(u64, u64), u64 argument) {
    for (u64 i = 0; i < count; i++)
        if (callback(i, argument) != 0) return i + 1;
    return count;
}

static void copy(volatile char *to, const volatile char *from, u64 size) {
    for (u64 i = 0; i < size; i++) to[i] = from[i];
}

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
    if ((u64)system_call(MMAP, header.room, 65536, READ_WRITE, PRIVATE_ANONYMOUS | FIXED, -1, 0) != header.room) return 13;
    struct image *image = (struct image *)header.address;
    image->guarded = guarded != 0;
    image->helpers[0] = (u64)helper_sum;
    image->helpers[1] = (u64)helper_loop;
    image->helpers[2] = (u64)helper_clock;
    for (u64 i = 0; i < header.count; i++) {
        struct run *run = &image->runs[i];
        char *bytes = (char *)image + run->memory;
        copy((char *)header.room, bytes, run->size);
        run->damage = call_program(run->code, run->first, run->second, &run->result);
        copy(bytes, (char *)header.room, run->size);
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
    // Overwrites all that a C function may.
    ".globl helper_clock\n"
    "helper_clock:\n"
    "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n"
    "    mov x\\n, #-3\n"
    "    .endr\n"
    "    mov x0, #4711\n"
    "    ret\n"
    ".globl call_program\n"
    "call_program:\n"
    "    stp x29, x30, [sp, #-192]!\n"
    "    stp x19, x20, [sp, #16]\n"
    "    stp x21, x22, [sp, #32]\n"
    "    stp x23, x24, [sp, #48]\n"
    "    stp x25, x26, [sp, #64]\n"
    "    stp x27, x28, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n"
    "    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    str x3, [sp, #160]\n"
    "    adrp x9, kept_stack\n"
    "    mov x10, sp\n"
    "    str x10, [x9, :lo12:kept_stack]\n"
    "    mov x16, x0\n"
    "    mov x0, x1\n"
    "    mov x1, x2\n"
    "    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,19,20,21,22,23,24,25,26,27,28,29\n"
    "    mov x\\n, #\\n + 1000\n"
    "    .endr\n"
    "    .irp n, 8,9,10,11,12,13,14,15\n"
    "    fmov d\\n, x\\n\n"
    "    .endr\n"
    "    blr x16\n"
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
    "    adrp x11, kept_stack\n"
    "    ldr x11, [x11, :lo12:kept_stack]\n"
    "    mov x10, sp\n"
    "    eor x10, x10, x11\n"
    "    orr x9, x9, x10\n"
    "    mov sp, x11\n"
    "    ldr x3, [sp, #160]\n"
    "    str x0, [x3]\n"
    "    mov x0, x9\n"
    "    ldp x19, x20, [sp, #16]\n"
    "    ldp x21, x22, [sp, #32]\n"
    "    ldp x23, x24, [sp, #48]\n"
    "    ldp x25, x26, [sp, #64]\n"
    "    ldp x27, x28, [sp, #80]\n"
    "    ldp d8, d9, [sp, #96]\n"
    "    ldp d10, d11, [sp, #112]\n"
    "    ldp d12, d13, [sp, #128]\n"
    "    ldp d14, d15, [sp, #144]\n"
    "    ldp x29, x30, [sp], #192\n"
    "    ret\n"
    ".bss\n"
    ".balign 8\n"
    "kept_stack: .skip 8\n"
    ".text\n");
