#include "engine/index_gpu_faiss.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/faiss_ext.h"
#include "engine/faiss_gpu.h"

#include <stdio.h>
#include <string.h>

struct crn_gpu_faiss {
    const FaissIndex *faiss;
    struct crn_faiss_gpu
        *own; /* FAISS's GPU index, where there is such a thing: instead of all that follows */
    struct crn_gpu_set *set;
    uint32_t list_count, count;
    uint32_t *offsets;   /* [list_count + 1] rows of the set, list by list */
    uint32_t *positions; /* [count] of the segment, of each row of the set */
};

/* "PQ16", "PQ16x4" */
static bool is_product(const char *codes)
{
    static const char digits[] = "0123456789";
    size_t used = strncmp(codes, "PQ", 2) == 0 ? 2 + strspn(codes + 2, digits) : 0;

    if (used <= 2) return false;
    if (codes[used] == 'x' && codes[used + 1] != '\0') used += 1 + strspn(codes + used + 1, digits);
    return codes[used] == '\0';
}

bool crn_gpu_faiss_spec(const char *spec, char out[32])
{
    const size_t digits = strncmp(spec, "IVF", 3) == 0 ? strspn(spec + 3, "0123456789") : 0;
    const char *codes = spec + 3 + digits;

    if (digits == 0 || strlen(spec) > 24) return false;
    if (*codes != '\0' && strcmp(codes, ",Flat") != 0 && strcmp(codes, ",SQ8") != 0 &&
        !(*codes == ',' && is_product(codes + 1)))
        return false;
    snprintf(out, 32, "%s%s", spec, *codes == '\0' ? ",Flat" : "");
    return true;
}

size_t crn_gpu_faiss_candidates(const struct crn_index *faiss, size_t k)
{
    return crn_faiss_lists_exact(crn_index_faiss_of(faiss)) ? k : k * 4 + 32;
}

static size_t longest_list(const struct crn_gpu_faiss *lists)
{
    size_t longest = 0;

    for (uint32_t l = 0; l < lists->list_count; l++) {
        const size_t size = crn_faiss_list_size(lists->faiss, l);
        if (size > longest) longest = size;
    }
    return longest;
}

static cairn_status upload(struct crn_gpu_faiss *lists, const struct crn_index_rows *rows, cairn_error *err)
{
    const size_t longest = longest_list(lists);
    float *vectors = crn_mem_array(longest, rows->dim * sizeof *vectors);
    cairn_status status = CAIRN_OK;

    if (vectors == NULL) return crn_error_no_memory(err, longest * rows->dim * sizeof *vectors);
    for (uint32_t l = 0; status == CAIRN_OK && l < lists->list_count; l++) {
        const size_t size = crn_faiss_list_size(lists->faiss, l);
        const uint32_t begin = lists->offsets[l];
        if (size > lists->count - begin) {
            status = crn_error_set(err, CAIRN_CORRUPT, "lists of more rows than there are: %u", lists->count);
            break;
        }
        status = crn_faiss_list_copy(lists->faiss, l, vectors, lists->positions + begin, err);
        for (size_t i = 0; status == CAIRN_OK && i < size; i++) {
            if (lists->positions[begin + i] >= rows->count)
                status = crn_error_set(err, CAIRN_CORRUPT, "a list names row %u of %zu",
                                       lists->positions[begin + i], rows->count);
        }
        if (status == CAIRN_OK) status = crn_gpu_set_append(lists->set, vectors, size, err);
        lists->offsets[l + 1] = begin + (uint32_t)size;
    }
    crn_mem_free(vectors);
    return status;
}

static cairn_status open_parts(struct crn_gpu *gpu, const struct crn_index_rows *rows,
                               struct crn_gpu_faiss *lists, cairn_error *err)
{
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_F32,
                                                .metric = rows->op == CRN_OP_L2 ? CRN_GPU_L2 : CRN_GPU_DOT,
                                                .dim = rows->dim,
                                                .reserve_rows = rows->count,
                                                .device_only = true};

    cairn_error ignored;

    /* What FAISS cannot put there Cairn's kernels may. */
    if (crn_faiss_gpu_built() && crn_faiss_gpu_open(lists->faiss, &lists->own, &ignored) == CAIRN_OK)
        return CAIRN_OK;
    lists->list_count = (uint32_t)crn_faiss_list_count(lists->faiss);
    lists->count = (uint32_t)rows->count;
    if (lists->list_count == 0)
        return crn_error_set(err, CAIRN_CORRUPT, "an index of a kind that is never written");
    lists->offsets = crn_mem_calloc((size_t)lists->list_count + 1, sizeof *lists->offsets);
    lists->positions = crn_mem_array(rows->count, sizeof *lists->positions);
    if (lists->offsets == NULL || lists->positions == NULL)
        return crn_error_no_memory(err, rows->count * sizeof *lists->positions);
    CRN_TRY(crn_gpu_set_create(gpu, &options, &lists->set, err));
    return upload(lists, rows, err);
}

cairn_status crn_gpu_faiss_open(struct crn_gpu *gpu, const struct crn_index *faiss,
                                const struct crn_index_rows *rows, struct crn_gpu_faiss **out_lists,
                                cairn_error *err)
{
    struct crn_gpu_faiss *lists = crn_mem_calloc(1, sizeof *lists);

    if (lists == NULL) return crn_error_no_memory(err, sizeof *lists);
    lists->faiss = crn_index_faiss_of(faiss);
    const cairn_status status =
        lists->faiss == NULL ? crn_error_set(err, CAIRN_CORRUPT, "an index of a kind that is never written")
                             : open_parts(gpu, rows, lists, err);
    if (status != CAIRN_OK) {
        crn_gpu_faiss_free(lists);
        return status;
    }
    *out_lists = lists;
    return CAIRN_OK;
}

void crn_gpu_faiss_free(struct crn_gpu_faiss *lists)
{
    if (lists == NULL) return;
    crn_faiss_gpu_close(lists->own);
    crn_gpu_set_free(lists->set);
    crn_mem_free(lists->offsets);
    crn_mem_free(lists->positions);
    crn_mem_free(lists);
}

size_t crn_gpu_faiss_device_bytes(const struct crn_gpu_faiss *lists)
{
    return lists->set == NULL ? 0
                              : crn_gpu_set_device_bytes(lists->set); /* what FAISS takes it does not tell */
}

bool crn_gpu_faiss_answers(const struct crn_gpu_faiss *lists, const struct crn_index_query *query)
{
    return lists->own == NULL || (query->allow == NULL && query->nprobe == 0);
}

size_t crn_gpu_faiss_heap_bytes(const struct crn_gpu_faiss *lists)
{
    return sizeof *lists + ((size_t)lists->list_count + lists->count) * sizeof(uint32_t);
}

/* The filter's bits, of positions, in the order of the set's rows. NULL: no memory. */
static uint64_t *order_filter(const struct crn_gpu_faiss *lists, const uint64_t *allow)
{
    uint64_t *ordered = crn_mem_calloc(crn_bits_words(lists->count) + 1, sizeof *ordered);

    for (uint32_t i = 0; ordered != NULL && i < lists->count; i++) {
        if (crn_bits_get(allow, lists->positions[i])) crn_bits_set(ordered, i);
    }
    return ordered;
}

/* probes: [list_count]; distances: [k]. */
static cairn_status search_probes(const struct crn_gpu_faiss *lists, struct crn_gpu_stream *stream,
                                  const struct crn_index_query *query, size_t k, uint32_t *probes,
                                  float *distances, const uint64_t *allow, uint32_t *positions,
                                  cairn_error *err)
{
    const struct crn_gpu_query asked = {.vectors = query->vector, .batch = 1, .k = k, .allow = allow};
    struct crn_gpu_lists which = {.offsets = lists->offsets, .count = lists->list_count, .probes = probes};
    const double share = (double)query->allowed / (double)lists->count;

    CRN_TRY(crn_faiss_probe(lists->faiss, query->vector, query->nprobe, query->allow == NULL ? 1 : share,
                            probes, &which.probe_count, err));
    return crn_gpu_search_lists(lists->set, stream, &asked, &which, distances, positions, err);
}

cairn_status crn_gpu_faiss_search(const struct crn_gpu_faiss *lists, struct crn_gpu_stream *stream,
                                  const struct crn_index_query *query, size_t k, uint32_t *positions,
                                  size_t *out_count, cairn_error *err)
{
    if (lists->own != NULL)
        return crn_faiss_gpu_search(lists->own, query->vector, k, positions, out_count, err);
    uint32_t *probes = crn_mem_array(lists->list_count, sizeof *probes);
    float *distances = crn_mem_array(k, sizeof *distances);
    uint64_t *allow = query->allow == NULL ? NULL : order_filter(lists, query->allow);
    cairn_status status;
    size_t count = 0;

    if (probes == NULL || distances == NULL || (query->allow != NULL && allow == NULL)) {
        status = crn_error_no_memory(err, (lists->list_count + k) * sizeof *probes);
    } else {
        status = search_probes(lists, stream, query, k, probes, distances, allow, positions, err);
    }
    while (status == CAIRN_OK && count < k && positions[count] != CRN_GPU_NONE) {
        positions[count] = lists->positions[positions[count]];
        count++;
    }
    *out_count = count;
    crn_mem_free(probes);
    crn_mem_free(distances);
    crn_mem_free(allow);
    return status;
}
