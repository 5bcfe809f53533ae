/* What is counted, and Prometheus's text of it (exposition format 0.0.4). Counters are written by one thread,
 * read by any. */
#ifndef CRN_SERVER_METRICS_H
#define CRN_SERVER_METRICS_H

#include "base/buf.h"
#include "server/http_server.h"

#include <stdatomic.h>

/* Classes of routes. */
enum crn_metrics_kind {
    CRN_METRICS_REFUSED, /* by the server itself: bad requests, those before a route was known */
    CRN_METRICS_HEALTH,
    CRN_METRICS_METRICS,
    CRN_METRICS_READ,
    CRN_METRICS_WRITE,
    CRN_METRICS_ADMIN,
    CRN_METRICS_KIND_COUNT,
};

#define CRN_METRICS_STATUSES 600u
#define CRN_METRICS_BUCKETS 14u

struct crn_metrics {
    _Atomic uint64_t requests[CRN_METRICS_KIND_COUNT][CRN_METRICS_STATUSES];
    _Atomic uint64_t buckets[CRN_METRICS_KIND_COUNT][CRN_METRICS_BUCKETS + 1];
    _Atomic uint64_t nanoseconds[CRN_METRICS_KIND_COUNT];
};

void crn_metrics_count(struct crn_metrics *metrics, enum crn_metrics_kind kind, unsigned status,
                       uint64_t duration_ns);

/* Of the database. */
struct crn_metrics_data {
    uint64_t collections, rows;
};

void crn_metrics_write(const struct crn_metrics *metrics, const struct crn_http_gauges *gauges,
                       const struct crn_metrics_data *data, struct crn_buf *out);

#endif
