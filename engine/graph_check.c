/* The graph's invariants (graph_check.h). */
#include "engine/graph_check.h"

#include "base/error.h"

#include <math.h>

/* A row, and how messages name it. */
struct subject {
    const struct crn_graph_layout *layout;
    const uint8_t *row;
    const char *what; /* "node" or "entry block" */
    uint32_t number;
    uint32_t self;  /* the node that it may not name, or CRN_GRAPH_NO_NODE */
    uint32_t count; /* of nodes */
};

static float factor(const uint8_t *at)
{
    crn_half half;

    memcpy(&half, at, sizeof half);
    return (float)half;
}

static cairn_status check_head(const struct subject *subject, cairn_error *err)
{
    struct crn_graph_head head;
    int exponent;

    memcpy(&head, subject->row + subject->layout->head, sizeof head);
    if (!(head.scale > 0 && isfinite(head.scale))) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph has the scale %g", subject->what,
                             subject->number, (double)head.scale);
    }
    if (!isfinite(head.weight)) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph has the weight %g", subject->what,
                             subject->number, (double)head.weight);
    }
    if (!(head.factor_scale > 0 && isfinite(head.factor_scale)) ||
        frexpf(head.factor_scale, &exponent) != 0.5f) {
        return crn_error_set(err, CAIRN_CORRUPT,
                             "%s %u of the graph has the factor scale %g, which is no power of two",
                             subject->what, subject->number, (double)head.factor_scale);
    }
    if (head.lock != 0) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph is locked: %#x", subject->what,
                             subject->number, head.lock);
    }
    const uint8_t *zero = memchr(subject->row, 0, subject->layout->dims);
    if (zero != NULL) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph has the code 0 in dimension %zu",
                             subject->what, subject->number, (size_t)(zero - subject->row));
    }
    return CAIRN_OK;
}

/* A slot behind the ones in use. */
static cairn_status check_empty(const struct subject *subject, uint32_t slot, cairn_error *err)
{
    const uint32_t id = crn_graph_id(subject->layout, subject->row, slot);
    const float a = factor(subject->row + subject->layout->a + slot * 2);

    if (id != CRN_GRAPH_NO_NODE) {
        return crn_error_set(err, CAIRN_CORRUPT,
                             "%s %u of the graph names node %u in slot %u, behind an empty one",
                             subject->what, subject->number, id, slot);
    }
    if (a != INFINITY) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph has the factor %g in the empty slot %u",
                             subject->what, subject->number, (double)a, slot);
    }
    return CAIRN_OK;
}

static cairn_status check_used(const struct subject *subject, uint32_t slot, const uint32_t *before,
                               cairn_error *err)
{
    const uint32_t id = crn_graph_id(subject->layout, subject->row, slot);
    const float a = factor(subject->row + subject->layout->a + slot * 2),
                b = factor(subject->row + subject->layout->b + slot * 2);

    if (id >= subject->count) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph names node %u of %u in slot %u",
                             subject->what, subject->number, id, subject->count, slot);
    }
    if (id == subject->self) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph names itself in slot %u", subject->what,
                             subject->number, slot);
    }
    for (uint32_t v = 0; v < slot; v++) {
        if (before[v] != id) continue;
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph names node %u twice, in slots %u and %u",
                             subject->what, subject->number, id, v, slot);
    }
    if (!isfinite(a) || !isfinite(b)) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s %u of the graph has the factors %g and %g in slot %u",
                             subject->what, subject->number, (double)a, (double)b, slot);
    }
    return CAIRN_OK;
}

static cairn_status check_slots(const struct subject *subject, uint32_t *out_used, cairn_error *err)
{
    uint32_t ids[CRN_GRAPH_DEGREE], used = 0;

    while (used < CRN_GRAPH_DEGREE &&
           (ids[used] = crn_graph_id(subject->layout, subject->row, used)) != CRN_GRAPH_NO_NODE) {
        CRN_TRY(check_used(subject, used, ids, err));
        used++;
    }
    for (uint32_t slot = used; slot < CRN_GRAPH_DEGREE; slot++) CRN_TRY(check_empty(subject, slot, err));
    *out_used = used;
    return CAIRN_OK;
}

static cairn_status check_row(const struct subject *subject, uint32_t *out_used, cairn_error *err)
{
    CRN_TRY(check_head(subject, err));
    return check_slots(subject, out_used, err);
}

static cairn_status check_shape(const struct crn_graph *graph, cairn_error *err)
{
    const uint32_t dims = graph->layout.dims;

    if (dims == 0 || dims % 64 != 0 || dims > CRN_GRAPH_DIMS_MAX || dims != graph->frame.dims) {
        return crn_error_set(err, CAIRN_CORRUPT, "the graph's codes have %u dimensions, its frame %u", dims,
                             graph->frame.dims);
    }
    const struct crn_graph_layout layout = crn_graph_layout_of(dims);
    if (memcmp(&layout, &graph->layout, sizeof layout) != 0) {
        return crn_error_set(err, CAIRN_CORRUPT,
                             "the graph's rows of %u bytes are not laid out as those of %u dimensions",
                             graph->layout.row_bytes, dims);
    }
    if (graph->count > CRN_GRAPH_NODES_MAX) {
        return crn_error_set(err, CAIRN_CORRUPT, "the graph has %u nodes, more than %u", graph->count,
                             CRN_GRAPH_NODES_MAX);
    }
    if (graph->entry_blocks > CRN_GRAPH_ENTRY_BLOCKS || (graph->entry_blocks == 0) != (graph->count == 0)) {
        return crn_error_set(err, CAIRN_CORRUPT, "the graph of %u nodes has %u blocks of entries",
                             graph->count, graph->entry_blocks);
    }
    return CAIRN_OK;
}

cairn_status crn_graph_check(const struct crn_graph *graph, cairn_error *err)
{
    struct subject subject = {
        .layout = &graph->layout, .what = "entry block", .self = CRN_GRAPH_NO_NODE, .count = graph->count};
    uint32_t used;

    CRN_TRY(check_shape(graph, err));
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        subject.row = graph->entries + (size_t)b * graph->layout.row_bytes;
        subject.number = b;
        CRN_TRY(check_row(&subject, &used, err));
        if (used == 0 || (used < CRN_GRAPH_DEGREE && b + 1 < graph->entry_blocks)) {
            return crn_error_set(err, CAIRN_CORRUPT, "entry block %u of the graph names %u nodes", b, used);
        }
    }
    subject.what = "node";
    for (uint32_t node = 0; node < graph->count; node++) {
        subject.row = crn_graph_row(graph, node);
        subject.number = subject.self = node;
        CRN_TRY(check_row(&subject, &used, err));
    }
    return CAIRN_OK;
}
