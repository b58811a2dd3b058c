// Shared by the files of this target.
#ifndef TARGET_RUNTIME_TEST_INTERNAL_H
#define TARGET_RUNTIME_TEST_INTERNAL_H

#include "TargetRuntimeTestSupport.h"

typedef uint64_t helper(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, struct fs_state *);
helper *helper_in_copy(uint32_t number);

static inline uint64_t next_random(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline uint64_t value_of(uint64_t key) { return key * 0x100000001b3ull + 7; }

struct record { uint32_t writer, length; uint64_t sequence, check; uint8_t bytes[]; };

static inline uint64_t check_of(const struct record *record) {
    uint64_t check = record->sequence * 31 + record->writer * 17 + record->length;
    for (uint32_t i = 0; i < record->length; i++) check = check * 131 + record->bytes[i];
    return check;
}

static inline void fill_record(struct record *record, uint32_t writer, uint64_t sequence, uint32_t length) {
    record->writer = writer;
    record->length = length;
    record->sequence = sequence;
    // Many zeros and all-ones: what a head or free space might be mistaken for.
    for (uint32_t i = 0; i < length; i++) record->bytes[i] = (uint8_t)((i + sequence) % 3 == 0 ? 0 : (i % 5 ? sequence : 0xff));
    record->check = check_of(record);
}

static inline int record_is_intact(const struct record *record, uint32_t length) {
    return length >= sizeof *record && record->length == length - sizeof *record && record->check == check_of(record);
}

#endif
