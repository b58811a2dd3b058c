// printf for programs. Text beyond the capacity is counted, not written.
#ifndef FS_PRINT_H
#define FS_PRINT_H

struct text {
    char *bytes;
    u64 capacity;
    u64 length;
};

#define PRINT_WIDTH_MAXIMUM 4096u

FS_INLINE void put_char(struct text *text, u32 c) {
    if (text->length < text->capacity) text->bytes[text->length] = (char)c;
    text->length++;
}

static void put_repeated(struct text *text, u32 c, u32 count) {
    while (count-- > 0) put_char(text, c);
}

struct conversion {
    u32 left, zero, plus, space, alternate;
    u32 width;
    u32 precision;       // NO_PRECISION: none
    u32 bits;            // of an integer
};
#define NO_PRECISION 0xffffffffu

static void put_number(struct text *text, const struct conversion *conversion, u64 value, u32 base, u32 upper, u32 is_signed) {
    u32 negative = 0;
    if (is_signed) {
        if (conversion->bits == 8) value = (u64)(i64)(signed char)value;
        else if (conversion->bits == 16) value = (u64)(i64)(short)value;
        else if (conversion->bits == 32) value = (u64)(i64)(i32)value;
        if ((i64)value < 0) {
            negative = 1;
            value = 0 - value;
        }
    } else if (conversion->bits < 64) {
        value &= (1ull << conversion->bits) - 1;
    }
    u32 is_zero = value == 0;
    char digits[24];
    u32 count = 0;
    while (value != 0) {
        u32 digit = (u32)(value % base);
        value /= base;
        digits[count++] = (char)(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
    }
    u32 zeros = 0;
    u32 least = conversion->precision == NO_PRECISION ? 1 : conversion->precision;
    if (count < least) zeros = least - count;
    u32 sign = 0, prefix = 0;
    if (negative) sign = '-';
    else if (is_signed && conversion->plus) sign = '+';
    else if (is_signed && conversion->space) sign = ' ';
    if (conversion->alternate && base == 16 && !is_zero) prefix = 2;
    if (conversion->alternate && base == 8 && zeros == 0 && (count > 0 || least == 0)) zeros = 1;
    u32 used = count + zeros + prefix + (sign != 0);
    u32 padding = conversion->width > used ? conversion->width - used : 0;
    if (!conversion->left) {
        if (conversion->zero && conversion->precision == NO_PRECISION) {
            zeros += padding;
        } else {
            put_repeated(text, ' ', padding);
        }
        padding = 0;
    }
    if (sign) put_char(text, sign);
    if (prefix) {
        put_char(text, '0');
        put_char(text, upper ? 'X' : 'x');
    }
    put_repeated(text, '0', zeros);
    while (count > 0) put_char(text, (u32)(u8)digits[--count]);
    put_repeated(text, ' ', padding);
}

// As the kernel: nothing where the string cannot be read.
static void put_string(struct fs_state *state, struct text *text, const struct conversion *conversion, u64 address) {
    char bounce[BOUNCE_BYTES];
    u64 limit = conversion->precision;
    // With padding on the left the length must be known first; with none, one pass writes.
    for (u32 pass = conversion->width > 0 && !conversion->left ? 0 : 1; pass < 2; pass++) {
        u64 length = 0;
        u64 before = text->length;
        u32 finished = 0;
        while (!finished && length < limit && length < PRINT_WIDTH_MAXIMUM) {
            u64 from = address + length;
            u64 count = FS_PAGE - (from & (FS_PAGE - 1));
            if (count > BOUNCE_BYTES) count = BOUNCE_BYTES;
            if (count > limit - length) count = limit - length;
            if (transfer(state, SYSTEM_CALL_PROCESS_VM_READV, (u64)bounce, from, count) != (i64)count) {
                text->length = before;
                length = 0;
                break;
            }
            for (u64 i = 0; i < count; i++) {
                if (bounce[i] == 0) {
                    finished = 1;
                    break;
                }
                if (pass == 1) put_char(text, (u32)(u8)bounce[i]);
                length++;
            }
        }
        if (length < conversion->width && (pass == 0 || conversion->left))
            put_repeated(text, ' ', conversion->width - (u32)length);
    }
}

FS_INLINE u32 is_digit(u32 c) { return c - '0' < 10; }

FS_INLINE u32 parse_number(const char *format, u64 *position) {
    u32 number = 0;
    for (; is_digit((u8)format[*position]); (*position)++)
        if (number < PRINT_WIDTH_MAXIMUM) number = number * 10 + ((u8)format[*position] - '0');
    return number < PRINT_WIDTH_MAXIMUM ? number : PRINT_WIDTH_MAXIMUM;
}

// 0 or -EINVAL: no terminator, an unknown conversion, bytes that are no text, too few arguments.
static i64 format_text(struct fs_state *state, struct text *text, const char *format, u64 size, const u64 *arguments, u64 count) {
    u64 length = 0, argument = 0;
    while (length < size && format[length] != 0) length++;
    if (length == size) return -EINVAL;
    for (u64 i = 0; i < length;) {
        u32 c = (u8)format[i++];
        if (c != '%') {
            if (c >= 0x7f || (c < ' ' && (c < '\t' || c > '\r'))) return -EINVAL;
            put_char(text, c);
            continue;
        }
        if (format[i] == '%') {
            put_char(text, '%');
            i++;
            continue;
        }
        struct conversion conversion;
        conversion.left = conversion.zero = conversion.plus = conversion.space = conversion.alternate = 0;
        for (;; i++) {
            c = (u8)format[i];
            if (is(c, '-')) conversion.left = 1;
            else if (is(c, '0')) conversion.zero = 1;
            else if (is(c, '+')) conversion.plus = 1;
            else if (is(c, ' ')) conversion.space = 1;
            else if (is(c, '#')) conversion.alternate = 1;
            else break;
        }
        conversion.width = parse_number(format, &i);
        conversion.precision = NO_PRECISION;
        if (format[i] == '.') {
            i++;
            conversion.precision = parse_number(format, &i);
        }
        conversion.bits = 32;
        if (is((u8)format[i], 'l')) {
            conversion.bits = 64;
            if (is((u8)format[++i], 'l')) i++;
        } else if (is((u8)format[i], 'h')) {
            conversion.bits = 16;
            if (is((u8)format[++i], 'h')) {
                conversion.bits = 8;
                i++;
            }
        } else if (is((u8)format[i], 'z') || is((u8)format[i], 'j') || is((u8)format[i], 't')) {
            conversion.bits = 64;
            i++;
        }
        c = (u8)format[i];
        if (c == 0 || argument == count) return -EINVAL;
        i++;
        u64 value = arguments[argument++];
        if (is(c, 'd') || is(c, 'i')) put_number(text, &conversion, value, 10, 0, 1);
        else if (is(c, 'u')) put_number(text, &conversion, value, 10, 0, 0);
        else if (is(c, 'x')) put_number(text, &conversion, value, 16, 0, 0);
        else if (is(c, 'X')) put_number(text, &conversion, value, 16, 1, 0);
        else if (is(c, 'o')) put_number(text, &conversion, value, 8, 0, 0);
        else if (is(c, 's')) put_string(state, text, &conversion, value);
        else if (is(c, 'c')) {
            u32 padding = conversion.width > 1 ? conversion.width - 1 : 0;
            if (!conversion.left) put_repeated(text, ' ', padding);
            put_char(text, (u8)value);
            if (conversion.left) put_repeated(text, ' ', padding);
        } else if (is(c, 'p')) {
            c = (u8)format[i];
            if ((is(c, 'k') || is(c, 'u')) && format[i + 1] == 's') {  // a string of the kernel's or the user's
                i += 2;
                put_string(state, text, &conversion, value);
                continue;
            }
            // The kernel's ways to print an address; all are the address here.
            if (is(c, 'x') || is(c, 'K') || is(c, 'k') || is(c, 'u') || is(c, 'B') || is(c, 's') || is(c, 'S')) i++;
            conversion.bits = 64;
            conversion.alternate = 1;
            if (value != 0) {
                put_number(text, &conversion, value, 16, 0, 0);
            } else {
                u32 padding = conversion.width > 5 ? conversion.width - 5 : 0;
                if (!conversion.left) put_repeated(text, ' ', padding);
                put_char(text, '(');
                put_char(text, 'n');
                put_char(text, 'i');
                put_char(text, 'l');
                put_char(text, ')');
                if (conversion.left) put_repeated(text, ' ', padding);
            }
        } else {
            return -EINVAL;
        }
    }
    return 0;
}

#endif
