// A program that receives a few packets, for the article's programs to trace.
#include <stdio.h>
#include <stdlib.h>

struct sk_buff {
    unsigned length;
    unsigned char data[64];
};

__attribute__((noinline)) int icmp_rcv(struct sk_buff *skb)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < skb->length; i++)
        sum += skb->data[i];
    return (int)(sum & 0xffff);
}

int main(int argc, char **argv)
{
    int packets = argc > 1 ? atoi(argv[1]) : 1;
    struct sk_buff skb = { .length = 64 };
    for (int i = 0; i < packets; i++) {
        skb.data[0] = (unsigned char)i;
        printf("packet %d: %d\n", i, icmp_rcv(&skb));
    }
    return 0;
}
