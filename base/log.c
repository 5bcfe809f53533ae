/* One clean line to the host's sink. */
#include "base/log.h"

#include "base/line.h"

#include <stdarg.h>

#define LINE_MAX_BYTES 1024

void crn_log(const struct crn_log *log, cairn_log_level level, const char *format, ...)
{
    if (log == NULL || log->fn == NULL) return;

    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    crn_line_format(line, sizeof line, format, args);
    va_end(args);
    log->fn(log->ctx, level, line);
}
