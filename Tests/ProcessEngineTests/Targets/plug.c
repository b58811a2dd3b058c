// A library to load and unload: VALUE tells two of them apart.
__attribute__((noinline, used, visibility("default"))) long plug(long n) {
    __asm__ volatile("" : "+r"(n));
#if VALUE == 1
    return n + VALUE;
#else
    // Begins with other instructions.
    long square = n * n;
    __asm__ volatile("" : "+r"(square));
    return square * 3 + n;
#endif
}
