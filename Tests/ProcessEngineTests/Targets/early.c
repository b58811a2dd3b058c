// Calls `early_…` functions wherever a program's life has a place for it before `main`. LIBRARY: those of a library, else
// those of the program, which is linked to it unless ALONE is defined.
#ifdef LIBRARY
#define NAME(name) early_library_##name
#else
#define NAME(name) early_program_##name
#endif
#define FUNCTION(name) \
    __attribute__((noinline, aligned(16), visibility("default"))) int NAME(name)(int n) { __asm__ volatile("nop\nnop\nnop\nnop\nnop\nnop" : "+r"(n)); return n + 1; }

static int sum;

FUNCTION(constructor)
FUNCTION(first)
__attribute__((constructor)) static void construct(void) { sum += NAME(constructor)(1); }
__attribute__((constructor(101))) static void construct_first(void) { sum += NAME(first)(1); }

#ifdef LIBRARY
FUNCTION(ordinary)
#else
#ifndef ALONE
int early_library_ordinary(int);
#else
static int early_library_ordinary(int n) { return n + 1; }
#endif
FUNCTION(preinit)
FUNCTION(main)
#ifndef NO_PREINIT
static void preinit(int count, char **arguments, char **environment) {
    (void)count, (void)arguments, (void)environment;
    sum += early_program_preinit(1);
}
__attribute__((section(".preinit_array"), used)) static void (*const place)(int, char **, char **) = preinit;
#endif

int main(void) { return sum + early_program_main(early_library_ordinary(1)); }
#endif
