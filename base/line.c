/* Messages quote what a caller gave, which may be any bytes: here they become one clean line. */
#include "base/line.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* Length without a last character whose lead byte promises more bytes than are there. */
static size_t without_partial_character(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char byte = (unsigned char)text[len - back];
        if ((byte & 0xC0) == 0x80) continue;
        size_t promised = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        return promised > back ? len - back : len;
    }
    return len;
}

static void clean(char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        at += crn_utf8_valid(text + at, len - at);
        if (at < len) text[at++] = '?';
    }
    for (size_t at = 0; at < len; at++) {
        if ((unsigned char)text[at] < 0x20 || text[at] == 0x7F) text[at] = ' ';
    }
}

void crn_line_format(char *out, size_t size, const char *format, va_list args)
{
    out[0] = '\0';
    int wanted = vsnprintf(out, size, format, args);
    size_t len = strlen(out);

    if (wanted > 0 && (size_t)wanted >= size) len = without_partial_character(out, len);
    clean(out, len);
    out[len] = '\0';
}
