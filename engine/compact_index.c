/* Building indexes over a space's segments (compact.h). */
#include "engine/compact_internal.h"

#include "engine/collection.h"
#include "engine/graph_carry.h"
#include "engine/graph_file.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

#define AUTO_INDEX "graph"
#define AUTO_INDEX_WIDE "faiss:HNSW32" /* for more dimensions than the graph takes */
#define AUTO_INDEX_ROWS 4096u          /* below, scanning is fast enough */
#define INDEX_ROWS_LEAST 256u          /* below, no index is worth its file */
#define MERGED_MOST 64u                /* oldest parts whose graphs help when some of them are merged */

/* ---- choosing ---- */

/* The backend and spec for a segment of `rows` rows, or NULL. */
static const struct crn_index_ops *choose_index(const struct crn_live_space *space, uint32_t rows,
                                                const char **out_spec)
{
    const char *index = space->info->index;

    if (strcmp(index, "flat") == 0 || rows < INDEX_ROWS_LEAST) return NULL;
    if (strcmp(index, "auto") == 0) {
        /* No graph over Manhattan distances has a useful recall; scans are exact. */
        if (rows < AUTO_INDEX_ROWS || space->op == CRN_OP_L1) return NULL;
        index = crn_index_graph.check("", space->info->dim, space->op, NULL) == CAIRN_OK ? AUTO_INDEX
                                                                                         : AUTO_INDEX_WIDE;
    }
    return crn_index_find(index, out_spec);
}

uint32_t crn_compact_rows_most(const struct crn_live_space *space)
{
    const char *spec;

    if (choose_index(space, UINT32_MAX, &spec) != &crn_index_graph) return UINT32_MAX;
    return space->rows_most != 0 ? space->rows_most : CRN_GRAPH_NODES_MAX - 1;
}

/* ---- from a graph at hand ---- */

struct carrying {
    struct crn_graph_carry carry;
    const struct crn_build_control *control;
    bool fits;
};

/* CONFLICT: the graph does not suit the rows. */
static cairn_status carry_sections(const void *ctx, const struct crn_index_rows *rows,
                                   struct crn_derived_writer *writer, cairn_error *err)
{
    const struct carrying *carrying = ctx;
    const struct crn_build_control *control = carrying->control;
    struct crn_graph_build graph;
    bool fits = false;

    cairn_status status = crn_graph_carry_over(&carrying->carry, rows, control->threads, control->cancelled,
                                               control->ctx, &graph, &fits, err);
    if (status == CAIRN_OK && !fits)
        status = crn_error_set(err, CAIRN_CONFLICT, "another graph is of too few of the rows");
    if (status == CAIRN_OK) status = crn_graph_write(&graph, writer, err);
    crn_graph_build_release(&graph);
    return status;
}

static cairn_status carry_graph(struct crn_live_space *space, const struct crn_segment *segment,
                                const struct crn_graph_carry *carry, const struct crn_build_control *control,
                                char out_file[64], cairn_error *err)
{
    const struct carrying carrying = {.carry = *carry, .control = control};
    const struct crn_segment_index_source source = {.ctx = &carrying, .fill = carry_sections};

    if (segment->count > CRN_GRAPH_NODES_MAX) return CAIRN_CONFLICT;
    return crn_segment_write_index(&space->context, segment, &crn_index_graph, &source, out_file, err);
}

/* ---- of the tail ---- */

/* The segment's row of each node. */
static uint32_t *number_tail(const struct crn_tail *tail, uint32_t source, const struct crn_graph *graph,
                             const struct crn_segment_row *rows, uint32_t count)
{
    uint32_t *numbers = crn_mem_array(graph->count, sizeof *numbers);

    if (numbers == NULL) return NULL;
    for (uint32_t i = 0; i < graph->count; i++) numbers[i] = CRN_GRAPH_NO_NODE;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = rows[i].position;
        if (rows[i].source == source && at < graph->count && crn_tail_graph_is_node(tail, at))
            numbers[at] = i;
    }
    return numbers;
}

static cairn_status index_tail(struct crn_live_space *space, const struct crn_view *view,
                               const struct crn_segment_row *rows, struct crn_segment_entry *entry,
                               cairn_error *err)
{
    const struct crn_tail *tail = view->tails[0].tail; /* there may be another one, which has just begun */
    const struct crn_build_control control = {.threads = 1};
    const float *lengths, *norms2;
    struct crn_segment *segment;
    struct crn_graph graph;
    char file[64];

    if (!crn_tail_graph_whole(tail, &graph, &lengths, &norms2)) return CAIRN_OK;
    CRN_TRY(crn_segment_open(&space->context, entry, &segment, err));
    uint32_t *numbers = number_tail(tail, view->part_count, &graph, rows, entry->rows);
    cairn_status status =
        numbers == NULL ? crn_error_no_memory(err, graph.count * sizeof *numbers) : CAIRN_OK;
    const struct crn_graph_carry carry = {.from = &graph,
                                          .seed = CRN_TAIL_GRAPH_SEED,
                                          .numbers = numbers,
                                          .lengths = lengths,
                                          .norms2 = norms2};
    if (status == CAIRN_OK) status = carry_graph(space, segment, &carry, &control, file, err);
    if (status == CAIRN_OK) memcpy(entry->index_file, file, sizeof entry->index_file);
    crn_mem_free(numbers);
    crn_segment_release(segment);
    return status == CAIRN_CONFLICT ? CAIRN_OK : status;
}

void crn_compact_index_tail(struct crn_live_space *space, const struct crn_view *view,
                            const struct crn_segment_row *rows, struct crn_segment_entry *entry)
{
    const char *spec;
    cairn_error err;

    if (choose_index(space, entry->rows, &spec) != &crn_index_graph) return;
    if (index_tail(space, view, rows, entry, &err) == CAIRN_OK) return;
    crn_log(&space->collection->db->log, CAIRN_LOG_WARN,
            "a tail's graph was not written out, and will be built anew: %s", err.message);
}

/* ---- of merged segments ---- */

/* The graphs of the parts that rows come from: that of the part that gave the most is carried over. */
struct part_graphs {
    struct crn_graph_opened opened[MERGED_MOST];
    uint32_t *numbers[MERGED_MOST]; /* the merged segment's row of each node */
    uint32_t given[MERGED_MOST];    /* rows */
    uint32_t count, largest;
    struct crn_graph_carry_part others[MERGED_MOST];
    uint32_t other_count;
};

static void close_graphs(struct part_graphs *graphs)
{
    for (uint32_t g = 0; g < graphs->count; g++) {
        crn_mem_free(graphs->numbers[g]);
        crn_graph_close(&graphs->opened[g]);
    }
}

/* The merged segment's row of each node of a part's graph. */
static uint32_t *number_part(const struct crn_graph_opened *opened, uint32_t part,
                             const struct crn_segment_row *rows, uint32_t count, uint32_t *out_given)
{
    const uint32_t nodes = opened->graph.count;
    uint32_t *of_position = crn_mem_array(nodes, sizeof *of_position),
             *numbers = crn_mem_array(nodes, sizeof *numbers);

    *out_given = 0;
    if (of_position != NULL && numbers != NULL) {
        for (uint32_t i = 0; i < nodes; i++) of_position[i] = CRN_GRAPH_NO_NODE;
        for (uint32_t i = 0; i < count; i++) {
            if (rows[i].source == part) of_position[rows[i].position] = i;
        }
        for (uint32_t i = 0; i < nodes; i++) {
            numbers[i] = of_position[opened->positions[i]];
            of_position[opened->positions[i]] = CRN_GRAPH_NO_NODE; /* no row twice, whatever the file says */
            *out_given += numbers[i] != CRN_GRAPH_NO_NODE;
        }
    } else {
        crn_mem_free(numbers);
        numbers = NULL;
    }
    crn_mem_free(of_position);
    return numbers;
}

/* Opens and proves the graph of a part. One that is damaged is done without. */
static cairn_status add_graph(struct part_graphs *graphs, const struct crn_view *view, uint32_t part,
                              const struct crn_segment_row *rows, uint32_t count, cairn_error *err)
{
    const struct crn_segment *segment = view->parts[part].segment;
    const struct crn_index_rows old = {.vectors = segment->vectors,
                                       .count = segment->count,
                                       .dim = segment->dim,
                                       .op = segment->op,
                                       .file = segment->file};
    struct crn_graph_opened *opened = &graphs->opened[graphs->count];
    const uint32_t at = graphs->count;

    cairn_status status = crn_graph_open(&old, segment->index_file, opened, err);
    if (status == CAIRN_OK) {
        status = crn_derived_verify(segment->index_file, opened->graph.rows,
                                    (size_t)opened->graph.count * opened->graph.layout.row_bytes, err);
    }
    if (status == CAIRN_OK) {
        graphs->numbers[at] = number_part(opened, part, rows, count, &graphs->given[at]);
        if (graphs->numbers[at] == NULL)
            status = crn_error_no_memory(err, opened->graph.count * sizeof *graphs->numbers[at]);
    }
    if (status != CAIRN_OK) {
        crn_graph_close(opened);
        return status == CAIRN_CORRUPT ? CAIRN_OK : status;
    }
    graphs->count++;
    if (graphs->given[at] > graphs->given[graphs->largest]) graphs->largest = at;
    return CAIRN_OK;
}

static cairn_status open_graphs(struct part_graphs *graphs, const struct crn_view *view,
                                const struct crn_segment_row *rows, uint32_t count, cairn_error *err)
{
    bool wanted[MERGED_MOST] = {false};

    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].source < MERGED_MOST) wanted[rows[i].source] = true;
    }
    for (uint32_t part = 0; part < view->part_count && part < MERGED_MOST; part++) {
        const struct crn_segment *segment = view->parts[part].segment;
        if (!wanted[part] || segment->index_ops != &crn_index_graph) continue;
        if (atomic_load_explicit(&segment->index_failed, memory_order_relaxed)) continue;
        CRN_TRY(add_graph(graphs, view, part, rows, count, err));
    }
    for (uint32_t g = 0; g < graphs->count; g++) {
        if (g == graphs->largest) continue;
        graphs->others[graphs->other_count++] =
            (struct crn_graph_carry_part){&graphs->opened[g].graph, graphs->numbers[g]};
    }
    return CAIRN_OK;
}

/* CONFLICT: there is no graph, or it does not suit the merged rows. */
static cairn_status carry_parts(struct crn_live_space *space, const struct crn_view *view,
                                const struct crn_segment_row *rows, const struct crn_segment *merged,
                                const struct crn_build_control *control, char out_file[64], cairn_error *err)
{
    struct part_graphs *graphs = crn_mem_calloc(1, sizeof *graphs);

    if (graphs == NULL) return crn_error_no_memory(err, sizeof *graphs);
    cairn_status status = open_graphs(graphs, view, rows, merged->count, err);
    if (status == CAIRN_OK && graphs->count == 0) status = CAIRN_CONFLICT;
    if (status == CAIRN_OK) {
        const struct crn_graph_opened *largest = &graphs->opened[graphs->largest];
        const struct crn_graph_carry carry = {.from = &largest->graph,
                                              .seed = largest->seed,
                                              .numbers = graphs->numbers[graphs->largest],
                                              .others = graphs->others,
                                              .other_count = graphs->other_count};
        status = carry_graph(space, merged, &carry, control, out_file, err);
    }
    close_graphs(graphs);
    crn_mem_free(graphs);
    return status == CAIRN_CORRUPT ? CAIRN_CONFLICT : status; /* then it is built anew */
}

static cairn_status index_merged(struct crn_live_space *space, const struct crn_view *view,
                                 const struct crn_segment_row *rows, const struct crn_segment *merged,
                                 const struct crn_build_control *control, char out_file[64], cairn_error *err)
{
    const char *spec = "";
    const struct crn_index_ops *ops = choose_index(space, merged->count, &spec);
    cairn_status status = CAIRN_CONFLICT;

    out_file[0] = '\0';
    if (ops == NULL) return CAIRN_OK;
    if (view != NULL && ops == &crn_index_graph) {
        status = carry_parts(space, view, rows, merged, control, out_file, err);
    }
    if (status != CAIRN_CONFLICT) return status;
    return crn_segment_build_index(&space->context, merged, ops, spec, control->threads, control->cancelled,
                                   control->ctx, out_file, err);
}

cairn_status crn_compact_index_merged(struct crn_live_space *space, const struct crn_view *view,
                                      const struct crn_segment_row *rows, struct crn_segment_entry *entry,
                                      const struct crn_build_control *control, cairn_error *err)
{
    struct crn_segment *segment;
    char file[64];

    CRN_TRY(crn_segment_open(&space->context, entry, &segment, err));
    const cairn_status status = index_merged(space, view, rows, segment, control, file, err);
    if (status == CAIRN_OK) memcpy(entry->index_file, file, sizeof entry->index_file);
    crn_segment_release(segment);
    return status;
}

/* ---- of listed segments that have none ---- */

static cairn_status name_index(struct crn_live_space *space, const char *segment_file, const char *index_file,
                               cairn_error *err)
{
    struct crn_store *store = space->collection->db->store;
    struct crn_view *view;

    CRN_TRY(crn_store_lock(store, CRN_LOCK_SEGMENTS, true, NULL, err));
    cairn_status status = crn_live_space_settle(space, &view, err);
    if (status == CAIRN_OK) {
        struct crn_segment_entry *entries = crn_compact_list(view);
        if (entries == NULL) status = crn_error_no_memory(err, view->part_count * sizeof *entries);
        for (uint32_t i = 0; status == CAIRN_OK && i < view->part_count; i++) {
            if (strcmp(entries[i].file, segment_file) != 0) continue;
            memcpy(entries[i].index_file, index_file, sizeof entries[i].index_file);
            status = crn_compact_switch(space, entries, view->part_count, err);
        }
        crn_mem_free(entries);
        crn_view_release(view);
    }
    crn_store_unlock(store, CRN_LOCK_SEGMENTS);
    return status;
}

static cairn_status build_one(struct crn_live_space *space, struct crn_segment *segment,
                              const struct crn_build_control *control, cairn_error *err)
{
    char file[64] = "";
    const char *spec = "";
    const bool failed = atomic_load_explicit(&segment->index_failed, memory_order_relaxed);
    const struct crn_index_ops *ops = choose_index(space, segment->count, &spec);

    if (ops == NULL || (segment->index_ops != NULL && !failed)) return CAIRN_OK;
    CRN_TRY(crn_segment_build_index(&space->context, segment, ops, spec, control->threads, control->cancelled,
                                    control->ctx, file, err));
    return name_index(space, segment->entry.file, file, err);
}

cairn_status crn_compact_index(struct crn_live_space *space, const struct crn_build_control *control,
                               cairn_error *err)
{
    struct crn_view *view;
    cairn_status status = CAIRN_OK;

    if (space->distrust_segments) return CAIRN_OK;
    CRN_TRY(crn_live_space_settle(space, &view, err));
    for (uint32_t i = 0; status == CAIRN_OK && i < view->part_count; i++)
        status = build_one(space, view->parts[i].segment, control, err);
    crn_view_release(view);
    return status;
}
