/*
 * The ivf backend: lists of compressed rows around centroids (ivf.h), for collections whose vectors do not
 * fit into memory. Of the segment's vectors a search reads a few more than k; all else comes from codes of
 * dim + dim / 8 bytes and 20 more a row.
 *
 * "ivf" chooses the number of lists, "ivf:1000" makes 1000 of them. How many are read follows from nprobe,
 * or from the recall that is asked for, by what was measured when the index was built (ivf_calibrate.c).
 * Distances are those of an exact scan.
 */
#include "engine/ivf.h"

#include "engine/idle.h"

#include "base/error.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct crn_index {
    struct crn_ivf_opened opened;
    struct crn_index_rows rows;
    struct crn_idle scratches; /* of searches that have ended */
};

/* *out_lists = 0 when the spec leaves it open. */
static cairn_status parse(const char *spec, uint32_t *out_lists, cairn_error *err)
{
    char *end;

    *out_lists = 0;
    if (*spec == '\0') return CAIRN_OK;
    const unsigned long lists = isdigit((unsigned char)*spec) ? strtoul(spec, &end, 10) : 0;
    if (lists == 0 || lists > CRN_IVF_LISTS_MAX || *end != '\0') {
        return crn_error_set(err, CAIRN_INVALID_OPTION,
                             "index ivf:%.80s: the number of lists must be 1 to %u, as in ivf:1000", spec,
                             CRN_IVF_LISTS_MAX);
    }
    *out_lists = (uint32_t)lists;
    return CAIRN_OK;
}

static cairn_status check(const char *spec, uint32_t dim, enum crn_op op, cairn_error *err)
{
    uint32_t lists;

    (void)dim;
    CRN_TRY(parse(spec, &lists, err));
    if (op == CRN_OP_L1)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "index ivf has no manhattan metric: use flat");
    return CAIRN_OK;
}

static cairn_status build(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                          bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                          cairn_error *err)
{
    struct crn_ivf_build ivf = {.rows = rows, .threads = threads, .cancelled = cancelled, .ctx = ctx};
    uint32_t lists;

    CRN_TRY(check(spec, rows->dim, rows->op, err));
    CRN_TRY(parse(spec, &lists, err));
    if (rows->count == 0 || rows->count > INT32_MAX) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "index ivf over %zu rows: 1 to %d are possible",
                             rows->count, INT32_MAX);
    }
    cairn_status status = crn_ivf_build(&ivf, lists, err);
    if (status == CAIRN_OK) status = crn_ivf_write(&ivf, writer, err);
    crn_ivf_build_release(&ivf);
    return status;
}

static void free_scratch(struct crn_ivf_scratch *scratch)
{
    crn_ivf_scratch_release(scratch);
    crn_mem_free(scratch);
}

static void close_index(struct crn_index *index)
{
    if (index == NULL) return;
    for (struct crn_ivf_scratch *scratch; (scratch = crn_idle_take(&index->scratches)) != NULL;)
        free_scratch(scratch);
    crn_ivf_close(&index->opened);
    crn_mem_free(index);
}

/* The spec is not needed: the file says what it holds. */
static cairn_status open_index(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                               struct crn_index **out_index, cairn_error *err)
{
    struct crn_index *index = crn_mem_calloc(1, sizeof *index);

    (void)spec;
    if (index == NULL) return crn_error_no_memory(err, sizeof *index);
    index->rows = *rows;
    const cairn_status status = crn_ivf_open(rows, file, &index->opened, err);
    if (status != CAIRN_OK) {
        close_index(index);
        return status;
    }
    *out_index = index;
    return CAIRN_OK;
}

/* ---- searching ---- */

static cairn_status search(const struct crn_index *constant, const struct crn_index_query *query,
                           struct crn_topk *top, cairn_error *err)
{
    struct crn_index *index =
        (struct crn_index *)(uintptr_t)constant; /* for its scratches, which are atomic */
    struct crn_ivf_scratch *scratch = crn_idle_take(&index->scratches);

    if (scratch == NULL) scratch = crn_mem_calloc(1, sizeof *scratch);
    if (scratch == NULL) return crn_error_no_memory(err, sizeof *scratch);
    const cairn_status status = crn_ivf_search(&index->opened, &index->rows, query, scratch, top, err);
    if (!crn_idle_give(&index->scratches, scratch)) free_scratch(scratch);
    return status;
}

static size_t memory_bytes(const struct crn_index *index)
{
    return sizeof *index + index->opened.heap_bytes;
}

_Static_assert(CRN_IVF_PROBES <= CRN_INDEX_EFFORTS_MAX, "recalls fit");

static void recalls(const struct crn_index *index, struct crn_index_recalls *out)
{
    const struct crn_ivf_calibration *measured = &index->opened.calibration;

    if (measured->queries == 0) return;
    out->count = CRN_IVF_PROBES;
    memcpy(out->efforts, measured->probes, sizeof measured->probes);
    memcpy(out->recalls, measured->recalls, sizeof measured->recalls);
}

const struct crn_index_ops crn_index_ivf = {
    .name = "ivf",
    .opens_at_once = true,
    .check = check,
    .build = build,
    .open = open_index,
    .search = search,
    .close = close_index,
    .memory_bytes = memory_bytes,
    .recalls = recalls,
};
