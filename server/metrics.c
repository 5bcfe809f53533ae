/* Relaxed everywhere: a scrape may see one counter a request earlier than another. */
#include "server/metrics.h"

#include <inttypes.h>

static const char *const kind_names[] = {
    [CRN_METRICS_REFUSED] = "refused", [CRN_METRICS_HEALTH] = "health", [CRN_METRICS_METRICS] = "metrics",
    [CRN_METRICS_READ] = "read",       [CRN_METRICS_WRITE] = "write",   [CRN_METRICS_ADMIN] = "admin",
};

/* Upper bounds; as text, so that they read as they are written. */
static const struct {
    uint64_t ns;
    const char *seconds;
} bounds[CRN_METRICS_BUCKETS] = {
    {50000, "0.00005"},  {100000, "0.0001"}, {250000, "0.00025"}, {500000, "0.0005"},  {1000000, "0.001"},
    {2500000, "0.0025"}, {5000000, "0.005"}, {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},
    {100000000, "0.1"},  {500000000, "0.5"}, {1000000000, "1"},   {10000000000, "10"},
};

static void add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void crn_metrics_count(struct crn_metrics *metrics, enum crn_metrics_kind kind, unsigned status,
                       uint64_t duration_ns)
{
    size_t bucket = 0;

    while (bucket < CRN_METRICS_BUCKETS && duration_ns > bounds[bucket].ns) bucket++;
    add(&metrics->requests[kind][status < CRN_METRICS_STATUSES ? status : 0], 1);
    add(&metrics->buckets[kind][bucket], 1);
    add(&metrics->nanoseconds[kind], duration_ns);
}

static void write_requests(const struct crn_metrics *metrics, struct crn_buf *out)
{
    crn_buf_puts(out,
                 "# HELP cairn_http_requests_total Requests that were answered, or whose client left (499).\n"
                 "# TYPE cairn_http_requests_total counter\n");
    for (int kind = 0; kind < CRN_METRICS_KIND_COUNT; kind++) {
        for (unsigned status = 0; status < CRN_METRICS_STATUSES; status++) {
            const uint64_t count = get(&metrics->requests[kind][status]);
            if (count == 0) continue;
            crn_buf_printf(out, "cairn_http_requests_total{route=\"%s\",status=\"%u\"} %" PRIu64 "\n",
                           kind_names[kind], status, count);
        }
    }
}

static void write_durations(const struct crn_metrics *metrics, struct crn_buf *out)
{
    crn_buf_puts(out, "# HELP cairn_http_request_duration_seconds From a request's last byte to its answer.\n"
                      "# TYPE cairn_http_request_duration_seconds histogram\n");
    for (int kind = 0; kind < CRN_METRICS_KIND_COUNT; kind++) {
        const char *name = kind_names[kind];
        uint64_t sum = 0;
        for (size_t i = 0; i < CRN_METRICS_BUCKETS; i++) {
            sum += get(&metrics->buckets[kind][i]);
            crn_buf_printf(out,
                           "cairn_http_request_duration_seconds_bucket{route=\"%s\",le=\"%s\"} %" PRIu64 "\n",
                           name, bounds[i].seconds, sum);
        }
        sum += get(&metrics->buckets[kind][CRN_METRICS_BUCKETS]);
        crn_buf_printf(out,
                       "cairn_http_request_duration_seconds_bucket{route=\"%s\",le=\"+Inf\"} %" PRIu64 "\n",
                       name, sum);
        crn_buf_printf(out, "cairn_http_request_duration_seconds_sum{route=\"%s\"} %.9f\n", name,
                       (double)get(&metrics->nanoseconds[kind]) / 1e9);
        crn_buf_printf(out, "cairn_http_request_duration_seconds_count{route=\"%s\"} %" PRIu64 "\n", name,
                       sum);
    }
}

static void write_one(struct crn_buf *out, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    crn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, value);
}

void crn_metrics_write(const struct crn_metrics *metrics, const struct crn_http_gauges *gauges,
                       const struct crn_metrics_data *data, struct crn_buf *out)
{
    write_requests(metrics, out);
    write_durations(metrics, out);
    write_one(out, "cairn_http_connections", "gauge", "Open connections.", gauges->connections);
    write_one(out, "cairn_http_connections_total", "counter", "Connections accepted.", gauges->accepted);
    write_one(out, "cairn_http_connections_refused_total", "counter",
              "Connections refused because there were too many.", gauges->refused_connections);
    write_one(out, "cairn_http_requests_in_flight", "gauge",
              "Requests that wait for a worker or are with one.", gauges->in_flight);
    write_one(out, "cairn_http_queue_depth", "gauge", "Requests that wait for a worker.", gauges->waiting);
    write_one(out, "cairn_http_requests_refused_total", "counter",
              "Requests that the server itself refused: bad ones, late ones, a full queue.",
              gauges->refused_requests);
    write_one(out, "cairn_collections", "gauge", "Collections in the database.", data->collections);
    write_one(out, "cairn_rows", "gauge", "Rows of all collections.", data->rows);
}
