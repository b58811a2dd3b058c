/* SPDX-License-Identifier: Apache-2.0
 *
 * What several of the tools need: powers of two, and maps that count.
 */
#ifndef TOOLS_H
#define TOOLS_H

#include "fsession.bpf.h"

/* The highest set bit of a number, 0 for 0: the row of a histogram. */
static __always_inline u32 log2_of(u64 value)
{
    u32 power = 0;

#pragma clang loop unroll(full)
    for (u32 step = 32; step; step /= 2) {
        if (value >> step) {
            value >>= step;
            power += step;
        }
    }
    return power;
}

/* Adds to a 64-bit value of a hash map; the first one for a key makes it. */
static __always_inline void add_to(void *map, const void *key, u64 amount)
{
    u64 none = 0, *sum = bpf_map_lookup_elem(map, key);

    if (!sum) {
        bpf_map_update_elem(map, key, &none, BPF_NOEXIST);
        sum = bpf_map_lookup_elem(map, key);
        if (!sum)
            return;
    }
    __sync_fetch_and_add(sum, amount);
}

#endif
