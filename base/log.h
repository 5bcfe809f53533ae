/* The host's log sink. The library never prints by itself. */
#ifndef CRN_BASE_LOG_H
#define CRN_BASE_LOG_H

#include <cairn/db.h>

struct crn_log {
    cairn_log_fn fn; /* NULL: silence */
    void *ctx;
};

void crn_log(const struct crn_log *log, cairn_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
