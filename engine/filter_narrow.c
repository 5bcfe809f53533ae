/*
 * Filters by payload indexes: each condition on an indexed path becomes a set of locals, and the sets are
 * combined as the tree says. What no index can answer leaves a set larger than the truth, marked as not
 * exact, and never smaller.
 */
#include "engine/filter_rows.h"
#include "engine/filter_special.h"

#include "base/error.h"

#include <string.h>

/* Once so few rows are left it is cheaper to look at them than to read another index. */
#define FEW_ROWS 64u

struct narrowing {
    const struct crn_filter_source *source;
    const cairn_scope *scope; /* without filter */
    struct crn_rows *base;    /* its rows, once a negation has asked for them */
    cairn_error *err;
};

static cairn_status narrow_node(struct narrowing *narrowing, const struct crn_filter_node *node,
                                struct crn_filter_narrowed *out);

static const struct crn_filter_narrowed UNKNOWN = {.locals = NULL, .exact = false};

static void drop(struct crn_filter_narrowed *narrowed)
{
    if (narrowed->locals != NULL) roaring_bitmap_free(narrowed->locals);
    *narrowed = UNKNOWN;
}

static const struct crn_payload_index *find_index(const struct crn_catalog *catalog, const char *path)
{
    for (uint32_t i = 0; i < catalog->index_count; i++) {
        if (strcmp(catalog->indexes[i].path, path) == 0) return &catalog->indexes[i];
    }
    return NULL;
}

static cairn_status add_local(void *ctx, uint32_t local)
{
    roaring_bitmap_add(ctx, local);
    return CAIRN_OK;
}

static cairn_status new_set(struct narrowing *narrowing, roaring_bitmap_t **out_locals)
{
    *out_locals = roaring_bitmap_create();
    return *out_locals != NULL ? CAIRN_OK : crn_error_no_memory(narrowing->err, sizeof **out_locals);
}

/* Rows with a value within each bound; whether one value is within all of them is seen in the row. */
static cairn_status narrow_range(struct narrowing *narrowing, const struct crn_filter_node *node,
                                 uint32_t index, struct crn_filter_narrowed *out)
{
    const struct crn_value *values;
    const enum crn_compare *compares;
    size_t count;

    crn_filter_special_bounds(node->special, &values, &compares, &count);
    out->exact = count == 1;
    for (size_t i = 0; i < count; i++) {
        roaring_bitmap_t *one = NULL;
        CRN_TRY(new_set(narrowing, &one));
        const cairn_status status = crn_read_index(narrowing->source->reader, index, compares[i], &values[i],
                                                   add_local, one, narrowing->err);
        if (status == CAIRN_OK && i > 0) roaring_bitmap_and_inplace(out->locals, one);
        if (status == CAIRN_OK && i == 0) roaring_bitmap_or_inplace(out->locals, one);
        roaring_bitmap_free(one);
        if (status != CAIRN_OK) return status;
    }
    return count > 0 ? CAIRN_OK
                     : crn_read_index(narrowing->source->reader, index, CRN_ANY, NULL, add_local, out->locals,
                                      narrowing->err);
}

/* Reads one condition's rows from the index. */
static cairn_status read_condition(struct narrowing *narrowing, const struct crn_filter_node *node,
                                   uint32_t index, struct crn_filter_narrowed *out)
{
    struct crn_reader *reader = narrowing->source->reader;

    switch (node->kind) {
    case CRN_FILTER_COMPARE:
        out->exact = true;
        return crn_read_index(reader, index, node->compare, node->values, add_local, out->locals,
                              narrowing->err);
    case CRN_FILTER_IN:
        out->exact = true;
        for (size_t i = 0; i < node->value_count; i++) {
            CRN_TRY(crn_read_index(reader, index, CRN_EQ, &node->values[i], add_local, out->locals,
                                   narrowing->err));
        }
        return CAIRN_OK;
    case CRN_FILTER_CONTAINS:
        if (node->values->type !=
            CRN_VALUE_STRING) { /* an element, though perhaps no element but the value itself */
            return crn_read_index(reader, index, CRN_EQ, node->values, add_local, out->locals,
                                  narrowing->err);
        }
        return crn_read_index(reader, index, CRN_ANY, NULL, add_local, out->locals, narrowing->err);
    case CRN_FILTER_RANGE:
        return narrow_range(narrowing, node, index, out);
    case CRN_FILTER_EXISTS:
        out->exact = true;
        return crn_read_index(reader, index, CRN_ANY, NULL, add_local, out->locals, narrowing->err);
    default: /* something has to be there */
        return crn_read_index(reader, index, CRN_ANY, NULL, add_local, out->locals, narrowing->err);
    }
}

static cairn_status narrow_ids(struct narrowing *narrowing, const struct crn_filter_node *node,
                               struct crn_filter_narrowed *out)
{
    const struct crn_filter_source *source = narrowing->source;

    CRN_TRY(new_set(narrowing, &out->locals));
    out->exact = true;
    for (size_t i = 0; i < node->id_count; i++) {
        const struct crn_filter_id *id = &node->ids[i];
        uint32_t local = 0;
        const cairn_status status = crn_read_find(source->reader, source->catalog, id->type, id->text,
                                                  id->len, id->u64, &local, narrowing->err);
        if (status != CAIRN_OK) {
            drop(out);
            return status;
        }
        if (local != 0) roaring_bitmap_add(out->locals, local);
    }
    return CAIRN_OK;
}

static cairn_status narrow_condition(struct narrowing *narrowing, const struct crn_filter_node *node,
                                     struct crn_filter_narrowed *out)
{
    if (node->kind == CRN_FILTER_VECTOR || node->kind == CRN_FILTER_SLICE || node->kind == CRN_FILTER_MIN)
        return CAIRN_OK;
    const struct crn_payload_index *index = find_index(narrowing->source->catalog, node->path.text);

    if (index == NULL) return CAIRN_OK;
    CRN_TRY(new_set(narrowing, &out->locals));
    cairn_status status = read_condition(narrowing, node, index->id, out);
    if (status != CAIRN_OK) drop(out);
    return status;
}

static bool is_equality(const struct crn_filter_node *node)
{
    return node->kind == CRN_FILTER_IN || (node->kind == CRN_FILTER_COMPARE && node->compare == CRN_EQ);
}

/* Intersects with those children that are equalities, or with the others. */
static cairn_status narrow_all(struct narrowing *narrowing, const struct crn_filter_node *node,
                               bool equalities, struct crn_filter_narrowed *out)
{
    for (const struct crn_filter_node *child = node->first; child != NULL; child = child->next) {
        struct crn_filter_narrowed part = UNKNOWN;

        if (is_equality(child) != equalities) continue;
        if (out->locals != NULL && roaring_bitmap_get_cardinality(out->locals) <= FEW_ROWS) {
            out->exact = out->exact && roaring_bitmap_is_empty(out->locals);
            return CAIRN_OK;
        }
        CRN_TRY(narrow_node(narrowing, child, &part));
        out->exact = out->exact && part.exact;
        if (out->locals == NULL) {
            out->locals = part.locals;
        } else if (part.locals != NULL) {
            roaring_bitmap_and_inplace(out->locals, part.locals);
            drop(&part);
        }
    }
    return CAIRN_OK;
}

/* AND: any child narrows. Equalities go first, because they leave fewest rows and are read fastest. */
static cairn_status narrow_and(struct narrowing *narrowing, const struct crn_filter_node *node,
                               struct crn_filter_narrowed *out)
{
    out->exact = true;
    cairn_status status = narrow_all(narrowing, node, true, out);
    if (status == CAIRN_OK) status = narrow_all(narrowing, node, false, out);
    if (status != CAIRN_OK) drop(out);
    return status;
}

/* OR: every child has to narrow, else any row may match. */
static cairn_status narrow_or(struct narrowing *narrowing, const struct crn_filter_node *node,
                              struct crn_filter_narrowed *out)
{
    CRN_TRY(new_set(narrowing, &out->locals));
    out->exact = true;
    for (const struct crn_filter_node *child = node->first; child != NULL; child = child->next) {
        struct crn_filter_narrowed part = UNKNOWN;
        cairn_status status = narrow_node(narrowing, child, &part);

        if (status != CAIRN_OK || part.locals == NULL) {
            drop(out);
            return status;
        }
        out->exact = out->exact && part.exact;
        roaring_bitmap_or_inplace(out->locals, part.locals);
        drop(&part);
    }
    return CAIRN_OK;
}

/* NOT: all rows but the child's, if those are known exactly. */
static cairn_status narrow_not(struct narrowing *narrowing, const struct crn_filter_node *node,
                               struct crn_filter_narrowed *out)
{
    struct crn_filter_narrowed part = UNKNOWN;
    cairn_status status = narrow_node(narrowing, node->first, &part);

    if (status != CAIRN_OK || part.locals == NULL || !part.exact) goto done;
    if (narrowing->base == NULL) {
        const struct crn_filter_source *source = narrowing->source;
        status = crn_scope_rows(source->cache, source->reader, source->catalog, narrowing->scope,
                                &narrowing->base, narrowing->err);
        if (status != CAIRN_OK) goto done;
    }
    out->locals = roaring_bitmap_andnot(narrowing->base->locals, part.locals);
    out->exact = true;
    if (out->locals == NULL) status = crn_error_no_memory(narrowing->err, sizeof *out->locals);

done:
    drop(&part);
    return status;
}

static cairn_status narrow_node(struct narrowing *narrowing, const struct crn_filter_node *node,
                                struct crn_filter_narrowed *out)
{
    *out = UNKNOWN;
    switch (node->kind) {
    case CRN_FILTER_AND:
        return narrow_and(narrowing, node, out);
    case CRN_FILTER_OR:
        return narrow_or(narrowing, node, out);
    case CRN_FILTER_NOT:
        return narrow_not(narrowing, node, out);
    case CRN_FILTER_IDS:
        return narrow_ids(narrowing, node, out);
    default:
        return narrow_condition(narrowing, node, out);
    }
}

cairn_status crn_filter_narrow(const struct crn_filter_source *source, const cairn_scope *scope,
                               const struct crn_filter *filter, struct crn_filter_narrowed *out_narrowed,
                               cairn_error *err)
{
    cairn_scope unfiltered = *scope;
    struct narrowing narrowing = {.source = source, .scope = &unfiltered, .err = err};

    unfiltered.filter = NULL;
    cairn_status status = narrow_node(&narrowing, filter->root, out_narrowed);
    crn_rows_release(narrowing.base);
    return status;
}
