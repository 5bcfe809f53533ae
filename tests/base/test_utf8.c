/* UTF-8 against a slow reference that works on values where the code works on byte ranges; letters against
 * the C library's tables. */
#include "base/utf8.h"

#include "tests/base/support.h"

#include <locale.h>
#include <wctype.h>

/* Decodes by the definition: takes the payload bits, then refuses what has a shorter form or is no code. */
static size_t reference_character(const unsigned char *text, size_t len, uint32_t *out_code)
{
    static const struct {
        unsigned char mask, mark;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};

    for (size_t form = 0; form < 4; form++) {
        if ((text[0] & forms[form].mask) != forms[form].mark || form + 1 > len) continue;
        uint32_t code = text[0] & (unsigned char)~forms[form].mask;
        for (size_t i = 1; i <= form; i++) {
            if (text[i] / 64 != 2) return 0;
            code = code * 64 + text[i] % 64;
        }
        if (code < forms[form].least || code > 0x10FFFF || code / 0x800 == 0x1B) return 0;
        *out_code = code;
        return form + 1;
    }
    return 0;
}

static size_t reference_valid(const unsigned char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint32_t code;
        size_t length = reference_character(text + at, len - at, &code);
        if (length == 0) break;
        at += length;
    }
    return at;
}

static void check(const unsigned char *text, size_t len)
{
    size_t valid = crn_utf8_valid((const char *)text, len);

    if (valid == reference_valid(text, len)) return;
    print_error("bytes:");
    for (size_t i = 0; i < len; i++) print_error(" %02X", text[i]);
    fail_msg("valid prefix %zu, not %zu", valid, reference_valid(text, len));
}

static void all_sequences_of_two(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        check((unsigned char[]){(unsigned char)a}, 1);
        for (unsigned b = 0; b < 256; b++) check((unsigned char[]){(unsigned char)a, (unsigned char)b}, 2);
    }
}

/* All first and second bytes; for the others those at the borders of what may follow. */
static void all_borders_of_three_and_four(void **state)
{
    static const unsigned char border[] = {0x00, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0,
                                           0xBE, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xFF};

    (void)state;
    for (unsigned a = 0xC0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            for (size_t c = 0; c < sizeof border; c++) {
                for (size_t d = 0; d < sizeof border; d++) {
                    unsigned char text[] = {(unsigned char)a, (unsigned char)b, border[c], border[d]};
                    check(text, 3);
                    check(text, 4);
                }
            }
        }
    }
}

/* Pieces good and bad at all distances from the eight-byte steps, cut anywhere, in memory of their size. */
static void random_texts(void **state)
{
    static const char *const pieces[] = {
        "a",
        "abcdefgh",
        "é",
        "€",
        "😀",
        "\xF4\x8F\xBF\xBF",
        "\xEF\xBF\xBF",
        "\x80",
        "\xC3",
        "\xE2\x82",
        "\xF0\x9F\x98",
        "\xC0\x80",
        "\xED\xA0\x80",
        "\xF4\x90\x80\x80",
        "\xFF",
        "\x7F",
    };
    struct crn_rng rng = test_rng();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[400];
        size_t len = 0;
        size_t good = crn_rng_below(&rng, 2) == 0 ? 7 : COUNT_OF(pieces);
        while (len < 300 && crn_rng_below(&rng, 40) != 0) {
            for (const char *piece = pieces[crn_rng_below(&rng, good)]; *piece != '\0'; piece++)
                text[len++] = *piece;
        }
        if (len > 0) len -= crn_rng_below(&rng, len < 4 ? len : 4);
        unsigned char *exact = calloc(len > 0 ? len : 1, 1);
        memcpy(exact, text, len);
        check(exact, len);
        free(exact);
    }
}

static void every_code_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        char text[4] = {0};
        uint32_t reference = 0;
        size_t pos = 0, length = crn_utf8_put(code, text);
        assert_int_equal(reference_character((unsigned char *)text, length, &reference), length);
        assert_int_equal(reference, code);
        assert_int_equal(crn_utf8_valid(text, length), length);
        assert_int_equal(crn_utf8_next(text, length, &pos), code);
        assert_int_equal(pos, length);
    }
}

static void what_is_no_code_is_replaced(void **state)
{
    static const uint32_t codes[] = {0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0x110000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        char text[4];
        assert_int_equal(crn_utf8_put(codes[i], text), 3);
        assert_memory_equal(text, "\xEF\xBF\xBD", 3);
    }
}

static void next_walks_and_stays_inside(void **state)
{
    static const char text[] = "aé€😀z";
    static const uint32_t wanted[] = {'a', 0xE9, 0x20AC, 0x1F600, 'z'};
    size_t pos = 0, len = strlen(text);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) assert_int_equal(crn_utf8_next(text, len, &pos), wanted[i]);
    assert_int_equal(pos, len);
    for (unsigned lead = 0; lead < 256; lead++) { /* even of text that is not valid */
        char *one = malloc(1);
        *one = (char)lead;
        pos = 0;
        crn_utf8_next(one, 1, &pos);
        assert_int_equal(pos, 1);
        free(one);
    }
}

static void lower_of_known_letters(void **state)
{
    static const struct {
        uint32_t upper, lower;
    } rows[] = {
        {'A', 'a'},       {'Z', 'z'},       {'@', '@'},           {'[', '['},       {'a', 'a'},
        {'0', '0'},       {0xC0, 0xE0},     {0xD7, 0xD7},         {0xDF, 0xDF},     {0xDE, 0xFE},
        {0x100, 0x101},   {0x101, 0x101},   {0x130, 'i'},         {0x178, 0xFF},    {0x1C4, 0x1C6},
        {0x1C5, 0x1C6},   {0x391, 0x3B1},   {0x3A3, 0x3C3},       {0x3A2, 0x3A2},   {0x38F, 0x3CE},
        {0x410, 0x430},   {0x401, 0x451},   {0x52E, 0x52F},       {0x531, 0x561},   {0x556, 0x586},
        {0x557, 0x557},   {0x1E9E, 0xDF},   {0x1EA0, 0x1EA1},     {0x1F08, 0x1F00}, {0x212A, 'k'},
        {0xFF21, 0xFF41}, {0x4E2D, 0x4E2D}, {0x10FFFF, 0x10FFFF}, {0x13A0, 0x13A0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(crn_utf8_lower(rows[i].upper), rows[i].lower);
}

static locale_t utf8_locale(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

    if (locale == (locale_t)0) {
        print_message("skipped: the C library has no C.UTF-8 to compare with\n");
        skip();
    }
    return locale;
}

/* Complete: Latin to Extended-B, Greek without Coptic, Cyrillic, Armenian, and the two additional blocks. */
static bool in_covered_block(uint32_t code)
{
    return code < 0x250 || (code >= 0x370 && code < 0x588 && !(code >= 0x3E2 && code <= 0x3EF)) ||
           (code >= 0x1E00 && code < 0x2000);
}

static void lower_agrees_with_the_c_library(void **state)
{
    locale_t locale = utf8_locale();

    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t lower = crn_utf8_lower(code);
        if (!in_covered_block(code) && lower == code) continue;
        if (lower != towlower_l(code, locale)) {
            fail_msg("U+%04X gave U+%04X, not U+%04X", code, lower, (unsigned)towlower_l(code, locale));
        }
        assert_int_equal(crn_utf8_lower(lower), lower);
    }
    freelocale(locale);
}

static void known_letters_and_digits(void **state)
{
    static const uint32_t letters[] = {
        'a',    'Z',    '0',    '9',    0xAA,   0xB5,    0xC0,    0xFF,    0x100,  0x2B0,  0x301,
        0x391,  0x41A,  0x531,  0x5D0,  0x627,  0x661,   0x905,   0x93F,   0x94D,  0xE01,  0xE31,
        0x10D0, 0x1100, 0x13A0, 0x1E00, 0x3042, 0x30A2,  0x3105,  0x3400,  0x4E2D, 0x9FFF, 0xA000,
        0xAC00, 0xD7A3, 0xF900, 0xFF10, 0xFF21, 0x10400, 0x1D400, 0x20000,
    };
    static const uint32_t others[] = {
        0,      ' ',    '/',    ':',    '@',    '[',     '`',     '{',     0x7F,     0x80,       0xA0,
        0xA9,   0xD7,   0xF7,   0x37E,  0x5BE,  0x60C,   0x61F,   0x964,   0xE3F,    0x2000,     0x2014,
        0x2019, 0x20AC, 0x20E3, 0x2190, 0x2211, 0x25A0,  0x2713,  0x3000,  0x3001,   0x300C,     0xE000,
        0xF8FF, 0xFE0F, 0xFF01, 0xFF0C, 0xFFFD, 0x1F600, 0x1F9FF, 0xE0100, 0x110000, UINT32_MAX,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(letters); i++) {
        if (!crn_utf8_is_alnum(letters[i])) fail_msg("U+%04X is alphanumeric", letters[i]);
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (crn_utf8_is_alnum(others[i])) fail_msg("U+%04X is not alphanumeric", others[i]);
    }
}

/* The C library counts enclosed letters (a circled A) as letters; Unicode's categories, as symbols. */
static bool is_enclosed_letter(uint32_t code)
{
    return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F189);
}

static void letters_agree_with_the_c_library(void **state)
{
    locale_t locale = utf8_locale();
    int unknown = 0; /* letters that the library's newer Unicode has */

    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        bool alnum = crn_utf8_is_alnum(code);
        if (iswalnum_l(code, locale) && !alnum && !is_enclosed_letter(code)) unknown++;
        if (alnum) assert_false(iswspace_l(code, locale) || iswcntrl_l(code, locale));
    }
    assert_in_range(unknown, 0, 20);
    freelocale(locale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sequences_of_two),
        cmocka_unit_test(all_borders_of_three_and_four),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(every_code_goes_there_and_back),
        cmocka_unit_test(what_is_no_code_is_replaced),
        cmocka_unit_test(next_walks_and_stays_inside),
        cmocka_unit_test(lower_of_known_letters),
        cmocka_unit_test(lower_agrees_with_the_c_library),
        cmocka_unit_test(known_letters_and_digits),
        cmocka_unit_test(letters_agree_with_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
