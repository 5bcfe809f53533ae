/*
 * The nearest rows by another metric than the space's. Its index and its segments know only their own metric,
 * and a cosine space's segments hold normalised vectors, so every row in scope is read from the store and
 * compared as it was written.
 */
#include "engine/shortlist.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/prepare.h"
#include "engine/search.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

/* Reading one vector by its key costs about as much as passing so many in a scan. */
#define POINT_READ_ROWS 2u

struct comparison {
    cairn_metric metric;
    enum crn_op op;
    const struct crn_kernels *kernels;
    const float *query;
    double query_length;
    float *row; /* [dim], because a stored vector need not be aligned */
    uint32_t dim;
    const roaring_bitmap_t *scope;
    struct crn_topk *top;
    cairn_error *err;
};

/* Quant's raw distance; for cosine, whose rows it takes as normalised, the row's length is divided out
 * here. */
static float raw_distance(const struct comparison *comparison)
{
    float raw;

    comparison->kernels->f32_block[comparison->op](comparison->query, comparison->row, comparison->dim, 1,
                                                   &raw);
    if (comparison->metric != CAIRN_METRIC_COSINE) return raw;
    const double lengths =
        comparison->query_length * sqrt(crn_vector_norm2(comparison->row, comparison->dim));
    return lengths > 0 ? (float)((double)raw / lengths)
                       : 0; /* a zero vector is at right angles to everything */
}

static cairn_status compare_row(void *ctx, uint32_t local, const void *data, size_t size)
{
    struct comparison *comparison = ctx;

    if (size != comparison->dim * sizeof *comparison->row) {
        return crn_error_set(comparison->err, CAIRN_CORRUPT, "the vector of row %u has %zu bytes", local,
                             size);
    }
    if (!roaring_bitmap_contains(comparison->scope, local)) return CAIRN_OK;
    memcpy(comparison->row, data, size);
    crn_topk_push(comparison->top, raw_distance(comparison), local);
    return CAIRN_OK;
}

/* One by one, where few rows are in scope; a row may have no vector here. */
static cairn_status compare_few(struct crn_reader *reader, uint32_t space, struct comparison *comparison,
                                cairn_error *err)
{
    roaring_uint32_iterator_t it;
    struct crn_buf memory;
    cairn_status status = CAIRN_OK;

    crn_buf_init(&memory, SIZE_MAX / 2);
    roaring_init_iterator(comparison->scope, &it);
    for (; status == CAIRN_OK && it.has_value; roaring_advance_uint32_iterator(&it)) {
        size_t offset, size;

        crn_buf_clear(&memory);
        status = crn_read_vector(reader, space, it.current_value, &memory, &offset, &size, err);
        if (status != CAIRN_OK || size == 0) continue;
        status = compare_row(comparison, it.current_value, memory.data + offset, size);
    }
    crn_buf_release(&memory);
    return status;
}

static cairn_status compare_rows(struct crn_reader *reader, const struct crn_catalog *catalog,
                                 struct comparison *comparison, cairn_error *err)
{
    const uint32_t space = catalog->spaces[0].id;
    uint64_t total;

    CRN_TRY(crn_read_count(reader, catalog->id, &total, err));
    if (roaring_bitmap_get_cardinality(comparison->scope) * POINT_READ_ROWS < total) {
        return compare_few(reader, space, comparison, err);
    }
    return crn_read_vectors(reader, space, 1, compare_row, comparison, err);
}

static cairn_status compare_scope(const struct crn_shortlist_query *query, struct comparison *comparison,
                                  cairn_error *err)
{
    const cairn_retrieve_options *options = query->options;
    const cairn_scope scope = {
        .size = sizeof scope,
        .domain = options->domain,
        .agent = options->agent,
        .filter = options->filter,
        .min_confidence = options->min_confidence,
    };
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    struct crn_rows *rows = NULL;

    CRN_TRY(crn_collection_read(query->collection, &reader, &catalog, err));
    cairn_status status = crn_collection_scope(query->collection, reader, catalog, &scope, &rows, err);
    if (status == CAIRN_OK) {
        comparison->scope = rows->locals;
        status = compare_rows(reader, catalog, comparison, err);
    }
    crn_store_read_end(reader);
    crn_rows_release(rows);
    return status;
}

/* options->vector, or what the attached embedder makes of options->text; freed by crn_mem_free. */
static cairn_status copy_query(const struct crn_shortlist_query *query, const struct crn_space *space,
                               float **out_vector, cairn_error *err)
{
    cairn_collection *collection = query->collection;
    float *vector = crn_mem_array(space->dim, sizeof *vector);

    if (vector == NULL) return crn_error_no_memory(err, space->dim * sizeof *vector);
    *out_vector = vector;
    if (query->options->vector != NULL) {
        memcpy(vector, query->options->vector, space->dim * sizeof *vector);
        return CAIRN_OK;
    }
    pthread_mutex_lock(&collection->mutex);
    const cairn_embedder *embedder = collection->embedder;
    pthread_mutex_unlock(&collection->mutex);
    if (embedder == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a query without vector needs an embedder (cairn_collection_attach)");
    }
    return crn_embed_query(embedder, space, query->options->text, vector, err);
}

cairn_status crn_shortlist_compare_all(const struct crn_shortlist_query *query, uint32_t wanted,
                                       struct crn_near *out_near, uint32_t *out_count, cairn_error *err)
{
    const struct crn_space *space = &crn_collection_now(query->collection)->spaces[0];
    const cairn_metric metric = query->options->metric;
    struct crn_topk top;
    struct crn_hit *hits = crn_mem_array(wanted, sizeof *hits);
    float *vector = NULL;
    float *row = crn_mem_array(space->dim, sizeof *row);
    cairn_status status;

    *out_count = 0;
    if (hits == NULL || row == NULL) {
        status = crn_error_no_memory(err, wanted * sizeof *hits);
        goto done;
    }
    status = copy_query(query, space, &vector, err);
    if (status == CAIRN_OK) status = crn_check_vector(space, vector, 0, err);
    if (status != CAIRN_OK) goto done;

    crn_topk_init(&top, hits, wanted);
    struct comparison comparison = {
        .metric = metric,
        .op = metric == CAIRN_METRIC_L2          ? CRN_OP_L2
              : metric == CAIRN_METRIC_MANHATTAN ? CRN_OP_L1
                                                 : CRN_OP_DOT,
        .kernels = crn_kernels_get(),
        .query = vector,
        .query_length = sqrt(crn_vector_norm2(vector, space->dim)),
        .row = row,
        .dim = space->dim,
        .top = &top,
        .err = err,
    };
    if (metric == CAIRN_METRIC_COSINE && comparison.query_length == 0) {
        status = crn_error_set(err, CAIRN_ZERO_VECTOR,
                               "all %u components of the query are 0, and the metric is cosine", space->dim);
        goto done;
    }
    status = compare_scope(query, &comparison, err);
    if (status != CAIRN_OK) goto done;
    crn_topk_sort(&top);
    *out_count = (uint32_t)top.count;
    for (size_t i = 0; i < top.count; i++) {
        float score, distance;
        out_near[i].local = (uint32_t)hits[i].label;
        crn_score_from_raw(metric, hits[i].distance, &score, &distance);
        out_near[i].similarity = (double)score;
    }

done:
    crn_mem_free(row);
    crn_mem_free(vector);
    crn_mem_free(hits);
    return status;
}
