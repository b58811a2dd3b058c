// Throws through traced functions when told to.
#include <cstdio>
#include <cstring>

extern "C" __attribute__((noinline)) long thrower(long n)
{
    if (n > 0) throw n;
    return n - 1;
}

extern "C" __attribute__((noinline)) long middle(long n)
{
    long result = thrower(n);
    __asm__ volatile("" : "+r"(result));
    return result * 2;
}

int main()
{
    char line[64];
    std::puts("ready");
    std::fflush(stdout);
    while (std::fgets(line, sizeof line, stdin)) {
        long n = 0;
        std::sscanf(line, "throw %ld", &n);
        try {
            std::printf("returned %ld\n", middle(n));
        } catch (long caught) {
            std::printf("caught %ld\n", caught);
        }
        std::fflush(stdout);
    }
}
