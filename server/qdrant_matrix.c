/* Distances within a random sample of points: for each its nearest among the others. Exact; the cost is the square of the sample. */
#include "server/qdrant_query.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_MAX 10000u

struct matrix {
    struct crn_qd_collection *collection;
    const struct crn_qd_vector *using;
    uint64_t sample, limit;
    const char *filter;
    cairn_id *ids;
    struct crn_qd_query_vector *vectors;
    size_t count;
};

struct cell {
    size_t row, column;
    double similarity;
};

static bool read_matrix(struct crn_qd_call *call, struct matrix *out)
{
    const char *using = NULL, *own, *with_vector;
    struct crn_buf text;

    *out = (struct matrix){.collection = crn_qd_lease_of_path(call), .sample = 10, .limit = 3};
    if (out->collection == NULL || !crn_qd_get_text(call, call->body, "using", &using)) return false;
    if (!crn_qd_get_u64(call, call->body, "sample", 2, &out->sample) ||
        !crn_qd_get_u64(call, call->body, "limit", 1, &out->limit))
        return false;
    if (out->sample > SAMPLE_MAX)
        return crn_qd_fail(call, 400, "Wrong input: sample is at most %u", SAMPLE_MAX);
    if (out->limit > out->sample) out->limit = out->sample;
    if (!crn_qd_strict_limit(call, out->sample * out->limit, out->collection->strict.query_limit, "limit"))
        return false;
    out->using = crn_qd_need_vector(call, out->collection, using == NULL ? "" : using);
    if (out->using == NULL || !crn_qd_get_filter(call, out->collection, call->body, "filter", &own))
        return false;
    crn_buf_init(&text, SIZE_MAX / 2);
    crn_buf_puts(&text, "{\"$has_vector\":");
    crn_buf_json_string(&text, out->using->name, strlen(out->using->name));
    crn_buf_putc(&text, '}');
    with_vector = crn_qd_keep(call, &text);
    return with_vector != NULL && crn_qd_both_filters(call, with_vector, own, &out->filter);
}

/* The sample in the order of its ids' places in the database, with copies of its vectors. */
static bool take_sample(struct crn_qd_call *call, struct matrix *matrix)
{
    struct crn_qd_hits hits;
    cairn_patterns *points;
    cairn_error err;
    bool done = true;

    if (!crn_qd_sample(call, matrix->collection, matrix->filter, matrix->sample, &hits)) return false;
    matrix->ids = crn_qd_take(call, hits.count + 1, sizeof *matrix->ids);
    matrix->vectors = crn_qd_take(call, hits.count + 1, sizeof *matrix->vectors);
    if (matrix->ids == NULL || matrix->vectors == NULL) return false;
    for (size_t i = 0; i < hits.count; i++) matrix->ids[i] = hits.list[i].id;
    if (!crn_qd_ok(call, cairn_get(matrix->collection->handle, matrix->ids, hits.count, true, &points, &err),
                   &err))
        return false;
    for (size_t i = 0; done && i < hits.count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        const cairn_vector *stored = point->id == NULL ? NULL : crn_qd_vector_of(point, matrix->using->name);
        if (stored == NULL) continue; /* deleted since */
        matrix->ids[matrix->count] = matrix->ids[i];
        done = crn_qd_vector_as_query(call, matrix->using, stored, &matrix->vectors[matrix->count++]);
    }
    cairn_patterns_free(points);
    return done;
}

static int nearest_first(const void *a, const void *b)
{
    const struct cell *x = a, *y = b;

    if (x->similarity != y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

/* Rows one after the other, each with its nearest first. */
static bool compute(struct crn_qd_call *call, const struct matrix *matrix, struct cell **out,
                    size_t *out_count)
{
    const size_t others = matrix->count > 0 ? matrix->count - 1 : 0,
                 each = matrix->limit < others ? (size_t)matrix->limit : others;
    struct cell *row = crn_qd_take(call, others + 1, sizeof *row);

    *out = crn_qd_take(call, matrix->count * each + 1, sizeof **out);
    *out_count = 0;
    if (row == NULL || *out == NULL) return false;
    for (size_t r = 0; r < matrix->count; r++) {
        size_t filled = 0;
        for (size_t c = 0; c < matrix->count; c++) {
            if (c == r) continue;
            row[filled++] = (struct cell){
                r, c, crn_qd_similarity(matrix->using, &matrix->vectors[r], &matrix->vectors[c])};
        }
        qsort(row, filled, sizeof *row, nearest_first);
        memcpy(*out + *out_count, row, each * sizeof *row);
        *out_count += each;
        if (!crn_qd_go_on(call)) return false;
    }
    return true;
}

static void write_score(struct crn_qd_call *call, const struct matrix *matrix, const struct cell *cell)
{
    crn_buf_json_float(call->out,
                       (float)crn_qd_shown_score(matrix->using, cell->similarity) + 0.0f); /* never "-0.0" */
}

static void write_pairs(struct crn_qd_call *call, const struct matrix *matrix, const struct cell *cells,
                        size_t count)
{
    crn_buf_puts(call->out, "{\"pairs\":[");
    for (size_t i = 0; i < count; i++) {
        crn_buf_puts(call->out, i > 0 ? ",{\"a\":" : "{\"a\":");
        crn_qd_write_id(call->out, &matrix->ids[cells[i].row]);
        crn_buf_puts(call->out, ",\"b\":");
        crn_qd_write_id(call->out, &matrix->ids[cells[i].column]);
        crn_buf_puts(call->out, ",\"score\":");
        write_score(call, matrix, &cells[i]);
        crn_buf_putc(call->out, '}');
    }
    crn_buf_puts(call->out, "]}");
}

static void write_offsets(struct crn_qd_call *call, const struct matrix *matrix, const struct cell *cells,
                          size_t count)
{
    crn_buf_puts(call->out, "{\"offsets_row\":[");
    for (size_t i = 0; i < count; i++) crn_buf_printf(call->out, i > 0 ? ",%zu" : "%zu", cells[i].row);
    crn_buf_puts(call->out, "],\"offsets_col\":[");
    for (size_t i = 0; i < count; i++) crn_buf_printf(call->out, i > 0 ? ",%zu" : "%zu", cells[i].column);
    crn_buf_puts(call->out, "],\"scores\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        write_score(call, matrix, &cells[i]);
    }
    crn_buf_puts(call->out, "],\"ids\":[");
    for (size_t i = 0; i < matrix->count; i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        crn_qd_write_id(call->out, &matrix->ids[i]);
    }
    crn_buf_puts(call->out, "]}");
}

static bool answer(struct crn_qd_call *call, bool pairs)
{
    struct matrix matrix;
    struct cell *cells;
    size_t count;

    if (!read_matrix(call, &matrix) || !take_sample(call, &matrix) || !compute(call, &matrix, &cells, &count))
        return false;
    if (pairs)
        write_pairs(call, &matrix, cells, count);
    else
        write_offsets(call, &matrix, cells, count);
    return true;
}

bool crn_qd_matrix_pairs(struct crn_qd_call *call)
{
    return answer(call, true);
}

bool crn_qd_matrix_offsets(struct crn_qd_call *call)
{
    return answer(call, false);
}
