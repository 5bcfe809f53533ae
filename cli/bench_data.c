/* Rows, queries and truth of `cairn bench`. */
#include "cli/bench_data.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/exit.h"
#include "cli/knn.h"
#include "cli/read_hdf5.h"

#include <math.h>
#include <string.h>

#define ROWS_MAX UINT64_C(1000000000)
#define LID_K 100
#define LID_SAMPLE_MAX 1000
#define LID_SAMPLE_MIN 100
#define LID_WORK 5e10 /* multiplications that a sample may cost, about a second */

const char *crn_cli_bench_metric_name(cairn_metric metric)
{
    static const char *const names[] = {"cosine", "cosine", "l2", "dot", "manhattan"};

    return names[metric];
}

/* The metric that an HDF5 file's truth is of, by the words of ann-benchmarks; DEFAULT: it says none. */
static cairn_status metric_of(const char *path, cairn_metric *out, cairn_error *err)
{
    static const struct {
        const char *word;
        cairn_metric metric;
    } words[] = {
        {"", CAIRN_METRIC_DEFAULT},
        {"angular", CAIRN_METRIC_COSINE},
        {"cosine", CAIRN_METRIC_COSINE},
        {"euclidean", CAIRN_METRIC_L2},
        {"l2", CAIRN_METRIC_L2},
        {"dot", CAIRN_METRIC_DOT},
        {"ip", CAIRN_METRIC_DOT},
        {"manhattan", CAIRN_METRIC_MANHATTAN},
        {"cityblock", CAIRN_METRIC_MANHATTAN},
    };
    char distance[64];

    CRN_TRY(crn_cli_hdf5_distance(path, distance, err));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, distance) != 0) continue;
        *out = words[i].metric;
        return CAIRN_OK;
    }
    return crn_error_set(err, CAIRN_UNSUPPORTED, "%s: its distance is '%s', which Cairn does not search by",
                         path, distance);
}

/* Moves the last `count` rows to the queries. */
static cairn_status hold_back(struct crn_cli_bench_data *data, uint64_t count, cairn_error *err)
{
    struct crn_cli_matrix *rows = &data->rows;
    size_t size = (size_t)count * rows->columns;

    if (count >= rows->rows) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "%llu rows cannot give %llu of them for queries; lower --queries",
                             (unsigned long long)rows->rows, (unsigned long long)count);
    }
    data->queries.floats = crn_mem_array(size, sizeof *rows->floats);
    if (data->queries.floats == NULL) return crn_error_no_memory(err, size * sizeof *rows->floats);
    rows->rows -= count;
    data->queries.rows = count;
    data->queries.columns = rows->columns;
    memcpy(data->queries.floats, rows->floats + rows->rows * rows->columns, size * sizeof *rows->floats);
    return CAIRN_OK;
}

static cairn_status load_queries(struct crn_cli_bench_data *data, const struct crn_cli_bench_source *source,
                                 cairn_error *err)
{
    const char *path = source->queries;
    uint64_t max = source->query_count > 0 ? source->query_count : UINT64_MAX;

    if (path == NULL && source->data != NULL && crn_cli_matrix_is_hdf5(source->data)) path = source->data;
    if (path == NULL) return hold_back(data, source->query_count, err);
    CRN_TRY(crn_cli_matrix_read_floats(path, "test", max, NULL, &data->queries, err));
    if (data->queries.columns == data->rows.columns) return CAIRN_OK;
    return crn_error_set(err, CAIRN_DIM_MISMATCH, "the queries of %s have %u components, the rows of %s %u",
                         path, data->queries.columns, source->data != NULL ? source->data : "--generate",
                         data->rows.columns);
}

/* Values that no collection takes, told with the file's name before hours of work begin. */
static cairn_status check_values(const struct crn_cli_matrix *matrix, cairn_metric metric, const char *name,
                                 cairn_error *err)
{
    for (uint64_t row = 0; row < matrix->rows; row++) {
        const float *vector = matrix->floats + row * matrix->columns;
        bool zero = true;
        for (uint32_t i = 0; i < matrix->columns; i++) {
            if (!isfinite(vector[i])) {
                return crn_error_set(err, CAIRN_INVALID_VECTOR, "%s: row %llu holds %g", name,
                                     (unsigned long long)row, (double)vector[i]);
            }
            zero = zero && vector[i] == 0;
        }
        if (zero && metric == CAIRN_METRIC_COSINE) {
            return crn_error_set(err, CAIRN_ZERO_VECTOR,
                                 "%s: row %llu is a zero vector, and the metric is cosine", name,
                                 (unsigned long long)row);
        }
    }
    return CAIRN_OK;
}

static cairn_status check_truth(const struct crn_cli_bench_data *data, uint32_t k, cairn_error *err)
{
    const struct crn_cli_matrix *truth = &data->truth;
    uint64_t wanted = data->rows.rows < k ? data->rows.rows : k;

    if (truth->rows < data->queries.rows) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s has neighbors of %llu queries; there are %llu",
                             data->truth_path, (unsigned long long)truth->rows,
                             (unsigned long long)data->queries.rows);
    }
    if (truth->columns < wanted) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s has %u neighbors a query; --k %u wants as many",
                             data->truth_path, truth->columns, k);
    }
    for (uint64_t q = 0; q < data->queries.rows; q++) {
        const uint32_t *ids = truth->ids + q * truth->columns;
        for (uint32_t i = 0; i < wanted; i++) {
            if (ids[i] < data->rows.rows) continue;
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                                 "%s: neighbor %u of query %llu is row %d; the rows are 0 to %llu",
                                 data->truth_path, i, (unsigned long long)q, (int32_t)ids[i],
                                 (unsigned long long)data->rows.rows - 1);
        }
    }
    return CAIRN_OK;
}

static cairn_status load_truth(struct crn_cli_bench_data *data, const struct crn_cli_bench_source *source,
                               bool whole, cairn_metric of_file, uint32_t k, cairn_error *err)
{
    bool in_data = source->truth == NULL && source->queries == NULL && source->data != NULL &&
                   crn_cli_matrix_is_hdf5(source->data);

    data->truth_path = in_data ? source->data : source->truth;
    if (data->truth_path == NULL) return CAIRN_OK;
    if (in_data && (!whole || (of_file != CAIRN_METRIC_DEFAULT && of_file != data->metric))) {
        data->truth_path = NULL; /* of other rows, or by another metric */
        return CAIRN_OK;
    }
    cairn_status status =
        crn_cli_matrix_read_ids(data->truth_path, "neighbors", UINT64_MAX, &data->truth, err);
    if (status == CAIRN_NOT_FOUND && in_data) {
        data->truth_path = NULL;
        return CAIRN_OK;
    }
    return status == CAIRN_OK ? check_truth(data, k, err) : status;
}

cairn_status crn_cli_bench_data_load(struct crn_cli_bench_data *data,
                                     const struct crn_cli_bench_source *source, uint32_t k,
                                     struct crn_cli_progress *progress, cairn_error *err)
{
    cairn_metric of_file = CAIRN_METRIC_DEFAULT;
    bool foreign = false; /* the file's truth is by a distance that is none of ours */
    uint64_t max_rows = source->max_rows > 0 ? source->max_rows : ROWS_MAX;

    *data = (struct crn_cli_bench_data){0};
    if (source->data != NULL) {
        if (crn_cli_matrix_is_hdf5(source->data)) {
            cairn_status status = metric_of(source->data, &of_file, err);
            foreign = status == CAIRN_UNSUPPORTED && source->metric != CAIRN_METRIC_DEFAULT;
            if (status != CAIRN_OK && !foreign) return status;
        }
        /* One more row tells whether there are more. */
        bool hold = source->queries == NULL && !crn_cli_matrix_is_hdf5(source->data);
        uint64_t limit = max_rows + (hold ? source->query_count : 0);
        CRN_TRY(crn_cli_matrix_read_floats(source->data, "train", limit + 1, progress, &data->rows, err));
    } else {
        struct crn_cli_bench_generate what = source->generate;
        if (source->queries == NULL) what.rows += source->query_count;
        CRN_TRY(crn_cli_bench_generate(&what, progress, &data->rows, err));
        max_rows = source->generate.rows;
    }
    data->metric = source->metric != CAIRN_METRIC_DEFAULT ? source->metric : of_file;
    if (data->metric == CAIRN_METRIC_DEFAULT) data->metric = CAIRN_METRIC_COSINE;

    CRN_TRY(load_queries(data, source, err));
    bool whole = data->rows.rows <= max_rows;
    if (!whole) data->rows.rows = max_rows;
    CRN_TRY(check_values(&data->rows, data->metric, source->data != NULL ? source->data : "--generate", err));
    CRN_TRY(check_values(&data->queries, data->metric,
                         source->queries != NULL ? source->queries : "the queries", err));
    return load_truth(data, source, whole && !foreign, of_file, k, err);
}

void crn_cli_bench_data_release(struct crn_cli_bench_data *data)
{
    crn_cli_matrix_release(&data->rows);
    crn_cli_matrix_release(&data->queries);
    crn_cli_matrix_release(&data->truth);
}

/* The estimate of one row by its distances in ascending order: -1 / mean of ln(d_i / d_k). Rows at distance
 * zero say nothing and are left out; NAN when none is left. */
static double lid_of(const double *distances)
{
    double farthest = distances[LID_K - 1];
    double sum = 0;
    unsigned used = 0;

    for (unsigned i = 0; i < LID_K; i++) {
        if (distances[i] <= 0) continue;
        sum += log(distances[i] / farthest);
        used++;
    }
    return sum < 0 ? -(double)used / sum : NAN;
}

cairn_status crn_cli_bench_data_lid(const struct crn_cli_bench_data *data, struct crn_cli_progress *progress,
                                    double *out_lid, cairn_error *err)
{
    const struct crn_cli_matrix *rows = &data->rows;
    double affordable = LID_WORK / ((double)rows->rows * rows->columns);
    uint32_t sample[LID_SAMPLE_MAX];
    size_t count = affordable > LID_SAMPLE_MAX ? LID_SAMPLE_MAX : (size_t)affordable;
    struct crn_rng rng;

    *out_lid = NAN;
    if (rows->rows <= LID_K) return CAIRN_OK;
    if (count < LID_SAMPLE_MIN) count = LID_SAMPLE_MIN;
    crn_rng_init(&rng, 1);
    for (size_t i = 0; i < count; i++) sample[i] = (uint32_t)crn_rng_below(&rng, rows->rows);

    uint32_t *ids = crn_mem_array(count * LID_K, sizeof *ids);
    double *distances = crn_mem_array(count * LID_K, sizeof *distances);
    struct crn_cli_knn knn = {.rows = rows->floats,
                              .row_count = rows->rows,
                              .queries = rows->floats,
                              .query_ids = sample,
                              .query_count = count,
                              .dim = rows->columns,
                              .k = LID_K,
                              .metric = data->metric == CAIRN_METRIC_DOT ? CAIRN_METRIC_L2 : data->metric,
                              .skip_same = true,
                              .phase = "intrinsic dimension",
                              .progress = progress};
    cairn_status status = ids != NULL && distances != NULL ? crn_cli_knn_search(&knn, ids, distances, err)
                                                           : crn_error_no_memory(err, count * LID_K * 8);
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        double *of_row = distances + i * LID_K;
        for (size_t j = 0; j < LID_K && data->metric == CAIRN_METRIC_COSINE; j++) {
            of_row[j] = of_row[j] > 0 ? sqrt(2 * of_row[j]) : 0; /* the chord */
        }
        double lid = lid_of(of_row);
        if (isnan(lid)) continue;
        sum += lid;
        used++;
    }
    crn_mem_free(ids);
    crn_mem_free(distances);
    if (used > 0) *out_lid = sum / (double)used;
    return status;
}
