/* True neighbors, their cache, and the counting of results against them. */
#include "cli/bench_truth.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/export_file.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-6 /* of a distance: what single precision may lose */

cairn_status crn_cli_bench_truth_init(struct crn_cli_bench_truth *truth, uint64_t queries, uint32_t k,
                                      cairn_error *err)
{
    size_t count = (size_t)queries * k;

    *truth = (struct crn_cli_bench_truth){.queries = queries, .k = k};
    truth->ids = crn_mem_array(count, sizeof *truth->ids);
    truth->distances = crn_mem_array(count, sizeof *truth->distances);
    truth->scratch = crn_mem_array((size_t)k * 2, sizeof *truth->scratch);
    if (truth->ids != NULL && truth->distances != NULL && truth->scratch != NULL) return CAIRN_OK;
    return crn_error_no_memory(err, count * sizeof *truth->distances);
}

void crn_cli_bench_truth_release(struct crn_cli_bench_truth *truth)
{
    crn_mem_free(truth->ids);
    crn_mem_free(truth->distances);
    crn_mem_free(truth->scratch);
    *truth = (struct crn_cli_bench_truth){0};
}

/* Takes the first k ids of each query, and measures their distances. */
static cairn_status adopt(struct crn_cli_bench_truth *truth, const struct crn_cli_bench_data *data,
                          const struct crn_cli_matrix *ids, const char *path, cairn_error *err)
{
    const uint32_t dim = data->rows.columns;

    for (uint64_t q = 0; q < truth->queries; q++) {
        double last = -INFINITY;
        for (uint32_t i = 0; i < truth->k; i++) {
            uint64_t at = q * truth->k + i;
            bool there = i < data->rows.rows;
            truth->ids[at] = there ? ids->ids[q * ids->columns + i] : CRN_CLI_KNN_NONE;
            truth->distances[at] = INFINITY;
            if (!there) continue;
            double distance =
                crn_cli_knn_distance(data->metric, data->rows.floats + (uint64_t)truth->ids[at] * dim,
                                     data->queries.floats + q * dim, dim);
            truth->distances[at] = distance;
            /* Files are made in single precision: neighbors that are nearly as far may be swapped. */
            if (distance < last - 1e-3 * fabs(last) - 1e-6) {
                return crn_error_set(
                    err, CAIRN_INVALID_ARGUMENT,
                    "%s is no truth of these rows by %s: of query %llu neighbor %u, row %u, is "
                    "nearer (%g) than the one before it (%g)",
                    path, crn_cli_bench_metric_name(data->metric), (unsigned long long)q, i, truth->ids[at],
                    distance, last);
            }
            last = distance > last ? distance : last;
        }
        /* The last place is the farthest, however the file has them. */
        uint32_t count = data->rows.rows < truth->k ? (uint32_t)data->rows.rows : truth->k;
        truth->distances[q * truth->k + count - 1] = last;
    }
    return CAIRN_OK;
}

static void cache_path(const struct crn_cli_bench_data *data, uint32_t k, const char *folder, char *out,
                       size_t size)
{
    const uint64_t about[] = {data->rows.rows, data->rows.columns, data->queries.rows, k,
                              (uint64_t)data->metric};
    struct crn_hash hash;

    crn_hash_init(&hash, 0);
    crn_hash_update(&hash, about, sizeof about);
    crn_hash_update(&hash, data->rows.floats,
                    (size_t)data->rows.rows * data->rows.columns * sizeof *data->rows.floats);
    crn_hash_update(&hash, data->queries.floats,
                    (size_t)data->queries.rows * data->queries.columns * sizeof *data->queries.floats);
    snprintf(out, size, "%s/truth-%016llx-k%u-%s.ivecs", folder, (unsigned long long)crn_hash_final(&hash), k,
             crn_cli_bench_metric_name(data->metric));
}

/* A cached file that cannot be used is no failure: it is computed, and written, again. */
static bool read_cache(struct crn_cli_bench_truth *truth, const struct crn_cli_bench_data *data,
                       const char *path)
{
    struct crn_cli_matrix ids;
    cairn_error err;

    if (crn_cli_matrix_read_ids(path, "", UINT64_MAX, &ids, &err) != CAIRN_OK) return false;
    bool good = ids.rows == truth->queries && ids.columns == truth->k && data->rows.rows >= truth->k;
    for (uint64_t i = 0; good && i < ids.rows * ids.columns; i++) good = ids.ids[i] < data->rows.rows;
    good = good && adopt(truth, data, &ids, path, &err) == CAIRN_OK;
    crn_cli_matrix_release(&ids);
    return good;
}

/* An .ivecs file, which other programs read, too. */
static cairn_status write_cache(const struct crn_cli_bench_truth *truth, const char *path, cairn_error *err)
{
    struct crn_cli_export_file file;
    uint32_t k = htole32(truth->k);

    cairn_status status = crn_cli_export_file_open(&file, path, "", true, err);
    for (uint64_t q = 0; status == CAIRN_OK && q < truth->queries; q++) {
        const uint32_t *ids = truth->ids + q * truth->k;
        bool written = fwrite(&k, sizeof k, 1, file.file) == 1;
        for (uint32_t i = 0; written && i < truth->k; i++) {
            uint32_t id = htole32(ids[i]);
            written = fwrite(&id, sizeof id, 1, file.file) == 1;
        }
        if (!written) status = crn_error_errno(err, errno, "cannot write", path);
    }
    if (status == CAIRN_OK) status = crn_cli_export_file_finish(&file, err);
    crn_cli_export_file_release(&file);
    return status;
}

static cairn_status compute(struct crn_cli_bench_truth *truth, const struct crn_cli_bench_data *data,
                            struct crn_cli_progress *progress, cairn_error *err)
{
    const struct crn_cli_knn knn = {.rows = data->rows.floats,
                                    .row_count = data->rows.rows,
                                    .queries = data->queries.floats,
                                    .query_count = data->queries.rows,
                                    .dim = data->rows.columns,
                                    .k = truth->k,
                                    .metric = data->metric,
                                    .phase = "ground truth",
                                    .progress = progress};

    return crn_cli_knn_search(&knn, truth->ids, truth->distances, err);
}

cairn_status crn_cli_bench_truth_make(struct crn_cli_bench_truth *truth,
                                      const struct crn_cli_bench_data *data, uint32_t k, const char *cache,
                                      struct crn_cli_progress *progress, bool *out_cached, cairn_error *err)
{
    char path[4096];

    *out_cached = false;
    CRN_TRY(crn_cli_bench_truth_init(truth, data->queries.rows, k, err));
    if (data->truth.rows > 0) return adopt(truth, data, &data->truth, data->truth_path, err);
    if (cache == NULL) return compute(truth, data, progress, err);
    cache_path(data, k, cache, path, sizeof path);
    *out_cached = read_cache(truth, data, path);
    if (*out_cached) return CAIRN_OK;
    CRN_TRY(compute(truth, data, progress, err));
    return write_cache(truth, path, err);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Whether a result that is not in the truth is exactly as near as the last of it. One that is nearer would
 * mean that the truth is wrong, or that a filter was not kept to: it is not counted. */
static bool is_tie(const struct crn_cli_bench_data *data, uint64_t q, uint64_t id, double last)
{
    const uint32_t dim = data->rows.columns;

    if (id >= data->rows.rows) return false;
    double distance =
        crn_cli_knn_distance(data->metric, data->rows.floats + id * dim, data->queries.floats + q * dim, dim);
    return fabs(distance - last) <= TOLERANCE * fabs(last);
}

uint32_t crn_cli_bench_truth_count(const struct crn_cli_bench_truth *truth,
                                   const struct crn_cli_bench_data *data, uint64_t q, const uint64_t *found,
                                   uint32_t found_count, uint32_t *out_of)
{
    const uint32_t *ids = truth->ids + q * truth->k;
    uint64_t *sorted = truth->scratch;
    uint64_t *known = truth->scratch + truth->k;
    uint32_t possible = truth->k;
    uint32_t right = 0;

    while (possible > 0 && ids[possible - 1] == CRN_CLI_KNN_NONE) possible--;
    *out_of = possible;
    if (possible == 0 || found_count == 0) return 0;
    memcpy(sorted, found, found_count * sizeof *sorted);
    qsort(sorted, found_count, sizeof *sorted, compare_ids);
    for (uint32_t i = 0; i < possible; i++) known[i] = ids[i];
    qsort(known, possible, sizeof *known, compare_ids);
    for (uint32_t i = 0, t = 0; i < found_count; i++) {
        if (i > 0 && sorted[i] == sorted[i - 1]) continue; /* twice in one answer */
        while (t < possible && known[t] < sorted[i]) t++;
        bool is_known = t < possible && known[t] == sorted[i];
        if (is_known || is_tie(data, q, sorted[i], truth->distances[q * truth->k + possible - 1])) right++;
    }
    return right < possible ? right : possible;
}
