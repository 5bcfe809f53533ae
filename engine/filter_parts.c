/* A set of rows, made ready for segments (filter_parts.h). */
#include "engine/filter_parts.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/filter_bits.h"

#include <string.h>

static void free_part(struct crn_filter_part *part)
{
    if (part == NULL) return;
    struct crn_index_filter *filter =
        atomic_load_explicit(&part->filter, memory_order_relaxed); /* nobody else has it any more */
    if (filter != NULL) part->filter_free(filter);
    crn_mem_free(part->allow);
    crn_mem_free(part);
}

/* Files are never changed, and their names never used again. */
static bool is_of(const struct crn_filter_part *part, const struct crn_segment_entry *entry)
{
    return strcmp(part->of.file, entry->file) == 0 && strcmp(part->of.index_file, entry->index_file) == 0;
}

static struct crn_filter_part *find(const struct crn_filter_parts *parts,
                                    const struct crn_segment_entry *entry)
{
    /* Acquire: what is in the list was written before it was put there. */
    struct crn_filter_part *part = atomic_load_explicit(&parts->first, memory_order_acquire);

    while (part != NULL && !is_of(part, entry)) part = part->next;
    return part;
}

static cairn_status make(const roaring_bitmap_t *locals, const struct crn_segment *segment,
                         struct crn_filter_part **out_part, cairn_error *err)
{
    const size_t words = crn_bits_words(segment->count);
    struct crn_filter_part *part = crn_mem_calloc(1, sizeof *part);
    cairn_status status;

    if (part != NULL) part->allow = crn_mem_array(words, sizeof *part->allow);
    if (part == NULL || part->allow == NULL) {
        status = crn_error_no_memory(err, words * sizeof *part->allow);
    } else {
        part->of = segment->entry;
        part->filter_free = segment->index_ops == NULL ? NULL : segment->index_ops->filter_free;
        status = crn_filter_bits(locals, segment->locals, segment->count, part->allow, err);
    }
    if (status != CAIRN_OK) {
        free_part(part);
        return status;
    }
    part->allowed = crn_bits_count(part->allow, words);
    *out_part = part;
    return CAIRN_OK;
}

cairn_status crn_filter_parts_get(struct crn_filter_parts *parts, const roaring_bitmap_t *locals,
                                  const struct crn_segment *segment, struct crn_filter_part **out_part,
                                  cairn_error *err)
{
    *out_part = find(parts, &segment->entry);
    if (*out_part != NULL || segment->count > CRN_FILTER_PART_ROWS_MAX) return CAIRN_OK;
    /* Relaxed: only a bound. Two threads that miss at once both make one; either will do. */
    if (atomic_fetch_add_explicit(&parts->count, 1, memory_order_relaxed) >= CRN_FILTER_PARTS_MAX) {
        atomic_fetch_sub_explicit(&parts->count, 1, memory_order_relaxed);
        return CAIRN_OK;
    }
    struct crn_filter_part *part = NULL;
    CRN_TRY(make(locals, segment, &part, err));
    part->next = atomic_load_explicit(&parts->first, memory_order_relaxed);
    /* Release: who finds the part sees all of it. */
    while (!atomic_compare_exchange_weak_explicit(&parts->first, &part->next, part, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    *out_part = part;
    return CAIRN_OK;
}

const struct crn_index_filter *crn_filter_part_of_index(struct crn_filter_part *part,
                                                        const struct crn_segment *segment,
                                                        const struct crn_index *index)
{
    /* Acquire: what the thread that made it wrote is seen. */
    struct crn_index_filter *filter = atomic_load_explicit(&part->filter, memory_order_acquire), *none = NULL;

    if (filter != NULL || segment->index_ops->filter_create == NULL) return filter;
    filter = segment->index_ops->filter_create(index, part->allow);
    if (filter == NULL) return NULL;
    if (atomic_compare_exchange_strong_explicit(&part->filter, &none, filter, memory_order_acq_rel,
                                                memory_order_acquire))
        return filter;
    segment->index_ops->filter_free(filter); /* another search was faster */
    return none;
}

size_t crn_filter_parts_bytes(uint32_t most)
{
    return most > CRN_FILTER_PART_ROWS_MAX ? 0 : (size_t)most / 8 * 2;
}

void crn_filter_parts_release(struct crn_filter_parts *parts)
{
    struct crn_filter_part *part =
        atomic_load_explicit(&parts->first, memory_order_relaxed); /* nobody else has it any more */

    while (part != NULL) {
        struct crn_filter_part *next = part->next;
        free_part(part);
        part = next;
    }
    atomic_store_explicit(&parts->first, NULL, memory_order_relaxed);
}
