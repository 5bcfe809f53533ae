/* Is the database what the model says? */
#include "tests/faults/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCROLL 200

static bool wrong(char message[MODEL_MESSAGE], unsigned collection, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool wrong(char message[MODEL_MESSAGE], unsigned collection, const char *format, ...)
{
    int used = snprintf(message, MODEL_MESSAGE, "c%u: ", collection);
    va_list args;

    va_start(args, format);
    vsnprintf(message + used, (size_t)(MODEL_MESSAGE - used), format, args);
    va_end(args);
    return false;
}

static bool failed(char message[MODEL_MESSAGE], unsigned collection, const char *call, cairn_status status,
                   const cairn_error *err)
{
    return wrong(message, collection, "%s: %s: %s", call, cairn_status_name(status), err->message);
}

/* ---- rows ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Takes the number and the stamp from a stored row, and compares all the rest with what these two imply. */
static bool read_row(unsigned which, const cairn_pattern *pattern, uint32_t found[MODEL_ROWS],
                     char message[MODEL_MESSAGE])
{
    unsigned long number, stamp;
    struct model_row row;

    if (!pattern->id || pattern->id[0] != 'r' || (number = strtoul(pattern->id + 1, NULL, 10)) >= MODEL_ROWS)
        return wrong(message, which, "a row with the id %s", pattern->id ? pattern->id : "(none)");
    if (!pattern->payload || strncmp(pattern->payload, "{\"n\":", 5) != 0)
        return wrong(message, which, "%s has the payload %s", pattern->id,
                     pattern->payload ? pattern->payload : "(none)");
    stamp = strtoul(pattern->payload + 5, NULL, 10);
    model_row(&row, which, (uint32_t)number, (uint32_t)stamp);
    if (!same_text(pattern->payload, row.payload) || !same_text(pattern->domain, row.domain) ||
        !same_text(pattern->text, row.text) || pattern->confidence != row.confidence)
        return wrong(message, which, "%s, stamp %lu, is not as it was written: %s, %s, %s, %g", pattern->id,
                     stamp, pattern->payload, pattern->domain, pattern->text, pattern->confidence);
    if (!pattern->vector || memcmp(pattern->vector, row.vector, sizeof(row.vector)) != 0)
        return wrong(message, which, "%s, stamp %lu, has another vector", pattern->id, stamp);
    if (found[number] != 0) return wrong(message, which, "%s is there twice", pattern->id);
    found[number] = (uint32_t)stamp;
    return true;
}

static bool read_rows(struct model_session *session, unsigned which, uint32_t found[MODEL_ROWS],
                      char message[MODEL_MESSAGE])
{
    uint64_t cursor = 0;

    do {
        cairn_patterns *patterns;
        cairn_error err;
        bool right = true;
        cairn_status status =
            cairn_scroll(session->collections[which], NULL, &cursor, SCROLL, true, &patterns, &err);

        if (status != CAIRN_OK) return failed(message, which, "cairn_scroll", status, &err);
        for (size_t i = 0; i < cairn_patterns_count(patterns) && right; i++)
            right = read_row(which, cairn_patterns_at(patterns, i), found, message);
        cairn_patterns_free(patterns);
        if (!right) return false;
    } while (cursor != 0);
    return true;
}

static uint32_t first_difference(const uint32_t *a, const uint32_t *b)
{
    uint32_t i = 0;

    while (i < MODEL_ROWS && a[i] == b[i]) i++;
    return i;
}

/* The state found must be the one before the call under way or the one after it; it becomes the truth. */
static bool settle(struct model_collection *truth, unsigned which, bool exists,
                   const uint32_t found[MODEL_ROWS], char message[MODEL_MESSAGE])
{
    bool under_way = truth->call.under_way;
    bool may_be_before = !under_way || !truth->call.acknowledged;
    uint32_t before = first_difference(truth->stamps, found);
    uint32_t after = under_way ? first_difference(truth->call.stamps, found) : 0;

    if ((may_be_before && exists == truth->exists && before == MODEL_ROWS) ||
        (under_way && exists == truth->call.exists && after == MODEL_ROWS)) {
        memcpy(truth->stamps, found, sizeof(truth->stamps));
        truth->exists = exists;
        truth->call.under_way = false;
        return true;
    }
    if (exists != truth->exists && !(under_way && exists == truth->call.exists))
        return wrong(message, which, "the collection %s", exists ? "is there again" : "is gone");
    if (!under_way)
        return wrong(message, which, "r%" PRIu32 " has the stamp %" PRIu32 " instead of %" PRIu32, before,
                     found[before], truth->stamps[before]);
    return wrong(message, which,
                 "the call under way left neither all (see r%" PRIu32 ") nor nothing (see r%" PRIu32 ")%s",
                 after, before, truth->call.acknowledged ? "; it was acknowledged" : "");
}

bool model_adopt(struct model_session *session, char message[MODEL_MESSAGE])
{
    for (unsigned which = 0; which < MODEL_COLLECTIONS; which++) {
        struct model_collection *truth = &session->model->collections[which];

        memset(truth->stamps, 0, sizeof(truth->stamps));
        truth->call.under_way = false;
        truth->exists = session->collections[which] != NULL;
        if (truth->exists && !read_rows(session, which, truth->stamps, message)) return false;
    }
    return true;
}

/* ---- counts ---- */

static bool check_counts(struct model_session *session, unsigned which, char message[MODEL_MESSAGE])
{
    const struct model_collection *truth = &session->model->collections[which];
    uint64_t expected[3] = {0}, counted;
    const cairn_scope scopes[3] = {
        {.size = sizeof(cairn_scope)},
        {.size = sizeof(cairn_scope), .domain = "d1"},
        {.size = sizeof(cairn_scope), .filter = "{\"parity\":\"odd\"}"},
    };

    for (uint32_t i = 0; i < MODEL_ROWS; i++) {
        expected[0] += truth->stamps[i] != 0;
        expected[1] += truth->stamps[i] % 4 == 1;
        expected[2] += truth->stamps[i] % 2 == 1;
    }
    for (unsigned i = 0; i < 3; i++) {
        cairn_error err;
        cairn_status status =
            cairn_count(session->collections[which], i == 0 ? NULL : &scopes[i], &counted, &err);

        if (status != CAIRN_OK) return failed(message, which, "cairn_count", status, &err);
        if (counted != expected[i])
            return wrong(message, which, "scope %u counts %" PRIu64 " rows, not %" PRIu64, i, counted,
                         expected[i]);
    }
    return true;
}

/* ---- searches ---- */

static double distance(cairn_metric metric, const float *a, const float *b)
{
    double dot = 0, aa = 0, bb = 0, square = 0;

    for (unsigned i = 0; i < MODEL_DIM; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
        square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    }
    if (metric == CAIRN_METRIC_COSINE) return 1 - dot / sqrt(aa * bb);
    return metric == CAIRN_METRIC_L2 ? sqrt(square) : -dot;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double row_distance(const struct model_session *session, unsigned which, uint32_t number,
                           const float *query)
{
    struct model_row row;

    model_row(&row, which, number, session->model->collections[which].stamps[number]);
    return distance(model_options(which)->metric, query, row.vector);
}

struct answer {
    size_t rows; /* that match */
    double nearest[MODEL_ROWS];
};

/* The query's vector and domain (NULL for all) against every row. */
static void answer_naively(const struct model_session *session, unsigned which, const cairn_query *query,
                           struct answer *out_answer)
{
    out_answer->rows = 0;
    for (uint32_t i = 0; i < MODEL_ROWS; i++) {
        uint32_t stamp = session->model->collections[which].stamps[i];

        if (stamp == 0 || (query->domain && stamp % 4 != (uint32_t)(query->domain[1] - '0'))) continue;
        out_answer->nearest[out_answer->rows++] = row_distance(session, which, i, query->vector);
    }
    qsort(out_answer->nearest, out_answer->rows, sizeof(out_answer->nearest[0]), compare_doubles);
}

/* Each hit is a row there is, at its true distance, and as near as the naive answer's of the same rank. */
static bool compare_hits(const struct model_session *session, unsigned which, const cairn_query *query,
                         const cairn_results *results, char message[MODEL_MESSAGE])
{
    const struct model_collection *truth = &session->model->collections[which];
    struct answer answer;

    answer_naively(session, which, query, &answer);
    size_t expected = answer.rows < query->k ? answer.rows : query->k;
    if (cairn_results_count(results) != expected)
        return wrong(message, which, "%zu hits instead of %zu", cairn_results_count(results), expected);
    for (size_t i = 0; i < expected; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        unsigned long number = strtoul(hit->id.text + 1, NULL, 10);

        if (number >= MODEL_ROWS || truth->stamps[number] == 0)
            return wrong(message, which, "hit %zu is %s, which is not there", i, hit->id.text);
        double its_own = row_distance(session, which, (uint32_t)number, query->vector);
        if (!(fabs((double)hit->distance - its_own) <= 1e-3))
            return wrong(message, which, "hit %s has the distance %g, not %g", hit->id.text, hit->distance,
                         its_own);
        if (fabs(its_own - answer.nearest[i]) > 1e-3)
            return wrong(message, which, "hit %zu of %zu is %s at %g: there is a row at %g", i, answer.rows,
                         hit->id.text, its_own, answer.nearest[i]);
    }
    return true;
}

static bool check_search(struct model_session *session, unsigned which, const cairn_query *query,
                         char message[MODEL_MESSAGE])
{
    cairn_results *results;
    cairn_error err;
    cairn_status status = cairn_search(session->collections[which], query, &results, &err);

    if (status != CAIRN_OK) return failed(message, which, "cairn_search", status, &err);
    bool right = compare_hits(session, which, query, results, message);
    cairn_results_free(results);
    return right;
}

/* For the nearest few, of all or of a domain; and for all rows, so that no distance goes unseen. */
bool model_check_search(struct model_session *session, unsigned which, struct crn_rng *rng,
                        char message[MODEL_MESSAGE])
{
    const struct model_collection *truth = &session->model->collections[which];
    bool quantized = model_options(which)->quantization == CAIRN_QUANTIZATION_SCALAR;

    for (int i = 0; i < 4; i++) {
        uint32_t number = (uint32_t)crn_rng_below(rng, MODEL_ROWS);
        char domain[8];
        struct model_row row;
        cairn_query query = {.size = sizeof(query), .vector = row.vector, .k = i < 3 ? 10 : MODEL_ROWS};

        /* A stored vector, or one that no row has. */
        model_row(&row, which, number,
                  truth->stamps[number] ? truth->stamps[number] : (uint32_t)crn_rng_u64(rng));
        snprintf(domain, sizeof(domain), "d%u", (unsigned)crn_rng_below(rng, 4));
        if (i == 1) query.domain = domain;
        query.exact = quantized && i < 3; /* else the codes choose the few */
        if (!check_search(session, which, &query, message)) return false;
    }
    return true;
}

/* ---- everything ---- */

static void note_finding(void *ctx, const char *finding)
{
    char *message = ctx;

    if (!message[0]) snprintf(message, MODEL_MESSAGE, "%s", finding);
}

static bool check_verify(struct model_session *session, char message[MODEL_MESSAGE])
{
    char finding[MODEL_MESSAGE] = "";
    uint64_t findings = 0;
    cairn_error err;
    cairn_status status = cairn_verify(session->db, note_finding, NULL, finding, &findings, &err);

    if (status != CAIRN_OK) return failed(message, 0, "cairn_verify", status, &err);
    if (findings != 0)
        return wrong(message, 0, "cairn_verify has %" PRIu64 " findings: %s", findings, finding);
    return true;
}

bool model_check(struct model_session *session, struct crn_rng *rng, bool thorough,
                 char message[MODEL_MESSAGE])
{
    for (unsigned which = 0; which < MODEL_COLLECTIONS; which++) {
        struct model_collection *truth = &session->model->collections[which];
        uint32_t found[MODEL_ROWS] = {0};
        bool exists = session->collections[which] != NULL;

        if (exists && !read_rows(session, which, found, message)) return false;
        if (!settle(truth, which, exists, found, message)) return false;
        if (!exists) continue;
        if (!check_counts(session, which, message)) return false;
        if (!model_check_search(session, which, rng, message)) return false;
    }
    return !thorough || check_verify(session, message);
}
