/*
 * POST .../recall: what recall each effort gives, and how long it takes, measured with rows of the collection
 * as queries, each without itself. The true neighbours are found by an exact search. One measurement at a
 * time, within its time.
 */
#include "server/v1_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define K_DEFAULT 10u
#define K_MAX 100u
#define QUERIES_DEFAULT 50u
#define QUERIES_MAX 500u
#define BUDGET_DEFAULT_MS 3000u
#define BUDGET_MAX_MS 30000u
#define VECTORS_BYTES_MAX (64u << 20)
#define EFFORTS_MAX 17u
#define DEFAULT_EFFORT 0u /* what a search does that asks for none */

struct measurement {
    struct crn_v1_call *call;
    cairn_collection *collection;
    const char *space;
    uint32_t dim, k;
    uint64_t until_ns;
    bool by_lists; /* efforts are nprobe, else ef */
    uint32_t efforts[EFFORTS_MAX];
    double calibrated[EFFORTS_MAX]; /* recall when the index was built; NAN: not measured then */
    uint32_t effort_count;
    uint32_t count; /* queries */
    float *vectors; /* [count][dim] */
    cairn_id *ids;  /* [count] */
    float *truth;   /* [count][k] distances, ascending */
    uint32_t *truth_counts;
    double *times_ms; /* [count] of the last run */
    uint32_t point_count;
};

/* ---- queries ---- */

static bool add_query(void *ctx, const cairn_pattern *pattern)
{
    struct measurement *m = ctx;
    const float *vector = crn_v1_vector_of(pattern, m->space, m->dim);

    if (vector == NULL) return true;
    cairn_id id = crn_v1_id_of(pattern);
    if (id.text != NULL) id.text = crn_v1_take_text(m->call, id.text, strlen(id.text));
    if (id.text == NULL && id.type != CAIRN_ID_U64) return false;
    memcpy(m->vectors + (size_t)m->count * m->dim, vector, m->dim * sizeof *vector);
    m->ids[m->count++] = id;
    return true;
}

static bool is_same(const cairn_id *a, const cairn_id *b)
{
    if (a->type != b->type) return false;
    return a->type == CAIRN_ID_U64 ? a->u64 == b->u64 : strcmp(a->text, b->text) == 0;
}

/* ---- one search ---- */

/* The k nearest distances but for the row itself. */
static bool search(struct measurement *m, uint32_t i, bool exact, uint32_t effort, float *out,
                   uint32_t *out_count)
{
    cairn_query query = {.size = sizeof query,
                         .vector = m->vectors + (size_t)i * m->dim,
                         .dim = m->dim,
                         .space = m->space,
                         .k = m->k + 1,
                         .mode = CAIRN_SEARCH_VECTOR,
                         .exact = exact};
    cairn_results *results = NULL;
    cairn_error err = {0};

    if (m->by_lists)
        query.nprobe = effort;
    else
        query.ef = effort;
    const uint64_t begin = crn_clock_ns();
    if (!crn_v1_ok(m->call, cairn_search(m->collection, &query, &results, &err), &err)) return false;
    m->times_ms[i] = (double)(crn_clock_ns() - begin) / 1e6;
    *out_count = 0;
    for (size_t h = 0; h < cairn_results_count(results) && *out_count < m->k; h++) {
        const cairn_hit *hit = cairn_results_at(results, h);
        if (!is_same(&hit->id, &m->ids[i])) out[(*out_count)++] = hit->distance;
    }
    cairn_results_free(results);
    return true;
}

/* Whether there is time for more; else false with *out_failed when nobody waits. */
static bool may_go_on(struct measurement *m, bool *out_failed)
{
    if (!crn_v1_wanted(m->call, NULL, 0, 0)) {
        *out_failed = true;
        return crn_v1_refuse(m->call, CAIRN_CANCELLED, "nobody waits for the answer");
    }
    return crn_clock_ns() < m->until_ns;
}

/* ---- figures ---- */

static int compare_times(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void put_times(struct measurement *m)
{
    struct crn_buf *out = m->call->out;
    double sum = 0;

    qsort(m->times_ms, m->count, sizeof *m->times_ms, compare_times);
    for (uint32_t i = 0; i < m->count; i++) sum += m->times_ms[i];
    crn_buf_puts(out, "\"mean_ms\":");
    crn_buf_json_double(out, m->count > 0 ? sum / m->count : 0);
    crn_buf_puts(out, ",\"p50_ms\":");
    crn_buf_json_double(out, m->count > 0 ? m->times_ms[(m->count - 1) / 2] : 0);
    crn_buf_puts(out, ",\"p99_ms\":");
    crn_buf_json_double(out, m->count > 0 ? m->times_ms[(size_t)((m->count - 1) * 0.99 + 0.5)] : 0);
}

/* Neighbours as near as the true k-th are as good: rows at equal distances are not told apart. */
static uint32_t found(const float *truth, uint32_t true_count, const float *got, uint32_t count)
{
    uint32_t hits = 0;

    for (uint32_t i = 0; i < count && i < true_count; i++) {
        const float farthest = truth[true_count - 1];
        hits += got[i] <= farthest + 1e-6f * (farthest < 0 ? -farthest : farthest) + 1e-7f;
    }
    return hits;
}

/* True without a point when the time was over. */
static bool measure_effort(struct measurement *m, uint32_t e, bool *out_stopped)
{
    const uint32_t effort = m->efforts[e];
    struct crn_buf *out = m->call->out;
    uint64_t hits = 0, wanted = 0;
    float got[K_MAX];
    uint32_t count;

    for (uint32_t i = 0; i < m->count; i++) {
        if (!may_go_on(m, out_stopped)) {
            const bool failed = *out_stopped;
            *out_stopped = true;
            return !failed;
        }
        if (!search(m, i, false, effort, got, &count)) return false;
        hits += found(m->truth + (size_t)i * m->k, m->truth_counts[i], got, count);
        wanted += m->truth_counts[i];
    }
    crn_buf_puts(out, m->point_count++ > 0 ? ",{\"effort\":" : "{\"effort\":");
    if (effort == DEFAULT_EFFORT)
        crn_buf_puts(out, "null");
    else
        crn_buf_printf(out, "%" PRIu32, effort);
    crn_buf_puts(out, ",\"recall\":");
    crn_buf_json_double(out, wanted > 0 ? (double)hits / (double)wanted : 1);
    crn_buf_puts(out, ",\"calibrated\":");
    crn_buf_json_double(out, m->calibrated[e]);
    crn_buf_putc(out, ',');
    put_times(m);
    crn_buf_putc(out, '}');
    return true;
}

/* Exact searches take half of the time at most: what is then not measured is no query. */
static bool find_truth(struct measurement *m, uint64_t begin_ns)
{
    const uint64_t until_ns = m->until_ns;
    uint32_t i;
    bool failed = false;

    m->until_ns = begin_ns + (until_ns - begin_ns) / 2;
    for (i = 0; i < m->count && (i == 0 || may_go_on(m, &failed)); i++) {
        if (!search(m, i, true, DEFAULT_EFFORT, m->truth + (size_t)i * m->k, &m->truth_counts[i]))
            return false;
    }
    m->until_ns = until_ns;
    m->count = i;
    return !failed;
}

/* ---- which efforts ---- */

static void add_effort(struct measurement *m, uint32_t effort, double calibrated)
{
    if (m->effort_count == EFFORTS_MAX) return;
    m->efforts[m->effort_count] = effort;
    m->calibrated[m->effort_count++] = calibrated;
}

/* Those of the index's own calibration, with what it found. */
static bool add_calibrated(struct measurement *m, struct crn_json space)
{
    struct crn_json calibration, efforts, recalls, effort, recall;
    struct crn_json_iter effort_at, recall_at;
    const char *key;
    size_t length;

    if (!crn_json_get(space, "calibration", &calibration) ||
        !crn_json_get(calibration, "efforts", &efforts) || !crn_json_get(calibration, "recalls", &recalls)) {
        return false;
    }
    crn_json_iter_init(&recall_at, recalls);
    for (crn_json_iter_init(&effort_at, efforts); crn_json_iter_next(&effort_at, &effort, &key, &length) &&
                                                  crn_json_iter_next(&recall_at, &recall, &key, &length);) {
        add_effort(m, (uint32_t)crn_json_u64(effort), crn_json_double(recall));
    }
    return true;
}

static void choose_efforts(struct measurement *m, struct crn_json space)
{
    static const uint32_t lists[] = {1, 2, 4, 8, 16, 32, 64, 128, 0},
                          candidates[] = {16, 32, 64, 128, 256, 512, 0};

    add_effort(m, DEFAULT_EFFORT, NAN);
    if (crn_v1_space_u64(space, "indexed_rows") + crn_v1_space_u64(space, "tail_indexed_rows") == 0)
        return; /* all is scanned */
    if (add_calibrated(m, space)) return;
    for (const uint32_t *other = m->by_lists ? lists : candidates; *other != 0; other++)
        add_effort(m, *other, NAN);
}

/* ---- the whole ---- */

static bool prepare(struct measurement *m, uint32_t queries)
{
    m->vectors = crn_v1_take(m->call, (size_t)queries * m->dim, sizeof *m->vectors);
    m->ids = crn_v1_take(m->call, queries, sizeof *m->ids);
    m->truth = crn_v1_take(m->call, (size_t)queries * m->k, sizeof *m->truth);
    m->truth_counts = crn_v1_take(m->call, queries, sizeof *m->truth_counts);
    m->times_ms = crn_v1_take(m->call, queries, sizeof *m->times_ms);
    return m->times_ms != NULL && m->truth_counts != NULL && m->truth != NULL && m->ids != NULL &&
           m->vectors != NULL;
}

/* One search of each kind, so that indexes are open and files in memory before anything counts. */
static bool warm_up(struct measurement *m)
{
    return m->count == 0 || (search(m, 0, false, DEFAULT_EFFORT, m->truth, &m->truth_counts[0]) &&
                             search(m, 0, true, DEFAULT_EFFORT, m->truth, &m->truth_counts[0]));
}

static bool measure(struct measurement *m, struct crn_json_parser *parser, uint32_t queries,
                    uint32_t budget_ms)
{
    struct crn_json space;
    struct crn_buf *out = m->call->out;
    const uint64_t begin_ns = crn_clock_ns();
    uint64_t matching;
    bool stopped = false;

    m->until_ns = begin_ns + budget_ms * UINT64_C(1000000);
    if (!crn_v1_find_space(m->call, m->collection, m->space, parser, &space)) return false;
    m->dim = (uint32_t)crn_v1_space_u64(space, "dim");
    const uint32_t fit = VECTORS_BYTES_MAX / (m->dim * (uint32_t)sizeof(float));
    if (queries > fit) queries = fit;
    m->by_lists = strstr(crn_v1_space_text(space, "index"), "ivf") != NULL ||
                  strstr(crn_v1_space_text(space, "index"), "IVF") != NULL;
    if (!prepare(m, queries) ||
        !crn_v1_sample(m->call, m->collection, NULL, queries, add_query, m, &matching) || !warm_up(m) ||
        !crn_v1_find_space(m->call, m->collection, m->space, parser, &space) || !find_truth(m, begin_ns)) {
        return false;
    }
    choose_efforts(m, space); /* of indexes that are open now */
    crn_buf_puts(out, "{\"space\":");
    crn_v1_put_text(out, m->space);
    crn_buf_puts(out, ",\"index\":");
    crn_v1_put_text(out, crn_v1_space_text(space, "index"));
    crn_buf_printf(out,
                   ",\"rows\":%" PRIu64 ",\"indexed_rows\":%" PRIu64 ",\"k\":%" PRIu32 ",\"queries\":%" PRIu32
                   ",\"queries_from\":\"stored rows\",\"effort\":\"%s\",\"exact\":{",
                   crn_v1_space_u64(space, "rows"),
                   crn_v1_space_u64(space, "indexed_rows") + crn_v1_space_u64(space, "tail_indexed_rows"),
                   m->k, m->count, m->by_lists ? "nprobe" : "ef");
    put_times(m);
    crn_buf_puts(out, "},\"points\":[");
    for (uint32_t e = 0; m->count > 0 && e < m->effort_count && !stopped; e++) {
        if (!measure_effort(m, e, &stopped)) return false;
    }
    crn_buf_printf(out, "],\"complete\":%s,\"elapsed_ms\":", stopped ? "false" : "true");
    crn_buf_json_double(out, (double)(crn_clock_ns() - begin_ns) / 1e6);
    crn_buf_putc(out, '}');
    return true;
}

static bool begin_alone(struct crn_v1 *v1)
{
    pthread_mutex_lock(&v1->mutex);
    const bool alone = !v1->measuring;
    v1->measuring = true;
    pthread_mutex_unlock(&v1->mutex);
    return alone;
}

static void end_alone(struct crn_v1 *v1)
{
    pthread_mutex_lock(&v1->mutex);
    v1->measuring = false;
    pthread_mutex_unlock(&v1->mutex);
}

bool crn_v1_collection_recall(struct crn_v1_call *call)
{
    static const char *const names[] = {"space", "k", "queries", "budget_ms", NULL};
    struct measurement m = {.call = call, .space = "", .k = K_DEFAULT};
    uint32_t queries = QUERIES_DEFAULT, budget_ms = BUDGET_DEFAULT_MS;

    m.collection = crn_v1_lease(call);
    if (m.collection == NULL || !crn_v1_only(call, call->body, names) ||
        !crn_v1_get_text(call, call->body, "space", &m.space) ||
        !crn_v1_get_u32(call, call->body, "k", 1, K_MAX, &m.k) ||
        !crn_v1_get_u32(call, call->body, "queries", 1, QUERIES_MAX, &queries) ||
        !crn_v1_get_u32(call, call->body, "budget_ms", 1, BUDGET_MAX_MS, &budget_ms)) {
        return false;
    }
    if (!begin_alone(call->v1))
        return crn_v1_refuse(call, CAIRN_BUSY,
                             "another measurement is under way; ask again in a few seconds");
    struct crn_json_parser *parser = crn_json_parser_create();
    bool done = parser != NULL || crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for a parser");
    done = done && measure(&m, parser, queries, budget_ms);
    crn_json_parser_free(parser);
    end_alone(call->v1);
    return done;
}
