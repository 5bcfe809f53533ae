/* UTF-8 coding. Letters and their cases are in utf8_letters.c. */
#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT 0xFFFDu

/* Bytes of the valid character at text, 0 if there is none: the table of RFC 3629, section 4. */
static size_t character_length(const unsigned char *text, size_t len)
{
    unsigned char lead = text[0];
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    size_t length;

    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) {
        length = 2;
    } else if (lead < 0xF0) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead < 0xF5) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return 0;
    }
    if (length > len || text[1] < low || text[1] > high) return 0;
    for (size_t i = 2; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
    }
    return length;
}

size_t crn_utf8_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;

    while (at < len) {
        uint64_t eight;
        if (len - at >= sizeof eight) { /* most text is ASCII: eight at once */
            memcpy(&eight, bytes + at, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t length = character_length(bytes + at, len - at);
        if (length == 0) break;
        at += length;
    }
    return at;
}

uint32_t crn_utf8_next(const char *text, size_t len, size_t *pos)
{
    unsigned char lead = (unsigned char)text[(*pos)++];

    if (lead < 0x80) return lead;
    int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t code = lead & (0x3Fu >> more);
    for (; more > 0 && *pos < len; more--) code = code << 6 | ((unsigned char)text[(*pos)++] & 0x3Fu);
    return code;
}

size_t crn_utf8_put(uint32_t code, char out[4])
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = REPLACEMENT;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }

    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)((0xF00 >> length & 0xFF) | code); /* 110xxxxx, 1110xxxx, 11110xxx */
    return length;
}
