/* Time: wall clock in milliseconds since 1970 for records, monotonic nanoseconds for durations. */
#ifndef CRN_BASE_CLOCK_H
#define CRN_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t crn_clock_ms(void);
uint64_t crn_clock_ns(void); /* monotonic */

/* RFC 3339 date-time or date ("2024-05-01T10:00:00Z", "2024-05-01") to ms since 1970; false if it is none. */
bool crn_clock_parse(const char *text, size_t len, int64_t *out_ms);

#endif
