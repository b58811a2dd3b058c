// Calls every implementation of memcpy, strlen and their kin that the C library has for some processor, as far as this one can
// run them: variants FILE, with a line "NAME OFFSET" for each, the offset from the library's start. Each must do what the plain
// loops here do. Prints a line for each; status 1 if one did anything else.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { SPACE = 10 * 1024 };

struct input {
    unsigned char *to, *from, *other;
    size_t count;
    int character;
    locale_t locale;
};

// What a call gave: a distance, the sign of a comparison, a count.
typedef int64_t (*call)(const void *function, const struct input *in);

static int64_t distance(const void *pointer, const void *from) { return pointer ? (const char *)pointer - (const char *)from : -1; }
static int64_t sign(int64_t value) { return (value > 0) - (value < 0); }

// ---- What they must do

// Not to be made calls of what is tested.
#ifdef __clang__
#define LOOP __attribute__((noinline, no_builtin))
#else
#define LOOP __attribute__((noinline, optimize("no-tree-loop-distribute-patterns")))
#endif

#define OF_BYTES_AND_WORDS(C, LENGTH, NLENGTH, SET, FIND, COMPARE, CHAR, RCHAR, SCOMPARE, NCOMPARE) \
    LOOP static size_t LENGTH(const C *s) { size_t n = 0; while (s[n]) n++; return n; } \
    LOOP static size_t NLENGTH(const C *s, size_t most) { size_t n = 0; while (n < most && s[n]) n++; return n; } \
    LOOP static C *SET(C *to, C c, size_t n) { for (size_t i = 0; i < n; i++) to[i] = c; return to; } \
    LOOP static C *FIND(const C *s, C c, size_t n) { for (size_t i = 0; i < n; i++) if (s[i] == c) return (C *)s + i; return NULL; } \
    LOOP static int COMPARE(const C *a, const C *b, size_t n) { for (size_t i = 0; i < n; i++) if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1; return 0; } \
    LOOP static C *CHAR(const C *s, C c) { for (;; s++) { if (*s == c) return (C *)s; if (!*s) return NULL; } } \
    LOOP static C *RCHAR(const C *s, C c) { const C *last = NULL; for (;; s++) { if (*s == c) last = s; if (!*s) return (C *)last; } } \
    LOOP static int NCOMPARE(const C *a, const C *b, size_t n) { for (size_t i = 0; i < n; i++) { if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1; if (!a[i]) return 0; } return 0; } \
    LOOP static int SCOMPARE(const C *a, const C *b) { return NCOMPARE(a, b, SIZE_MAX); }

OF_BYTES_AND_WORDS(unsigned char, r_strlen, r_strnlen, r_set, r_memchr, r_memcmp, r_strchr, r_strrchr, r_strcmp, r_strncmp)
OF_BYTES_AND_WORDS(wchar_t, r_wcslen, r_wcsnlen, r_wmemset, r_wmemchr, r_wmemcmp, r_wcschr, r_wcsrchr, r_wcscmp, r_wcsncmp)

LOOP static void *r_memmove(unsigned char *to, const unsigned char *from, size_t n)
{
    if (to < from) for (size_t i = 0; i < n; i++) to[i] = from[i];
    else for (size_t i = n; i-- > 0;) to[i] = from[i];
    return to;
}
LOOP static void *r_mempcpy(unsigned char *to, const unsigned char *from, size_t n) { r_memmove(to, from, n); return to + n; }
LOOP static void *r_memset(unsigned char *to, int c, size_t n) { return r_set(to, (unsigned char)c, n); }
LOOP static void *r_memrchr(const unsigned char *s, int c, size_t n) { while (n-- > 0) if (s[n] == (unsigned char)c) return (void *)(s + n); return NULL; }
LOOP static void *r_rawmemchr(const unsigned char *s, int c) { while (*s != (unsigned char)c) s++; return (void *)s; }
LOOP static char *r_strchrnul(const unsigned char *s, int c) { while (*s && *s != (unsigned char)c) s++; return (char *)s; }
LOOP static int r_strncasecmp(const unsigned char *a, const unsigned char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int x = a[i] >= 'A' && a[i] <= 'Z' ? a[i] + 32 : a[i], y = b[i] >= 'A' && b[i] <= 'Z' ? b[i] + 32 : b[i];
        if (x != y || !x) return x - y;
    }
    return 0;
}
LOOP static int r_strcasecmp(const unsigned char *a, const unsigned char *b) { return r_strncasecmp(a, b, SIZE_MAX); }
LOOP static void *r_stpcpy(unsigned char *to, const unsigned char *from) { while ((*to = *from)) to++, from++; return to; }
LOOP static void *r_strcpy(unsigned char *to, const unsigned char *from) { r_stpcpy(to, from); return to; }
LOOP static void *r_stpncpy(unsigned char *to, const unsigned char *from, size_t n)
{
    size_t i = 0;
    for (; i < n && from[i]; i++) to[i] = from[i];
    for (size_t j = i; j < n; j++) to[j] = 0;
    return to + i;
}
LOOP static void *r_strncpy(unsigned char *to, const unsigned char *from, size_t n) { r_stpncpy(to, from, n); return to; }
LOOP static void *r_strcat(unsigned char *to, const unsigned char *from) { r_stpcpy(to + r_strlen(to), from); return to; }
LOOP static void *r_strncat(unsigned char *to, const unsigned char *from, size_t n)
{
    unsigned char *end = to + r_strlen(to);
    size_t i = 0;
    for (; i < n && from[i]; i++) end[i] = from[i];
    end[i] = 0;
    return to;
}
LOOP static size_t r_strcspn(const unsigned char *s, const unsigned char *set) { size_t n = 0; while (s[n] && !r_strchr(set, s[n])) n++; return n; }
LOOP static size_t r_strspn(const unsigned char *s, const unsigned char *set) { size_t n = 0; while (s[n] && r_strchr(set, s[n])) n++; return n; }
LOOP static char *r_strpbrk(const unsigned char *s, const unsigned char *set) { size_t n = r_strcspn(s, set); return s[n] ? (char *)s + n : NULL; }
LOOP static char *r_strstr(const unsigned char *s, const unsigned char *part)
{
    size_t n = r_strlen(part);
    for (;; s++) {
        if (r_strncmp(s, part, n) == 0) return (char *)s;
        if (!*s) return NULL;
    }
}

// ---- How each kind is called

#define KIND(name, expression) static int64_t call_##name(const void *f, const struct input *in) { return expression; }
#define F(result, ...) ((result (*)(__VA_ARGS__))f)

KIND(copy, distance(F(void *, void *, const void *, size_t)(in->to, in->from, in->count), in->to))
KIND(overlap, distance(F(void *, void *, const void *, size_t)(in->to + 5, in->to, in->count), in->to))
KIND(overlap_back, distance(F(void *, void *, const void *, size_t)(in->to, in->to + 9, in->count), in->to))
KIND(copy_chk, distance(F(void *, void *, const void *, size_t, size_t)(in->to, in->from, in->count, SPACE), in->to))
KIND(set, distance(F(void *, void *, int, size_t)(in->to, in->character, in->count), in->to))
KIND(set_chk, distance(F(void *, void *, int, size_t, size_t)(in->to, in->character, in->count, SPACE), in->to))
KIND(find, distance(F(void *, const void *, int, size_t)(in->from, in->character, in->count), in->from))
KIND(raw_find, distance(F(void *, const void *, int)(in->from, 0), in->from))
KIND(compare, sign(F(int, const void *, const void *, size_t)(in->from, in->other, in->count)))
KIND(differ, F(int, const void *, const void *, size_t)(in->from, in->other, in->count) != 0)
KIND(length, (int64_t)F(size_t, const void *)(in->from))
KIND(nlength, (int64_t)F(size_t, const void *, size_t)(in->from, in->count))
KIND(character, distance(F(void *, const void *, int)(in->from, in->character), in->from))
KIND(string_compare, sign(F(int, const void *, const void *)(in->from, in->other)))
KIND(string_compare_l, sign(F(int, const void *, const void *, locale_t)(in->from, in->other, in->locale)))
KIND(nstring_compare_l, sign(F(int, const void *, const void *, size_t, locale_t)(in->from, in->other, in->count, in->locale)))
KIND(string_copy, distance(F(void *, void *, const void *)(in->to, in->from), in->to))
KIND(span, (int64_t)F(size_t, const void *, const void *)(in->from, "abcdefghijkl"))
KIND(search, distance(F(void *, const void *, const void *)(in->from, "xyz"), in->from))
KIND(wide_set, distance(F(void *, void *, wchar_t, size_t)(in->to, in->character * 70000, in->count / 4), in->to))
KIND(wide_set_chk, distance(F(void *, void *, wchar_t, size_t, size_t)(in->to, in->character * 70000, in->count / 4, SPACE / 4), in->to))
KIND(wide_find, distance(F(void *, const void *, wchar_t, size_t)(in->from, in->character, in->count / 4), in->from))
KIND(wide_compare, sign(F(int, const void *, const void *, size_t)(in->from, in->other, in->count / 4)))
KIND(wide_nlength, (int64_t)F(size_t, const void *, size_t)(in->from, in->count / 4))

struct kind {
    const char *name;
    call call;
    const void *reference;
    int is_wide;
};

static const struct kind kinds[] = {
    { "memcpy", call_copy, r_memmove, 0 }, { "memmove", call_copy, r_memmove, 0 }, { "memmove", call_overlap, r_memmove, 0 },
    { "memmove", call_overlap_back, r_memmove, 0 }, { "mempcpy", call_copy, r_mempcpy, 0 }, { "memset", call_set, r_memset, 0 },
    { "memcpy_chk", call_copy_chk, r_memmove, 0 }, { "memmove_chk", call_copy_chk, r_memmove, 0 },
    { "mempcpy_chk", call_copy_chk, r_mempcpy, 0 }, { "memset_chk", call_set_chk, r_memset, 0 },
    { "memchr", call_find, r_memchr, 0 }, { "memrchr", call_find, r_memrchr, 0 }, { "rawmemchr", call_raw_find, r_rawmemchr, 0 },
    { "memcmp", call_compare, r_memcmp, 0 }, { "memcmpeq", call_differ, r_memcmp, 0 }, { "strlen", call_length, r_strlen, 0 },
    { "strnlen", call_nlength, r_strnlen, 0 }, { "strchr", call_character, r_strchr, 0 }, { "strrchr", call_character, r_strrchr, 0 },
    { "strchrnul", call_character, r_strchrnul, 0 }, { "strcmp", call_string_compare, r_strcmp, 0 },
    { "strncmp", call_compare, r_strncmp, 0 }, { "strcasecmp", call_string_compare, r_strcasecmp, 0 },
    { "strncasecmp", call_compare, r_strncasecmp, 0 }, { "strcasecmp_l", call_string_compare_l, r_strcasecmp, 0 },
    { "strncasecmp_l", call_nstring_compare_l, r_strncasecmp, 0 }, { "strcpy", call_string_copy, r_strcpy, 0 },
    { "stpcpy", call_string_copy, r_stpcpy, 0 }, { "strncpy", call_copy, r_strncpy, 0 }, { "stpncpy", call_copy, r_stpncpy, 0 },
    { "strcat", call_string_copy, r_strcat, 0 }, { "strncat", call_copy, r_strncat, 0 }, { "strcspn", call_span, r_strcspn, 0 },
    { "strspn", call_span, r_strspn, 0 }, { "strpbrk", call_search, r_strpbrk, 0 }, { "strstr", call_search, r_strstr, 0 },
    { "wmemset", call_wide_set, r_wmemset, 1 }, { "wmemset_chk", call_wide_set_chk, r_wmemset, 1 },
    { "wmemchr", call_wide_find, r_wmemchr, 1 }, { "wmemcmp", call_wide_compare, r_wmemcmp, 1 },
    { "wcslen", call_length, r_wcslen, 1 }, { "wcsnlen", call_wide_nlength, r_wcsnlen, 1 },
    { "wcschr", call_character, r_wcschr, 1 }, { "wcsrchr", call_character, r_wcsrchr, 1 },
    { "wcscmp", call_string_compare, r_wcscmp, 1 }, { "wcsncmp", call_wide_compare, r_wcsncmp, 1 },
};

// ---- What this processor can run

static int runs(const char *variant)
{
    if (strstr(variant, "rtm") && !(__builtin_cpu_supports("avx2") && getenv("HAS_RTM"))) return 0;
    if ((strstr(variant, "evex") || strstr(variant, "avx512")) &&
        !(__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2")))
        return 0;
    if (strstr(variant, "avx2") && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))) return 0;
    if (strstr(variant, "avx") && !__builtin_cpu_supports("avx")) return 0;
    if (strstr(variant, "sse42") && !__builtin_cpu_supports("sse4.2")) return 0;
    if (strstr(variant, "sse4_1") && !__builtin_cpu_supports("sse4.1")) return 0;
    if (strstr(variant, "ssse3") && !__builtin_cpu_supports("ssse3")) return 0;
    return 1;
}

static unsigned char ours[2][SPACE], theirs[2][SPACE], from[SPACE], other[SPACE];

// The same call of both, with the same memory before it.
static int agrees(const struct kind *kind, const void *function, size_t length, size_t align, unsigned seed)
{
    int step = kind->is_wide ? 4 : 1;
    struct input in = { 0 };
    align -= align % (size_t)step;
    in.count = length;
    in.character = 'a' + (int)(seed % 7);
    in.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    for (size_t i = 0; i < SPACE; i++) {
        unsigned char letter = (unsigned char)((i * 7 + seed) % 23 % 9 == 8 ? 'a' + seed % 19 : 'A' + (i / (unsigned)step * 5 + seed) % 15 + 32 * (i / 64 % 2));
        from[i] = step == 1 || i % 4 == 0 ? letter : 0;
        ours[0][i] = theirs[0][i] = (unsigned char)(i * 3 + seed);
    }
    // The string ends there; the other one is like it up to a place that depends on the seed.
    size_t end = align + (length / (size_t)step) * (size_t)step;
    for (int i = 0; i < step; i++) from[end + (size_t)i] = 0;
    memcpy(other, from, sizeof other);
    if (seed % 3 && length) other[align + (length * (seed % 5) / 5) / (size_t)step * (size_t)step] ^= seed % 2 ? 32 : 1;
    // What is appended to ends after three bytes.
    if (strstr(kind->name, "cat")) ours[0][align + 3] = theirs[0][align + 3] = 0;
    in.from = from + align;
    in.other = other + align;
    in.to = ours[0] + align;
    int64_t expected = kind->call(kind->reference, &in);
    in.to = theirs[0] + align;
    int64_t got = kind->call(function, &in);
    freelocale(in.locale);
    return expected == got && memcmp(ours[0], theirs[0], SPACE) == 0;
}

int main(int count, char **arguments)
{
    static const size_t lengths[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 32, 33, 40, 47, 48, 63, 64, 65, 80, 96, 127, 128,
        129, 160, 192, 255, 256, 257, 400, 511, 512, 513, 1000, 1023, 1024, 1025, 2048, 4095, 4096, 4097, 9000 };
    static const size_t aligns[] = { 0, 1, 8, 20, 63 };
    Dl_info library;
    FILE *list = count == 2 ? fopen(arguments[1], "r") : NULL;
    if (!list || !dladdr((void *)newlocale, &library)) return 2;
    char name[128];
    unsigned long offset;
    int called = 0, left_out = 0, wrong = 0;
    while (fscanf(list, "%127s %lu", name, &offset) == 2) {
        const char *plain = name;
        while (*plain == '_') plain++;
        const struct kind *kind = NULL;
        int is_wrong = 0, is_known = 0;
        if (!runs(plain)) {
            left_out++;
            printf("%s is for other processors\n", name);
            continue;
        }
        for (kind = kinds; kind < kinds + sizeof kinds / sizeof *kinds; kind++) {
            size_t length = strlen(kind->name);
            // The longest kind that the name begins with.
            if (strncmp(plain, kind->name, length) != 0 || plain[length] != '_') continue;
            if (strncmp(plain + length, "_chk_", 5) == 0 || strncmp(plain + length, "_l_", 3) == 0) continue;
            is_known = 1;
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
                for (size_t j = 0; j < sizeof aligns / sizeof *aligns; j++)
                    if (!agrees(kind, (char *)library.dli_fbase + offset, lengths[i], aligns[j], (unsigned)(i * 5 + j))) is_wrong = 1;
        }
        if (!is_known) continue;
        called++;
        wrong += is_wrong;
        printf("%s %s\n", name, is_wrong ? "is WRONG" : "agrees");
    }
    printf("%d called, %d for other processors, %d wrong\n", called, left_out, wrong);
    return wrong != 0;
}
