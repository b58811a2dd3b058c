// A second reading of what may be overwritten in a file's code. It shares nothing with the engine: its own ELF reader, and
// Capstone's word for what an instruction is and where it goes.
#ifndef CENSUS_READER_H
#define CENSUS_READER_H
#include <stddef.h>
#include <stdint.h>

enum census_patch_kind {
    CENSUS_ENTRY,    // bytes at a function's entry
    CENSUS_PADDING,  // a jump before it
};

// Bytes that would be overwritten.
struct census_patch {
    uint64_t function;  // whose they are
    uint64_t start;
    uint32_t size;
    uint32_t kind;
};

enum census_finding {
    CENSUS_TARGET = 1,  // a branch, a symbol, an unwinding entry, a pointer or a jump table leads there
    CENSUS_RETURN,      // a call returns there
    CENSUS_COVERED,     // an instruction from before reaches into them
    CENSUS_REACHED,     // code runs to a byte of the padding that is not the jump's first
    CENSUS_LOOP,        // the function jumps to its own entry
    CENSUS_NOT_NOPS,    // what lies between the jump and the entry does something
};

struct census_violation {
    uint64_t function;
    uint64_t address;
    uint64_t source;  // where it comes from, 0 if that is not known
    uint32_t finding;
};

struct census_result {
    uint64_t instructions;  // that were read
    uint64_t unread;        // places at which Capstone knows no instruction
    uint64_t not_reached;   // entries that nothing leads to
    uint64_t tables;        // jump tables
    size_t violations;
};

// 0 if the file could be read. At most `most` violations are written to `found`; all are counted.
int census_read(const char *path, const struct census_patch *patches, size_t count, struct census_violation *found,
                size_t most, struct census_result *result);
#endif
