/* Filling a caller's cairn_error. */
#include "base/error.h"

#include "base/line.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

cairn_status crn_error_set(cairn_error *err, cairn_status status, const char *format, ...)
{
    if (err == NULL) return status;

    /* Formatted aside, because err->message may be among the arguments. */
    char message[CAIRN_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    crn_line_format(message, sizeof message, format, args);
    va_end(args);

    err->status = status;
    memcpy(err->message, message, sizeof message);
    return status;
}

cairn_status crn_error_context(cairn_error *err, cairn_status status, const char *format, ...)
{
    if (err == NULL) return status;

    char context[CAIRN_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    crn_line_format(context, sizeof context, format, args);
    va_end(args);
    return crn_error_set(err, err->status, "%s: %s", context, err->message);
}

cairn_status crn_error_no_memory(cairn_error *err, size_t size_bytes)
{
    return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for %zu bytes", size_bytes);
}

static cairn_status status_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return CAIRN_NO_SPACE;
    case EROFS:
    case EACCES:
    case EPERM:
        return CAIRN_READ_ONLY;
    case ENOENT:
    case ENOTDIR:
        return CAIRN_NO_FILE;
    case ENOMEM:
        return CAIRN_NO_MEMORY;
    default:
        return CAIRN_IO;
    }
}

cairn_status crn_error_errno(cairn_error *err, int error_number, const char *what, const char *path)
{
    char buffer[128];
    const char *reason = strerror_r(error_number, buffer, sizeof buffer); /* GNU's, which returns the text */

    return crn_error_set(err, status_of_errno(error_number), "%s%s%s: %s", what, path != NULL ? " " : "",
                         path != NULL ? path : "", reason);
}
