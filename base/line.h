/* One line of text from a printf format: what error messages and log lines share. */
#ifndef CRN_BASE_LINE_H
#define CRN_BASE_LINE_H

#include <stdarg.h>
#include <stddef.h>

/* Writes at most size bytes, the NUL included (size > 0). Whatever the arguments hold, the result is one line
 * of valid UTF-8: control characters become spaces, bytes that are no UTF-8 become '?', and what is too long
 * is cut at a character's border. `out` must not be among the arguments. */
void crn_line_format(char *out, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

#endif
