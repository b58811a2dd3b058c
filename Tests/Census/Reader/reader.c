#include "CensusReader.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What is known of a byte of code.
enum {
    START = 1,    // an instruction that is reached starts here
    TARGET = 2,   // it is come to otherwise than by running on
    RETURN = 4,   // a call returns here
    LOOP = 8,     // the function that starts here jumps here
};

struct range {
    uint64_t start, end;
};

struct code {
    struct range range;
    const uint8_t *bytes;
    uint8_t *flags, *sizes;
};

// An instruction of a function that names a table, or may jump through one.
struct table {
    uint64_t address, owner;
    bool absolute, done;
};

struct list {
    uint64_t *items;
    size_t count, room;
};

struct file {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
    size_t section_count;
};

struct reader {
    struct file file;
    struct code code[64];
    size_t code_count;
    struct range *functions;
    size_t function_count, function_room;
    struct list work, indirect;
    struct table *tables;
    size_t table_count, table_room;
    struct list bases;
    struct census_result *result;
    csh capstone;
    cs_insn *instruction;
};

static void append(struct list *list, uint64_t item)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 1024;
        list->items = realloc(list->items, list->room * sizeof *list->items);
        if (!list->items) abort();
    }
    list->items[list->count++] = item;
}

// ---- The file

static bool open_file(const char *path, struct file *file)
{
    memset(file, 0, sizeof *file);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    struct stat status;
    bool good = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= (off_t)sizeof(Elf64_Ehdr);
    if (good) {
        file->size = (size_t)status.st_size;
        file->bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        good = file->bytes != MAP_FAILED;
    }
    close(descriptor);
    if (!good) {
        file->bytes = NULL;
        return false;
    }
    file->header = (const Elf64_Ehdr *)file->bytes;
    const Elf64_Ehdr *header = file->header;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_machine != EM_X86_64 || header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 != 0 ||
        header->e_shoff > file->size || header->e_shnum > (file->size - header->e_shoff) / sizeof(Elf64_Shdr))
        return false;
    file->sections = (const Elf64_Shdr *)(file->bytes + header->e_shoff);
    file->section_count = header->e_shnum;
    return true;
}

static void close_file(struct file *file)
{
    if (file->bytes) munmap((void *)file->bytes, file->size);
}

static const uint8_t *contents(const struct file *file, const Elf64_Shdr *section)
{
    if (section->sh_type == SHT_NOBITS || section->sh_offset > file->size || section->sh_size > file->size - section->sh_offset)
        return NULL;
    return file->bytes + section->sh_offset;
}

// The file's bytes for an address of memory.
static const uint8_t *at_address(const struct file *file, uint64_t address, size_t size)
{
    for (size_t index = 0; index < file->section_count; index++) {
        const Elf64_Shdr *section = &file->sections[index];
        if (!(section->sh_flags & SHF_ALLOC) || address < section->sh_addr || address - section->sh_addr >= section->sh_size ||
            section->sh_size - (address - section->sh_addr) < size)
            continue;
        const uint8_t *bytes = contents(file, section);
        return bytes ? bytes + (address - section->sh_addr) : NULL;
    }
    return NULL;
}

static struct code *code_at(struct reader *reader, uint64_t address)
{
    for (size_t index = 0; index < reader->code_count; index++)
        if (address >= reader->code[index].range.start && address < reader->code[index].range.end) return &reader->code[index];
    return NULL;
}

static uint8_t flags_at(struct reader *reader, uint64_t address)
{
    struct code *code = code_at(reader, address);
    return code ? code->flags[address - code->range.start] : 0;
}

// ---- Functions

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->start != y->start ? (x->start < y->start ? -1 : 1) : x->end < y->end ? 1 : x->end > y->end ? -1 : 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void add_function(struct reader *reader, uint64_t start, uint64_t size)
{
    if (!code_at(reader, start)) return;
    if (reader->function_count == reader->function_room) {
        reader->function_room = reader->function_room ? reader->function_room * 2 : 1024;
        reader->functions = realloc(reader->functions, reader->function_room * sizeof *reader->functions);
        if (!reader->functions) abort();
    }
    reader->functions[reader->function_count++] = (struct range){ start, start + size };
}

// The function that an address lies in: the last one that starts before it.
static struct range function_of(struct reader *reader, uint64_t address)
{
    size_t low = 0, high = reader->function_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reader->functions[middle].start <= address) low = middle + 1;
        else high = middle;
    }
    for (size_t back = 0; back < 8 && low > back; back++) {
        struct range range = reader->functions[low - 1 - back];
        if (address < range.end) return range;
    }
    return (struct range){ address, address };
}

static void come_to(struct reader *reader, uint64_t address, uint8_t how)
{
    struct code *code = code_at(reader, address);
    if (!code) return;
    uint8_t *flags = &code->flags[address - code->range.start];
    bool is_new = !(*flags & START);
    *flags |= how;
    if (is_new) append(&reader->work, address);
}

static void read_symbols(struct reader *reader, const struct file *file)
{
    for (size_t index = 0; index < file->section_count; index++) {
        const Elf64_Shdr *section = &file->sections[index];
        const uint8_t *bytes = contents(file, section);
        if (!bytes || (section->sh_type != SHT_SYMTAB && section->sh_type != SHT_DYNSYM) || section->sh_entsize != sizeof(Elf64_Sym))
            continue;
        for (size_t number = 0; number < section->sh_size / sizeof(Elf64_Sym); number++) {
            Elf64_Sym symbol;
            memcpy(&symbol, bytes + number * sizeof symbol, sizeof symbol);
            unsigned type = ELF64_ST_TYPE(symbol.st_info);
            if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || symbol.st_name == 0) continue;
            if (type == STT_FUNC || type == STT_GNU_IFUNC) add_function(reader, symbol.st_value, symbol.st_size);
            // Data in the code is not run; a branch to it would be found.
            if (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) come_to(reader, symbol.st_value, TARGET);
        }
    }
}

// Where the symbols of a stripped file are.
static void read_debug_symbols(struct reader *reader)
{
    for (size_t index = 0; index < reader->file.section_count; index++) {
        const Elf64_Shdr *section = &reader->file.sections[index];
        const uint8_t *bytes = contents(&reader->file, section);
        if (section->sh_type == SHT_SYMTAB) return;
        if (!bytes || section->sh_type != SHT_NOTE || section->sh_size < 20) continue;
        Elf64_Nhdr note;
        memcpy(&note, bytes, sizeof note);
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || note.n_descsz < 2 || note.n_descsz > 64 ||
            16 + note.n_descsz > section->sh_size)
            continue;
        char path[256] = "/usr/lib/debug/.build-id/";
        size_t length = strlen(path);
        for (size_t byte = 0; byte < note.n_descsz; byte++)
            length += (size_t)snprintf(path + length, sizeof path - length, byte == 0 ? "%02x/" : "%02x", bytes[16 + byte]);
        snprintf(path + length, sizeof path - length, ".debug");
        struct file debug;
        if (open_file(path, &debug)) read_symbols(reader, &debug);
        close_file(&debug);
    }
}

static uint64_t number(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, bytes, size);
    return value;
}

static const uint8_t *skip_leb(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at & 0x80) at++;
    return at < end ? at + 1 : end;
}

// How the addresses of an unwinding entry are written: what its CIE's augmentation says after R.
static int pointer_encoding(const uint8_t *cie, const uint8_t *end)
{
    if (cie + 9 > end) return -1;
    uint8_t version = cie[4];
    const uint8_t *augmentation = cie + 5, *at = augmentation;
    while (at < end && *at) at++;
    if (at >= end) return -1;
    at = skip_leb(at + 1, end);
    at = skip_leb(at, end);
    at = version == 1 ? at + 1 : skip_leb(at, end);
    if (*augmentation != 'z') return *augmentation ? -1 : 0;
    at = skip_leb(at, end);
    for (const uint8_t *letter = augmentation + 1; *letter; letter++) {
        if (at >= end) return -1;
        if (*letter == 'R') return *at;
        if (*letter == 'L') at++;
        else if (*letter == 'P') at += 1 + ((*at & 7) == 2 ? 2 : (*at & 7) == 3 ? 4 : 8);
        else if (*letter != 'S' && *letter != 'B') return -1;
    }
    return 0;
}

static void read_unwinding(struct reader *reader)
{
    for (size_t index = 0; index < reader->file.section_count; index++) {
        const Elf64_Shdr *section = &reader->file.sections[index];
        const uint8_t *bytes = contents(&reader->file, section);
        // PROGBITS, or SHT_X86_64_UNWIND; its name is not needed: entries that make no sense end the reading.
        if (!bytes || !(section->sh_flags & SHF_ALLOC) || section->sh_flags & SHF_EXECINSTR) continue;
        const Elf64_Shdr *names = reader->file.header->e_shstrndx < reader->file.section_count
            ? &reader->file.sections[reader->file.header->e_shstrndx] : NULL;
        const uint8_t *text = names ? contents(&reader->file, names) : NULL;
        if (!text || section->sh_name + 10 > names->sh_size || memcmp(text + section->sh_name, ".eh_frame", 10) != 0) continue;
        const uint8_t *end = bytes + section->sh_size;
        for (const uint8_t *entry = bytes; entry + 8 <= end;) {
            uint64_t length = number(entry, 4);
            if (length == 0 || length == 0xffffffff || length > (uint64_t)(end - entry - 4)) break;
            uint64_t back = number(entry + 4, 4);
            const uint8_t *next = entry + 4 + length, *at = entry + 8;
            if (back != 0 && back <= (uint64_t)(entry + 4 - bytes)) {
                int encoding = pointer_encoding(entry + 4 - back + 4, end);
                unsigned size = encoding < 0 ? 0 : (encoding & 7) == 3 ? 4 : (encoding & 7) == 2 ? 2 : (encoding & 7) == 1 ? 0 : 8;
                if (size && at + 2 * size <= next) {
                    int64_t start = (int64_t)number(at, size);
                    if (size == 4 && encoding & 8) start = (int32_t)start;
                    uint64_t address = (uint64_t)start;
                    if ((encoding & 0x70) == 0x10) address += section->sh_addr + (uint64_t)(at - bytes);
                    add_function(reader, address, number(at + size, size));
                    come_to(reader, address, TARGET);
                }
            }
            entry = next;
        }
    }
}

static void read_pointers(struct reader *reader)
{
    come_to(reader, reader->file.header->e_entry, TARGET);
    for (size_t index = 0; index < reader->file.section_count; index++) {
        const Elf64_Shdr *section = &reader->file.sections[index];
        const uint8_t *bytes = contents(&reader->file, section);
        if (!bytes || section->sh_type != SHT_RELA || !(section->sh_flags & SHF_ALLOC)) continue;
        for (size_t number = 0; number < section->sh_size / sizeof(Elf64_Rela); number++) {
            Elf64_Rela relocation;
            memcpy(&relocation, bytes + number * sizeof relocation, sizeof relocation);
            unsigned type = (unsigned)ELF64_R_TYPE(relocation.r_info);
            if (type == R_X86_64_RELATIVE || type == R_X86_64_IRELATIVE) come_to(reader, (uint64_t)relocation.r_addend, TARGET);
        }
    }
}

// ---- Instructions

static bool decode(struct reader *reader, const struct code *code, uint64_t address)
{
    const uint8_t *bytes = code->bytes + (address - code->range.start);
    size_t size = code->range.end - address;
    // endbr64, which Capstone 4 does not know.
    if (size >= 4 && memcmp(bytes, "\xf3\x0f\x1e\xfa", 4) == 0) {
        reader->instruction->id = X86_INS_NOP;
        reader->instruction->size = 4;
        strcpy(reader->instruction->mnemonic, "nop");
        reader->instruction->op_str[0] = 0;
        return true;
    }
    if (size > 15) size = 15;
    uint64_t at = address;
    return cs_disasm_iter(reader->capstone, &bytes, &size, &at, reader->instruction);
}

static void add_table(struct reader *reader, uint64_t address, uint64_t owner, bool absolute)
{
    if (reader->table_count == reader->table_room) {
        reader->table_room = reader->table_room ? reader->table_room * 2 : 1024;
        reader->tables = realloc(reader->tables, reader->table_room * sizeof *reader->tables);
        if (!reader->tables) abort();
    }
    reader->tables[reader->table_count++] = (struct table){ address, owner, absolute, false };
    append(&reader->bases, address);
}

// The address that a `lea` relative to the instruction pointer takes, 0 if it is none such.
static uint64_t named_address(const cs_insn *instruction, uint64_t next)
{
    const char *relative = strstr(instruction->op_str, "[rip ");
    if (instruction->id != X86_INS_LEA || !relative || (relative[5] != '+' && relative[5] != '-')) return 0;
    uint64_t distance = strtoull(relative + 7, NULL, 0);
    return relative[5] == '+' ? next + distance : next - distance;
}

// Where all tables of a function begin, also those that nothing known leads to yet: a table ends where another one begins.
static void find_bases(struct reader *reader, struct range function)
{
    struct code *code = code_at(reader, function.start);
    if (!code) return;
    for (uint64_t address = function.start; address < function.end && address < code->range.end;) {
        if (!decode(reader, code, address)) {
            address++;
            continue;
        }
        address += reader->instruction->size;
        uint64_t base = named_address(reader->instruction, address);
        if (base) append(&reader->bases, base);
    }
}

static void jump_to(struct reader *reader, uint64_t from, uint64_t to)
{
    struct range own = function_of(reader, from);
    bool loops = own.start < own.end && (to == own.start || to == own.start + 4);
    come_to(reader, to, loops ? TARGET | LOOP : TARGET);
}

// Reads on from an address up to what has been read or where nothing runs on.
static void run(struct reader *reader, uint64_t address)
{
    for (;;) {
        struct code *code = code_at(reader, address);
        if (!code) return;
        size_t offset = address - code->range.start;
        if (code->flags[offset] & START) return;
        // Filler, which is come to only behind a call that does not return: zeros, the last one right before what is come to.
        if (code->range.end - address >= 2 && code->bytes[offset] == 0 &&
            (code->bytes[offset + 1] == 0 || (code->flags[offset + 1] & TARGET)))
            return;
        if (!decode(reader, code, address)) {
            reader->result->unread++;
            return;
        }
        const cs_insn *instruction = reader->instruction;
        reader->result->instructions++;
        code->flags[offset] |= START;
        code->sizes[offset] = (uint8_t)instruction->size;
        uint64_t next = address + instruction->size;
        const char *name = instruction->mnemonic, *operands = instruction->op_str;
        bool is_direct = operands[0] == '0' && operands[1] == 'x';
        uint64_t target = is_direct ? strtoull(operands, NULL, 16) : operands[0] >= '0' && operands[0] <= '9' ? strtoull(operands, NULL, 0) : 0;
        switch (instruction->id) {
        case X86_INS_JMP:
        case X86_INS_LJMP:
            if (is_direct) {
                jump_to(reader, address, target);
            } else {
                append(&reader->indirect, function_of(reader, address).start);
                const char *table = strstr(operands, "*8 + 0x");
                if (table && !strstr(operands, "rip")) add_table(reader, strtoull(table + 5, NULL, 16), address, true);
            }
            return;
        case X86_INS_RET:
        case X86_INS_RETF:
        case X86_INS_RETFQ:
        case X86_INS_IRET:
        case X86_INS_IRETD:
        case X86_INS_IRETQ:
        case X86_INS_UD2:
        case X86_INS_HLT:
        case X86_INS_INT3:
        case X86_INS_SYSRET:
        case X86_INS_SYSEXIT:
            return;
        case X86_INS_CALL:
            if (is_direct) come_to(reader, target, TARGET);
            come_to(reader, next, RETURN);
            return;
        case X86_INS_LEA: {
            uint64_t address_taken = named_address(instruction, next);
            if (address_taken) add_table(reader, address_taken, address, false);
            break;
        }
        default:
            if (is_direct && (name[0] == 'j' || strncmp(name, "loop", 4) == 0 || strcmp(name, "xbegin") == 0))
                jump_to(reader, address, target);
        }
        address = next;
    }
}

static void run_all(struct reader *reader)
{
    while (reader->work.count) run(reader, reader->work.items[--reader->work.count]);
}

static bool is_among(const struct list *list, uint64_t item)
{
    return bsearch(&item, list->items, list->count, sizeof item, compare_numbers) != NULL;
}

// Jump tables of the functions that have an indirect jump. What they lead to may name more.
static void read_tables(struct reader *reader)
{
    size_t known = 0;
    for (int round = 0; round < 16; round++) {
        bool found = false;
        uint64_t last = 0;
        for (; known < reader->indirect.count; known++) {
            if (reader->indirect.items[known] != last) find_bases(reader, function_of(reader, reader->indirect.items[known]));
            last = reader->indirect.items[known];
        }
        qsort(reader->indirect.items, reader->indirect.count, sizeof(uint64_t), compare_numbers);
        qsort(reader->bases.items, reader->bases.count, sizeof(uint64_t), compare_numbers);
        for (size_t index = 0; index < reader->table_count; index++) {
            struct table table = reader->tables[index];
            struct range owner = function_of(reader, table.owner);
            if (table.done || !is_among(&reader->indirect, owner.start)) continue;
            reader->tables[index].done = true;
            unsigned size = table.absolute ? 8 : 4;
            for (unsigned entry = 0; entry < 4096; entry++) {
                uint64_t place = table.address + (uint64_t)entry * size;
                if (entry > 0 && is_among(&reader->bases, place)) break;
                const uint8_t *bytes = at_address(&reader->file, place, size);
                if (!bytes) break;
                uint64_t target = number(bytes, size);
                if (!table.absolute) target = table.address + (uint64_t)(int64_t)(int32_t)target;
                if (target < owner.start || target >= owner.end) break;
                if (entry == 0) reader->result->tables++;
                jump_to(reader, table.owner, target);
                found = true;
            }
        }
        if (!found) return;
        run_all(reader);
    }
}

// ---- Judging

struct findings {
    struct census_violation *found;
    size_t most;
    struct census_result *result;
};

static void report(struct findings *findings, const struct census_patch *patch, uint64_t address, uint64_t source, uint32_t finding)
{
    if (findings->result->violations < findings->most)
        findings->found[findings->result->violations] = (struct census_violation){ patch->function, address, source, finding };
    findings->result->violations++;
}

static void judge(struct reader *reader, const struct census_patch *patch, struct findings *findings)
{
    uint64_t start = patch->start, end = patch->start + patch->size;
    for (uint64_t address = start + 1; address < end; address++) {
        uint8_t flags = flags_at(reader, address);
        if (!(flags & (START | TARGET | RETURN))) continue;
        if (patch->kind == CENSUS_PADDING) report(findings, patch, address, 0, CENSUS_REACHED);
        else if (flags & TARGET) report(findings, patch, address, 0, CENSUS_TARGET);
        else if (flags & RETURN) report(findings, patch, address, 0, CENSUS_RETURN);
    }
    for (uint64_t back = 1; back < 15; back++) {
        struct code *code = code_at(reader, start - back);
        if (!code || !(code->flags[start - back - code->range.start] & START)) continue;
        if (code->sizes[start - back - code->range.start] > back) report(findings, patch, start, start - back, CENSUS_COVERED);
    }
    if (patch->kind == CENSUS_ENTRY) {
        if (!(flags_at(reader, start) & START)) reader->result->not_reached++;
        if ((flags_at(reader, start) | flags_at(reader, patch->function)) & LOOP) report(findings, patch, start, 0, CENSUS_LOOP);
        return;
    }
    // Whoever comes to the jump would have come to the entry.
    if (!(flags_at(reader, start) & START)) return;
    for (uint64_t address = start; address != patch->function;) {
        struct code *code = code_at(reader, address);
        if (address > patch->function || !code || !decode(reader, code, address) || reader->instruction->id != X86_INS_NOP) {
            report(findings, patch, address, 0, CENSUS_NOT_NOPS);
            return;
        }
        address += reader->instruction->size;
    }
}

int census_read(const char *path, const struct census_patch *patches, size_t count, struct census_violation *found,
                size_t most, struct census_result *result)
{
    struct reader reader = { 0 };
    memset(result, 0, sizeof *result);
    reader.result = result;
    int status = -1;
    if (!open_file(path, &reader.file)) goto close;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &reader.capstone) != CS_ERR_OK) goto close;
    reader.instruction = cs_malloc(reader.capstone);
    for (size_t index = 0; index < reader.file.section_count && reader.code_count < 64; index++) {
        const Elf64_Shdr *section = &reader.file.sections[index];
        const uint8_t *bytes = contents(&reader.file, section);
        if (!bytes || !(section->sh_flags & SHF_EXECINSTR) || !(section->sh_flags & SHF_ALLOC) || section->sh_size == 0) continue;
        struct code *code = &reader.code[reader.code_count++];
        code->range = (struct range){ section->sh_addr, section->sh_addr + section->sh_size };
        code->bytes = bytes;
        code->flags = calloc(section->sh_size, 1);
        code->sizes = calloc(section->sh_size, 1);
        if (!code->flags || !code->sizes) abort();
    }
    read_symbols(&reader, &reader.file);
    read_debug_symbols(&reader);
    read_unwinding(&reader);
    if (reader.function_count) qsort(reader.functions, reader.function_count, sizeof *reader.functions, compare_ranges);
    read_pointers(&reader);
    run_all(&reader);
    read_tables(&reader);
    struct findings findings = { found, most, result };
    for (size_t index = 0; index < count; index++) judge(&reader, &patches[index], &findings);
    status = 0;

    cs_free(reader.instruction, 1);
    cs_close(&reader.capstone);
close:
    for (size_t index = 0; index < reader.code_count; index++) {
        free(reader.code[index].flags);
        free(reader.code[index].sizes);
    }
    free(reader.functions);
    free(reader.work.items);
    free(reader.indirect.items);
    free(reader.bases.items);
    free(reader.tables);
    close_file(&reader.file);
    return status;
}
