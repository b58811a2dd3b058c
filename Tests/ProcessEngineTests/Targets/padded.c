// Threads that do nothing but call padded() until a line comes.
#include <pthread.h>
#include <stdio.h>

long padded(long number);
long enters(long, long number);
static volatile int stop;
static volatile int wrong;

static void *run(void *unused)
{
    long number = 0;

    while (!stop) {
        if (padded(number) != number) wrong = 1;
        number++;
    }
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    char line[16];

    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run, NULL);
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin)) return 2;
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    return wrong || enters(1, 2) != 2;
}
