/* Writing a graph into a derived file, and opening it: every byte is verified and every invariant of hnsw.h checked. */
#include "engine/hnsw.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* The head's words, in this order. */
enum { HEAD_M, HEAD_COUNT, HEAD_DIM, HEAD_OP, HEAD_ENTRY, HEAD_TOP_LEVEL, HEAD_WORDS };

/* ---- writing ---- */

static cairn_status write_word(struct crn_derived_writer *writer, uint32_t word, cairn_error *err)
{
    return crn_derived_write(writer, &word, sizeof word, err);
}

static uint32_t upper_levels(const struct crn_hnsw_source *source, size_t position)
{
    return (uint32_t)source->levels[position] - 1;
}

static cairn_status write_tall(const struct crn_hnsw_source *source, size_t count,
                               struct crn_derived_writer *writer, cairn_error *err)
{
    uint32_t lists = 0;

    CRN_TRY(crn_derived_section(writer, "TALL", err));
    for (size_t p = 0; p < count; p++) {
        if (upper_levels(source, p) > 0) CRN_TRY(write_word(writer, (uint32_t)p, err));
    }
    CRN_TRY(crn_derived_section(writer, "TBEG", err));
    for (size_t p = 0; p < count; p++) {
        if (upper_levels(source, p) > 0) CRN_TRY(write_word(writer, lists, err));
        lists += upper_levels(source, p);
    }
    CRN_TRY(write_word(writer, lists, err));
    CRN_TRY(crn_derived_section(writer, "UPPR", err));
    for (size_t p = 0; p < count; p++) {
        CRN_TRY(crn_derived_write(writer, source->links + source->offsets[p] + (size_t)source->m * 2,
                                  (size_t)source->m * upper_levels(source, p) * sizeof(uint32_t), err));
    }
    return CAIRN_OK;
}

cairn_status crn_hnsw_write(const struct crn_hnsw_source *source, const struct crn_index_rows *rows,
                            struct crn_derived_writer *writer, cairn_error *err)
{
    const uint32_t head[HEAD_WORDS] = {
        [HEAD_M] = source->m, [HEAD_COUNT] = (uint32_t)rows->count, [HEAD_DIM] = rows->dim,
        [HEAD_OP] = rows->op, [HEAD_ENTRY] = source->entry,         [HEAD_TOP_LEVEL] = source->top_level,
    };

    CRN_TRY(crn_derived_section(writer, "GRPH", err));
    CRN_TRY(crn_derived_write(writer, head, sizeof head, err));
    CRN_TRY(crn_derived_section(writer, "LINK", err));
    for (size_t p = 0; p < rows->count; p++) {
        CRN_TRY(crn_derived_write(writer, source->links + source->offsets[p],
                                  (size_t)source->m * 2 * sizeof(uint32_t), err));
    }
    return write_tall(source, rows->count, writer, err);
}

/* ---- opening ---- */

static cairn_status damaged(cairn_error *err, const char *what)
{
    return crn_error_set(err, CAIRN_CORRUPT, "the HNSW graph is damaged: %s", what);
}

/* A section of count * width words, verified. */
static cairn_status section(struct crn_derived *file, const char tag[4], size_t count, size_t width,
                            const uint32_t **out_words, cairn_error *err)
{
    size_t size;
    const void *data;

    if (!crn_mem_mul(count, width * sizeof(uint32_t), &size)) return damaged(err, "its size");
    CRN_TRY(crn_derived_need(file, "the HNSW graph", tag, size, true, &data, err));
    *out_words = data;
    return CAIRN_OK;
}

static cairn_status read_head(const struct crn_index_rows *rows, struct crn_derived *file,
                              struct crn_hnsw *graph, cairn_error *err)
{
    const uint32_t *head;

    CRN_TRY(section(file, "GRPH", 1, HEAD_WORDS, &head, err));
    graph->m = head[HEAD_M];
    graph->count = head[HEAD_COUNT];
    graph->entry = head[HEAD_ENTRY];
    graph->top_level = head[HEAD_TOP_LEVEL];
    if (graph->m < CRN_HNSW_M_LEAST || graph->m > CRN_HNSW_M_MAX) return damaged(err, "its number of links");
    if (graph->count != rows->count || head[HEAD_DIM] != rows->dim || head[HEAD_OP] != (uint32_t)rows->op) {
        return crn_error_set(err, CAIRN_CORRUPT,
                             "the HNSW graph is over other rows: %u of dim %u and operation %u", graph->count,
                             head[HEAD_DIM], head[HEAD_OP]);
    }
    return CAIRN_OK;
}

static cairn_status read_tall(struct crn_derived *file, struct crn_hnsw *graph, cairn_error *err)
{
    size_t size;

    crn_derived_get(file, "TALL", &size);
    if (size / sizeof(uint32_t) > graph->count) return damaged(err, "more tall rows than rows");
    graph->tall_count = (uint32_t)(size / sizeof(uint32_t));
    CRN_TRY(section(file, "TALL", graph->tall_count, 1, &graph->tall, err));
    CRN_TRY(section(file, "TBEG", (size_t)graph->tall_count + 1, 1, &graph->tall_begin, err));
    CRN_TRY(section(file, "UPPR", graph->tall_begin[graph->tall_count], graph->m, &graph->upper_links, err));
    if (graph->tall_begin[0] != 0) return damaged(err, "the first list does not begin at 0");
    for (uint32_t i = 0; i < graph->tall_count; i++) {
        if (graph->tall[i] >= graph->count || (i > 0 && graph->tall[i] <= graph->tall[i - 1])) {
            return damaged(err, "its tall rows are not ascending positions");
        }
        if (graph->tall_begin[i] >= graph->tall_begin[i + 1]) return damaged(err, "a tall row has no list");
    }
    return CAIRN_OK;
}

/* Where a row is among the tall ones; tall_count when it is none. */
static uint32_t find_tall(const struct crn_hnsw *graph, uint32_t position)
{
    uint32_t low = 0, high = graph->tall_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (graph->tall[middle] < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < graph->tall_count && graph->tall[low] == position ? low : graph->tall_count;
}

static uint32_t top_level_of(const struct crn_hnsw *graph, uint32_t position)
{
    const uint32_t i = find_tall(graph, position);

    return i == graph->tall_count ? 0 : graph->tall_begin[i + 1] - graph->tall_begin[i];
}

const uint32_t *crn_hnsw_list(const struct crn_hnsw *graph, uint32_t position, uint32_t level,
                              size_t *out_length)
{
    if (level == 0) {
        *out_length = (size_t)graph->m * 2;
        return graph->links + (size_t)position * graph->m * 2;
    }
    *out_length = graph->m;
    return graph->upper_links +
           ((size_t)graph->tall_begin[find_tall(graph, position)] + level - 1) * graph->m;
}

static bool stands_on(const struct crn_hnsw *graph, uint32_t position, uint32_t level)
{
    return position < graph->count && (level == 0 || top_level_of(graph, position) >= level);
}

static bool list_is_sound(const struct crn_hnsw *graph, const uint32_t *list, size_t length, uint32_t level)
{
    for (size_t i = 0; i < length; i++) {
        if (list[i] != CRN_HNSW_NONE && !stands_on(graph, list[i], level)) return false;
    }
    return true;
}

static cairn_status check_links(const struct crn_hnsw *graph, cairn_error *err)
{
    if (!list_is_sound(graph, graph->links, (size_t)graph->count * graph->m * 2, 0)) {
        return damaged(err, "a link leads beyond its rows");
    }
    for (uint32_t i = 0; i < graph->tall_count; i++) {
        const uint32_t levels = graph->tall_begin[i + 1] - graph->tall_begin[i];
        const uint32_t *list = graph->upper_links + (size_t)graph->tall_begin[i] * graph->m;
        if (levels > graph->top_level) return damaged(err, "a row stands above the top level");
        for (uint32_t level = 1; level <= levels; level++, list += graph->m) {
            if (!list_is_sound(graph, list, graph->m, level))
                return damaged(err, "a link leads off its level");
        }
    }
    return CAIRN_OK;
}

cairn_status crn_hnsw_open(const struct crn_index_rows *rows, struct crn_derived *file,
                           struct crn_hnsw *out_graph, cairn_error *err)
{
    struct crn_hnsw *graph = out_graph;

    CRN_TRY(read_head(rows, file, graph, err));
    CRN_TRY(section(file, "LINK", graph->count, (size_t)graph->m * 2, &graph->links, err));
    CRN_TRY(read_tall(file, graph, err));
    if (!stands_on(graph, graph->entry, 0) || top_level_of(graph, graph->entry) != graph->top_level) {
        return damaged(err, "its entry does not stand on the top level");
    }
    return check_links(graph, err);
}

bool crn_hnsw_in(const struct crn_derived *file)
{
    size_t size;

    return crn_derived_get(file, "GRPH", &size) != NULL;
}
