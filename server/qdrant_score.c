/*
 * Scoring point by point, for what no index of vectors answers: recommendations by several examples, discovery, context, multi-vectors.
 * The filter is applied by the engine; vectors are read in pages. The cost is linear in the points that match.
 */
#include "server/qdrant_query.h"

#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- two vectors ---- */

static double dense_similarity(enum crn_qd_distance distance, const float *a, const float *b, uint32_t dim)
{
    float sum = 0;

    switch (distance) {
    case QD_EUCLID:
        for (uint32_t i = 0; i < dim; i++) sum -= (a[i] - b[i]) * (a[i] - b[i]);
        return (double)sum;
    case QD_MANHATTAN:
        for (uint32_t i = 0; i < dim; i++) sum -= fabsf(a[i] - b[i]);
        return (double)sum;
    default:
        for (uint32_t i = 0; i < dim; i++) sum += a[i] * b[i];
        return (double)sum;
    }
}

static double sparse_similarity(const struct crn_qd_query_vector *a, const struct crn_qd_query_vector *b)
{
    double sum = 0;

    for (uint32_t i = 0, j = 0; i < a->count && j < b->count;) {
        if (a->indices[i] == b->indices[j])
            sum += (double)a->values[i++] * b->values[j++];
        else if (a->indices[i] < b->indices[j])
            i++;
        else
            j++;
    }
    return sum;
}

/* The sum over a's rows of the nearest of b's. */
static double max_similarity(enum crn_qd_distance distance, const struct crn_qd_query_vector *a,
                             const struct crn_qd_query_vector *b)
{
    double sum = 0;

    for (uint32_t i = 0; i < a->rows; i++) {
        double best = -DBL_MAX;
        for (uint32_t j = 0; j < b->rows; j++) {
            const double one = dense_similarity(distance, a->values + (size_t)i * a->dim,
                                                b->values + (size_t)j * b->dim, a->dim);
            if (one > best) best = one;
        }
        sum += best;
    }
    return sum;
}

double crn_qd_similarity(const struct crn_qd_vector *vector, const struct crn_qd_query_vector *a,
                         const struct crn_qd_query_vector *b)
{
    switch (vector->kind) {
    case CAIRN_SPACE_SPARSE:
        return sparse_similarity(a, b);
    case CAIRN_SPACE_MULTI:
        return max_similarity(vector->distance, a, b);
    default:
        return dense_similarity(vector->distance, a->values, b->values, vector->dim);
    }
}

/* ---- a point by several vectors ---- */

static double fast_sigmoid(double x)
{
    return x / (1 + fabs(x));
}

static double scaled_sigmoid(double x)
{
    return 0.5 * (fast_sigmoid(x) + 1);
}

static double best_of(const struct crn_qd_query *query, const struct crn_qd_query_vector *list, size_t count,
                      const struct crn_qd_query_vector *point)
{
    double best = -DBL_MAX;

    for (size_t i = 0; i < count; i++) {
        const double one = crn_qd_similarity(query->using, &list[i], point);
        if (one > best) best = one;
    }
    return best;
}

static double sum_of(const struct crn_qd_query *query, const struct crn_qd_query_vector *list, size_t count,
                     const struct crn_qd_query_vector *point)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += crn_qd_similarity(query->using, &list[i], point);
    return sum;
}

static double score(const struct crn_qd_query *query, const struct crn_qd_query_vector *point)
{
    double sum = 0;

    switch (query->kind) {
    case QD_QUERY_BEST: {
        const double positive = best_of(query, query->positive, query->positive_count, point);
        const double negative = best_of(query, query->negative, query->negative_count, point);
        return positive > negative ? scaled_sigmoid(positive) : -scaled_sigmoid(negative);
    }
    case QD_QUERY_SUM:
        return sum_of(query, query->positive, query->positive_count, point) -
               sum_of(query, query->negative, query->negative_count, point);
    case QD_QUERY_DISCOVER:
    case QD_QUERY_CONTEXT:
        for (size_t i = 0; i < query->positive_count; i++) {
            const double positive = crn_qd_similarity(query->using, &query->positive[i], point);
            const double negative = crn_qd_similarity(query->using, &query->negative[i], point);
            if (query->kind == QD_QUERY_DISCOVER) {
                sum += (positive > negative) - (positive < negative);
            } else {
                sum += fast_sigmoid(fmin(positive - negative - (double)FLT_EPSILON, 0));
            }
        }
        return query->kind == QD_QUERY_CONTEXT
                   ? sum
                   : sum + scaled_sigmoid(crn_qd_similarity(query->using, &query->target, point));
    default:
        return crn_qd_similarity(query->using, &query->target, point);
    }
}

double crn_qd_shown_score(const struct crn_qd_vector *vector, double similarity)
{
    if (vector->kind == CAIRN_SPACE_SPARSE || vector->distance < QD_EUCLID) return similarity;
    return vector->distance == QD_EUCLID ? sqrt(fabs(similarity)) : fabs(similarity);
}

/* ---- all points ---- */

struct scan {
    const struct crn_qd_query *query;
    struct crn_qd_hit *heap; /* the worst of the k best on top */
    size_t count, k;
};

static void sift_down(struct scan *scan, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < scan->count; child++) {
            if (scan->heap[child].score < scan->heap[least].score) least = child;
        }
        if (least == at) return;
        const struct crn_qd_hit kept = scan->heap[at];
        scan->heap[at] = scan->heap[least];
        scan->heap[least] = kept;
        at = least;
    }
}

static void keep(struct scan *scan, const struct crn_qd_hit *hit)
{
    if (scan->count < scan->k) {
        size_t at = scan->count++;
        scan->heap[at] = *hit;
        while (at > 0 && scan->heap[(at - 1) / 2].score > scan->heap[at].score) {
            const struct crn_qd_hit above = scan->heap[(at - 1) / 2];
            scan->heap[(at - 1) / 2] = scan->heap[at];
            scan->heap[at] = above;
            at = (at - 1) / 2;
        }
    } else if (hit->score > scan->heap[0].score) {
        scan->heap[0] = *hit;
        sift_down(scan, 0);
    }
}

static bool scan_point(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct scan *scan = ctx;
    const cairn_vector *stored = crn_qd_vector_of(point, scan->query->using->name);

    if (stored == NULL) return true;
    const struct crn_qd_query_vector vector = {.kind = scan->query->using->kind,
                                               .values = (float *)stored->values,
                                               .dim = stored->dim,
                                               .rows = stored->rows,
                                               .indices = (uint32_t *)stored->indices,
                                               .count = stored->count};
    struct crn_qd_hit hit = {.id = crn_qd_id_of(point), .score = score(scan->query, &vector)};
    if (scan->count == scan->k && hit.score <= scan->heap[0].score) return true;
    if (hit.id.type == CAIRN_ID_UUID) hit.id.text = crn_qd_take_text(call, hit.id.text, strlen(hit.id.text));
    keep(scan, &hit);
    return call->status == 0;
}

bool crn_qd_scan(struct crn_qd_call *call, struct crn_qd_collection *collection,
                 const struct crn_qd_query *query, const char *filter, size_t k, struct crn_qd_hits *out)
{
    uint64_t points = 0;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_count(collection->handle, NULL, &points, &err), &err)) return false;
    if (k > points + 1) k = points + 1;
    struct scan scan = {.query = query, .k = k, .heap = crn_qd_take(call, k, sizeof *scan.heap)};
    if (scan.heap == NULL || !crn_qd_each_point(call, collection, filter, true, scan_point, &scan))
        return false;
    *out = (struct crn_qd_hits){scan.heap, scan.count};
    crn_qd_sort_hits(out, false);
    for (size_t i = 0; query->kind == QD_QUERY_NEAREST && i < out->count; i++) {
        out->list[i].score = crn_qd_shown_score(query->using, out->list[i].score);
    }
    return true;
}

/* ---- weights by rarity ---- */

struct frequencies {
    const char *name;
    const struct crn_qd_query_vector *query;
    uint64_t *counts;
    uint64_t points;
};

static bool count_indices(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct frequencies *frequencies = ctx;
    const cairn_vector *stored = crn_qd_vector_of(point, frequencies->name);

    (void)call;
    if (stored == NULL) return true;
    frequencies->points++;
    for (uint32_t i = 0, j = 0; i < frequencies->query->count && j < stored->count;) {
        if (frequencies->query->indices[i] == stored->indices[j]) {
            frequencies->counts[i++]++;
            j++;
        } else if (frequencies->query->indices[i] < stored->indices[j]) {
            i++;
        } else {
            j++;
        }
    }
    return true;
}

bool crn_qd_weigh_by_idf(struct crn_qd_call *call, struct crn_qd_collection *collection,
                         const struct crn_qd_vector *vector, struct crn_qd_query_vector *query)
{
    struct frequencies frequencies = {.name = vector->name,
                                      .query = query,
                                      .counts = crn_qd_take(call, query->count + 1u, sizeof(uint64_t))};

    if (frequencies.counts == NULL ||
        !crn_qd_each_point(call, collection, NULL, true, count_indices, &frequencies))
        return false;
    float *weighted = crn_qd_take(call, query->count + 1u, sizeof *weighted);
    if (weighted == NULL) return false;
    for (uint32_t i = 0; i < query->count; i++) {
        const double n = (double)frequencies.points, df = (double)frequencies.counts[i];
        weighted[i] = (float)(query->values[i] * log((n - df + 0.5) / (df + 0.5) + 1));
    }
    query->values = weighted;
    return true;
}

/* ---- a random sample ---- */

struct sample {
    struct crn_rng rng;
    struct crn_qd_hit *list;
    size_t count, k;
    uint64_t seen;
};

/* Vitter's reservoir, algorithm R. */
static bool sample_point(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct sample *sample = ctx;
    struct crn_qd_hit hit = {.id = crn_qd_id_of(point), .score = 1};

    const uint64_t place =
        sample->count < sample->k ? sample->count++ : crn_rng_below(&sample->rng, sample->seen + 1);
    sample->seen++;
    if (place >= sample->k) return true;
    if (hit.id.type == CAIRN_ID_UUID) hit.id.text = crn_qd_take_text(call, hit.id.text, strlen(hit.id.text));
    sample->list[place] = hit;
    return call->status == 0;
}

bool crn_qd_sample(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                   size_t k, struct crn_qd_hits *out)
{
    struct sample sample = {.k = k, .list = crn_qd_take(call, k + 1, sizeof *sample.list)};
    unsigned char entropy[16];
    uint64_t seed;

    crn_rng_entropy(entropy);
    memcpy(&seed, entropy, sizeof seed);
    crn_rng_init(&sample.rng, seed);
    if (sample.list == NULL || !crn_qd_each_point(call, collection, filter, false, sample_point, &sample))
        return false;
    for (size_t i = sample.count; i > 1; i--) {
        const size_t other = crn_rng_below(&sample.rng, i);
        const struct crn_qd_hit kept = sample.list[i - 1];
        sample.list[i - 1] = sample.list[other];
        sample.list[other] = kept;
    }
    *out = (struct crn_qd_hits){sample.list, sample.count};
    return true;
}
