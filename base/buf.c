/*
 * A growable byte buffer with a maximum. Invariants: cap is 0 with data NULL, or len < cap <= max + 1 with
 * data[len] == '\0'. After a failure the content stays as it was before the append that failed.
 */
#include "base/buf.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

#define CAP_MIN 64

void crn_buf_init(struct crn_buf *buf, size_t max_bytes)
{
    *buf = (struct crn_buf){.max = max_bytes};
}

void crn_buf_release(struct crn_buf *buf)
{
    crn_mem_free(buf->data);
    crn_buf_init(buf, buf->max);
}

void crn_buf_clear(struct crn_buf *buf)
{
    buf->len = 0;
    buf->failed = CAIRN_OK;
    if (buf->data != NULL) buf->data[0] = '\0';
}

/* Makes room for `extra` more bytes and the NUL. Capacity doubles, so that n appends cost O(n). */
static bool reserve(struct crn_buf *buf, size_t extra)
{
    if (buf->failed != CAIRN_OK) return false;
    if (extra < buf->cap - buf->len) return true;
    if (extra > buf->max - buf->len || buf->len + extra == SIZE_MAX) {
        buf->failed = CAIRN_LIMIT;
        return false;
    }

    size_t need = buf->len + extra + 1;
    size_t cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    if (cap < CAP_MIN) cap = CAP_MIN;
    if (cap > buf->max) cap = buf->max < SIZE_MAX ? buf->max + 1 : SIZE_MAX;
    if (cap < need) cap = need;

    char *data = crn_mem_realloc_array(buf->data, cap, 1);
    if (data == NULL) {
        buf->failed = CAIRN_NO_MEMORY;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void *crn_buf_extend(struct crn_buf *buf, size_t len)
{
    if (!reserve(buf, len)) return NULL;

    char *room = buf->data + buf->len;
    buf->len += len;
    buf->data[buf->len] = '\0';
    return room;
}

cairn_status crn_buf_append(struct crn_buf *buf, const void *data, size_t len)
{
    void *room = crn_buf_extend(buf, len);

    if (room != NULL && len > 0) memcpy(room, data, len);
    return buf->failed;
}

cairn_status crn_buf_puts(struct crn_buf *buf, const char *text)
{
    return crn_buf_append(buf, text, strlen(text));
}

cairn_status crn_buf_putc(struct crn_buf *buf, char c)
{
    return crn_buf_append(buf, &c, 1);
}

cairn_status crn_buf_printf(struct crn_buf *buf, const char *format, ...)
{
    va_list args, again;

    if (buf->failed != CAIRN_OK) return buf->failed;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) {
        buf->failed = CAIRN_INTERNAL; /* a conversion that the C library refuses */
    } else {
        char *room = crn_buf_extend(buf, (size_t)length);
        if (room != NULL) vsnprintf(room, (size_t)length + 1, format, again);
    }
    va_end(again);
    va_end(args);
    return buf->failed;
}

char *crn_buf_take(struct crn_buf *buf)
{
    if (!reserve(buf, 0)) return NULL;

    char *data = buf->data;
    data[buf->len] = '\0';
    crn_buf_init(buf, buf->max);
    return data;
}

/* The letter behind the backslash of a short escape, 'u' for a long one, 0 for what stands as it is. */
static char json_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

static void json_escaped(struct crn_buf *buf, const char *text, size_t len)
{
    size_t plain = 0; /* start of the run that stands as it is */

    for (size_t at = 0; at < len; at++) {
        char escape = json_escape((unsigned char)text[at]);
        if (escape == 0) continue;
        crn_buf_append(buf, text + plain, at - plain);
        plain = at + 1;
        if (escape == 'u') {
            crn_buf_printf(buf, "\\u%04x", (unsigned char)text[at]);
        } else {
            crn_buf_append(buf, (char[]){'\\', escape}, 2);
        }
    }
    crn_buf_append(buf, text + plain, len - plain);
}

cairn_status crn_buf_json_string(struct crn_buf *buf, const char *text, size_t len)
{
    crn_buf_putc(buf, '"');
    while (len > 0) {
        size_t valid = crn_utf8_valid(text, len);
        json_escaped(buf, text, valid);
        if (valid < len) { /* U+FFFD for each byte that is no UTF-8: the output is always JSON */
            crn_buf_puts(buf, "\xEF\xBF\xBD");
            valid++;
        }
        text += valid;
        len -= valid;
    }
    return crn_buf_putc(buf, '"');
}
