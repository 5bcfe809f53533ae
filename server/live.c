/* Relaxed but for the number of a second, which is told after its counts were cleared. A place is used again
 * only 4 seconds after its second was last read. */
#include "server/live.h"

#include <inttypes.h>
#include <string.h>

#define WINDOW_S 10u
#define HISTORY_S 60u

static const char *const names[CRN_LIVE_CLASSES] = {"query", "read", "write", "admin"};

/* ---- buckets: below 8 us one each, then eight for each doubling ---- */

static unsigned bucket_of(uint64_t duration_ns)
{
    const uint64_t us = duration_ns / 1000;

    if (us < 8) return (unsigned)us;
    const unsigned octave = 63u - (unsigned)__builtin_clzll(us); /* 3 or more */
    const unsigned bucket = (octave - 2) * 8 + (unsigned)((us >> (octave - 3)) & 7);
    return bucket < CRN_LIVE_BUCKETS ? bucket : CRN_LIVE_BUCKETS - 1;
}

/* Its upper end, which is the next one's lower. */
static double bucket_ms(unsigned bucket)
{
    const unsigned next = bucket + 1;

    if (next < 8) return next / 1e3;
    return (double)((uint64_t)(8 + next % 8) << (next / 8 - 1)) / 1e3;
}

/* ---- counting ---- */

static struct crn_live_second *place(struct crn_live *live, uint64_t second)
{
    struct crn_live_second *at = &live->seconds[second % CRN_LIVE_SECONDS];

    if (atomic_load_explicit(&at->second, memory_order_relaxed) == second) return at;
    for (unsigned class = 0; class < CRN_LIVE_CLASSES; class ++) {
        atomic_store_explicit(&at->failed[class], 0, memory_order_relaxed);
        for (unsigned b = 0; b < CRN_LIVE_BUCKETS; b++)
            atomic_store_explicit(&at->counts[class][b], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&at->second, second,
                          memory_order_release); /* the cleared counts are seen with it */
    return at;
}

void crn_live_count(struct crn_live *live, uint64_t second, enum crn_live_class class, unsigned status,
                    uint64_t duration_ns)
{
    struct crn_live_second *at = place(live, second);

    atomic_fetch_add_explicit(&at->counts[class][bucket_of(duration_ns)], 1, memory_order_relaxed);
    if (status >= 499) atomic_fetch_add_explicit(&at->failed[class], 1, memory_order_relaxed);
}

/* ---- telling ---- */

struct sum {
    uint64_t count, failed;
    uint64_t counts[CRN_LIVE_BUCKETS];
};

static void add_second(const struct crn_live *live, uint64_t second, unsigned class, struct sum *sum)
{
    const struct crn_live_second *at = &live->seconds[second % CRN_LIVE_SECONDS];

    if (atomic_load_explicit(&at->second, memory_order_acquire) != second) return;
    sum->failed += atomic_load_explicit(&at->failed[class], memory_order_relaxed);
    for (unsigned b = 0; b < CRN_LIVE_BUCKETS; b++) {
        const uint32_t count = atomic_load_explicit(&at->counts[class][b], memory_order_relaxed);
        sum->counts[b] += count;
        sum->count += count;
    }
}

/* The duration that `share` of the requests did not exceed, null without any. */
static void put_percentile(const struct sum *sum, const char *name, double share, struct crn_buf *out)
{
    uint64_t below = 0;
    unsigned b = 0;

    crn_buf_printf(out, ",\"%s\":", name);
    if (sum->count == 0) {
        crn_buf_puts(out, "null");
        return;
    }
    while ((double)(below += sum->counts[b]) < share * (double)sum->count) b++;
    crn_buf_json_double(out, bucket_ms(b));
}

static void put_class(const struct crn_live *live, uint64_t now, unsigned class, struct crn_buf *out)
{
    struct sum sum = {0};

    for (uint64_t second = now - WINDOW_S; second < now; second++) add_second(live, second, class, &sum);
    crn_buf_printf(out, "\"%s\":{\"per_second\":", names[class]);
    crn_buf_json_double(out, (double)sum.count / WINDOW_S);
    crn_buf_printf(out, ",\"failed\":%" PRIu64, sum.failed);
    put_percentile(&sum, "p50_ms", 0.5, out);
    put_percentile(&sum, "p99_ms", 0.99, out);
    crn_buf_putc(out, '}');
}

static void put_history(const struct crn_live *live, uint64_t now, unsigned class, struct crn_buf *out)
{
    crn_buf_printf(out, "\"%s\":[", names[class]);
    for (uint64_t second = now - HISTORY_S; second < now; second++) {
        struct sum sum = {0};
        add_second(live, second, class, &sum);
        crn_buf_printf(out, second + HISTORY_S > now ? ",%" PRIu64 : "%" PRIu64, sum.count);
    }
    crn_buf_putc(out, ']');
}

void crn_live_write(const struct crn_live *live, uint64_t now, struct crn_buf *out)
{
    if (now < HISTORY_S) now = HISTORY_S; /* a machine that has just started */
    crn_buf_printf(out, "\"window_s\":%u,\"classes\":{", WINDOW_S);
    for (unsigned class = 0; class < CRN_LIVE_CLASSES; class ++) {
        if (class > 0) crn_buf_putc(out, ',');
        put_class(live, now, class, out);
    }
    crn_buf_puts(out, "},\"history\":{");
    for (unsigned class = 0; class < CRN_LIVE_CLASSES; class ++) {
        if (class > 0) crn_buf_putc(out, ',');
        put_history(live, now, class, out);
    }
    crn_buf_putc(out, '}');
}
