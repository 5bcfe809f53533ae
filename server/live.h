/* Requests of the last minute, second by second: how many, how long, how many failed. Written by one thread,
 * read by any. */
#ifndef CRN_SERVER_LIVE_H
#define CRN_SERVER_LIVE_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

enum crn_live_class { CRN_LIVE_QUERY, CRN_LIVE_READ, CRN_LIVE_WRITE, CRN_LIVE_ADMIN, CRN_LIVE_CLASSES };

#define CRN_LIVE_SECONDS 64u /* kept; a second's place is taken by the 64th after it */
#define CRN_LIVE_BUCKETS \
    208u /* of durations: eight for each doubling from 1 microsecond on, so that a bound is within 13 % */

struct crn_live_second {
    _Atomic uint64_t second; /* monotonic; 0: never used */
    _Atomic uint32_t failed[CRN_LIVE_CLASSES];
    _Atomic uint32_t counts[CRN_LIVE_CLASSES][CRN_LIVE_BUCKETS];
};

struct crn_live { /* all zero at first */
    struct crn_live_second seconds[CRN_LIVE_SECONDS];
};

/* A request that ended in `second`; failed are those of status 500 or more, and 499: the client left. */
void crn_live_count(struct crn_live *live, uint64_t second, enum crn_live_class class, unsigned status,
                    uint64_t duration_ns);

/* Members of a JSON object: `window_s`; `classes`, rates and percentiles over the last 10 whole seconds before
 * `now`; `history`, the 60 seconds before it, the oldest first. */
void crn_live_write(const struct crn_live *live, uint64_t now, struct crn_buf *out);

#endif
