/* A growable byte buffer with a maximum. Text appended stays NUL-terminated (the NUL is not counted). */
#ifndef CRN_BASE_BUF_H
#define CRN_BASE_BUF_H

#include <cairn/status.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crn_buf {
    char *data; /* NULL while empty and never grown */
    size_t len;
    size_t cap;
    size_t max;          /* bytes; passing it sets `failed` with LIMIT */
    cairn_status failed; /* sticky: the first failure; appends after it do nothing */
};

void crn_buf_init(struct crn_buf *buf, size_t max_bytes);
void crn_buf_release(struct crn_buf *buf);
void crn_buf_clear(struct crn_buf *buf); /* keeps the memory, forgets a failure */

/* All return buf->failed, so that a run of appends can be checked once at its end. */
cairn_status crn_buf_append(struct crn_buf *buf, const void *data, size_t len);
cairn_status crn_buf_puts(struct crn_buf *buf, const char *text);
cairn_status crn_buf_putc(struct crn_buf *buf, char c);
cairn_status crn_buf_printf(struct crn_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void *crn_buf_extend(struct crn_buf *buf, size_t len); /* room for len bytes, counted in; NULL on failure */
/* Transfers the memory (crn_mem_free); "" when empty; NULL on failure, when the buffer keeps what it has. */
char *crn_buf_take(struct crn_buf *buf);

/* JSON writing: a quoted, escaped string, U+FFFD for each byte that is no UTF-8; numbers shortest-round-trip
 * ("1.0", never "1"; null for NaN and infinities). A float reads back exactly by way of a double, too. */
cairn_status crn_buf_json_string(struct crn_buf *buf, const char *text, size_t len);
cairn_status crn_buf_json_float(struct crn_buf *buf, float value);
cairn_status crn_buf_json_double(struct crn_buf *buf, double value);

#endif
