// A program to look at: some of its calls are slow. Prints the sum of all, so that it can be checked.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((noinline)) long work(long item)
{
    if (item % 10 == 3) {
        struct timespec nap = { .tv_nsec = 30 * 1000 * 1000 };
        nanosleep(&nap, 0);
    }
    return item * item;
}

int main(int argc, char **argv)
{
    long items = argc > 1 ? atol(argv[1]) : 50, sum = 0;

    for (long item = 0; item < items; item++)
        sum += work(item);
    printf("sum %ld\n", sum);
    return 0;
}
