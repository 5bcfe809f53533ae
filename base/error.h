/* Filling a caller's cairn_error. The place that fails writes the message, with the offending values. */
#ifndef CRN_BASE_ERROR_H
#define CRN_BASE_ERROR_H

#include <cairn/status.h>
#include <stddef.h>

/* Writes status and message when err is not NULL. The message becomes one line of valid UTF-8, cut at a
 * character's border when too long; err->message may be among the arguments. Returns `status`, so that a
 * failing line can be `return crn_error_set(...)`. */
cairn_status crn_error_set(cairn_error *err, cairn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message that is there, once. Returns err's status, or `status` when err is
 * NULL. */
cairn_status crn_error_context(cairn_error *err, cairn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* NO_MEMORY with the number of bytes that could not be had. */
cairn_status crn_error_no_memory(cairn_error *err, size_t size_bytes);

/* Translates an errno: NO_SPACE, READ_ONLY, NO_FILE, NO_MEMORY, IO; message "what path: strerror". */
cairn_status crn_error_errno(cairn_error *err, int error_number, const char *what, const char *path);

#define CRN_TRY(call)                                            \
    do {                                                         \
        cairn_status crn_try_status_ = (call);                   \
        if (crn_try_status_ != CAIRN_OK) return crn_try_status_; \
    } while (0)

#endif
