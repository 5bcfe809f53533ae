/* The last searches that took long: GET /cairn/v1/slow. */
#include "server/access.h"
#include "server/v1_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void crn_v1_note_slow(struct crn_v1_call *call, const char *operation, const char *plan, uint32_t k,
                      uint64_t rows_scored, double elapsed_ms)
{
    struct crn_v1 *v1 = call->v1;

    if (elapsed_ms < v1->slow_ms) return;
    struct crn_v1_slow entry = {.time_ms = crn_clock_ms(),
                                .operation = operation,
                                .plan = plan,
                                .k = k,
                                .rows_scored = rows_scored,
                                .elapsed_ms = elapsed_ms};
    snprintf(entry.collection, sizeof entry.collection, "%s", call->lease->name);
    pthread_mutex_lock(&v1->mutex);
    v1->slow[v1->slow_count++ % V1_SLOW_MAX] = entry;
    pthread_mutex_unlock(&v1->mutex);
}

static void put_entry(struct crn_buf *out, const struct crn_v1_slow *entry)
{
    crn_buf_printf(out, "{\"time\":%" PRId64 ",\"collection\":", entry->time_ms);
    crn_v1_put_text(out, entry->collection);
    crn_buf_printf(out, ",\"operation\":\"%s\",\"k\":%" PRIu32 ",\"plan\":", entry->operation, entry->k);
    crn_v1_put_text(out, entry->plan);
    crn_buf_printf(out, ",\"rows_scored\":%" PRIu64 ",\"ms\":", entry->rows_scored);
    crn_buf_json_double(out, entry->elapsed_ms);
    crn_buf_putc(out, '}');
}

/* Newest first. The ring is copied, so that no search waits for the writing. */
bool crn_v1_slow(struct crn_v1_call *call)
{
    struct crn_v1 *v1 = call->v1;
    struct crn_v1_slow *entries = crn_v1_take(call, V1_SLOW_MAX, sizeof *entries);
    bool first = true;

    if (entries == NULL) return false;
    pthread_mutex_lock(&v1->mutex);
    memcpy(entries, v1->slow, sizeof v1->slow);
    const uint64_t count = v1->slow_count;
    pthread_mutex_unlock(&v1->mutex);
    crn_buf_puts(call->out, "{\"threshold_ms\":");
    crn_buf_json_double(call->out, v1->slow_ms);
    crn_buf_puts(call->out, ",\"slow\":[");
    for (uint64_t i = 0; i < count && i < V1_SLOW_MAX; i++) {
        const struct crn_v1_slow *entry = &entries[(count - 1 - i) % V1_SLOW_MAX];
        if (!crn_access_covers(&call->request->principal, entry->collection, strlen(entry->collection)))
            continue;
        if (!first) crn_buf_putc(call->out, ',');
        first = false;
        put_entry(call->out, entry);
    }
    crn_buf_puts(call->out, "]}");
    return true;
}
