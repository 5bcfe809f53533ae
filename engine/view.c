#include "engine/view.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

struct crn_bits *crn_bits_create(size_t word_count)
{
    struct crn_bits *bits = crn_mem_calloc(1, sizeof *bits + word_count * sizeof *bits->words);

    if (bits == NULL) return NULL;
    atomic_init(&bits->references, 1);
    bits->word_count = word_count;
    return bits;
}

void crn_bits_release(struct crn_bits *bits)
{
    if (bits != NULL && atomic_fetch_sub_explicit(&bits->references, 1, memory_order_acq_rel) == 1)
        crn_mem_free(bits);
}

struct crn_bits *crn_bits_retain(struct crn_bits *bits)
{
    /* Relaxed: whoever retains holds a reference already. */
    if (bits != NULL) atomic_fetch_add_explicit(&bits->references, 1, memory_order_relaxed);
    return bits;
}

/* Makes *bits one's own, of at least word_count words. */
static cairn_status bits_own(struct crn_bits **bits, size_t word_count, cairn_error *err)
{
    struct crn_bits *old = *bits;

    if (old->word_count >= word_count && atomic_load_explicit(&old->references, memory_order_acquire) == 1)
        return CAIRN_OK;
    const size_t words = old->word_count > word_count ? old->word_count : word_count;
    struct crn_bits *copy = crn_bits_create(words);
    if (copy == NULL) return crn_error_no_memory(err, words * sizeof *copy->words);
    memcpy(copy->words, old->words, old->word_count * sizeof *copy->words);
    crn_bits_release(old);
    *bits = copy;
    return CAIRN_OK;
}

struct crn_view *crn_view_create(uint32_t part_count)
{
    struct crn_view *view = crn_mem_calloc(1, sizeof *view + part_count * sizeof *view->parts);

    if (view == NULL) return NULL;
    atomic_init(&view->references, 1);
    view->next_expiry_ms = INT64_MAX;
    view->part_count = part_count;
    return view;
}

struct crn_view *crn_view_copy(const struct crn_view *view)
{
    /* All but the reference count, which others change meanwhile. */
    const size_t begin = offsetof(struct crn_view, sequence);
    struct crn_view *copy = crn_view_create(view->part_count);

    if (copy == NULL) return NULL;
    memcpy((char *)copy + begin, (const char *)view + begin,
           sizeof *view + view->part_count * sizeof *view->parts - begin);
    for (uint32_t t = 0; t < copy->tail_count; t++) {
        crn_tail_retain(copy->tails[t].tail);
        crn_bits_retain(copy->tails[t].dead);
    }
    for (uint32_t i = 0; i < copy->part_count; i++) {
        crn_segment_retain(copy->parts[i].segment);
        crn_bits_retain(copy->parts[i].live);
    }
    return copy;
}

void crn_view_retain(struct crn_view *view)
{
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
}

void crn_view_release(struct crn_view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < view->part_count; i++) {
        crn_bits_release(view->parts[i].live);
        crn_segment_release(view->parts[i].segment);
    }
    for (uint32_t t = 0; t < view->tail_count; t++) {
        crn_bits_release(view->tails[t].dead);
        crn_tail_release(view->tails[t].tail);
    }
    crn_mem_free(view);
}

cairn_status crn_view_add_tail(struct crn_view *view, uint32_t dim, cairn_error *err)
{
    if (view->tail_count == CRN_VIEW_TAILS_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a view has %u tails already", view->tail_count);
    }
    struct crn_tail *tail = crn_tail_create(dim);
    if (tail == NULL) return crn_error_no_memory(err, sizeof *tail);
    view->tails[view->tail_count++] = (struct crn_view_tail){.tail = tail, .since = view->sequence};
    return CAIRN_OK;
}

uint32_t crn_view_tail_rows(const struct crn_view *view)
{
    uint32_t rows = 0;

    for (uint32_t t = 0; t < view->tail_count; t++) rows += view->tails[t].count;
    return rows;
}

uint64_t crn_view_rows(const struct crn_view *view)
{
    uint64_t rows = 0;

    for (uint32_t t = 0; t < view->tail_count; t++) {
        rows += view->tails[t].count - view->tails[t].dead_count;
    }
    for (uint32_t i = 0; i < view->part_count; i++) rows += view->parts[i].live_count;
    return rows;
}

cairn_status crn_view_kill(struct crn_view *view, uint32_t part_number, uint32_t position, cairn_error *err)
{
    struct crn_view_part *part = &view->parts[part_number];
    const uint32_t count = part->segment->count;

    if (part->live == NULL) {
        part->live = crn_bits_create(crn_bits_words(count));
        if (part->live == NULL) return crn_error_no_memory(err, count / 8);
        crn_bits_fill(part->live->words, count);
    }
    if (!crn_bits_get(part->live->words, position)) return CAIRN_OK;
    CRN_TRY(bits_own(&part->live, part->live->word_count, err));
    crn_bits_clear(part->live->words, position);
    part->live_count--;
    return CAIRN_OK;
}

cairn_status crn_view_kill_tail(struct crn_view *view, uint32_t tail_number, uint32_t i, cairn_error *err)
{
    struct crn_view_tail *tail = &view->tails[tail_number];
    const size_t words = crn_bits_words(tail->count);

    if (!crn_view_tail_alive(tail, i)) return CAIRN_OK;
    if (tail->dead == NULL) {
        tail->dead = crn_bits_create(words);
        if (tail->dead == NULL) return crn_error_no_memory(err, words * sizeof(uint64_t));
    }
    CRN_TRY(bits_own(&tail->dead, words, err));
    crn_bits_set(tail->dead->words, i);
    tail->dead_count++;
    return CAIRN_OK;
}

cairn_status crn_view_kill_local(struct crn_view *view, uint32_t local, cairn_error *err)
{
    for (uint32_t i = 0; i < view->part_count; i++) {
        const int64_t position = crn_segment_find(view->parts[i].segment, local);
        if (position >= 0) CRN_TRY(crn_view_kill(view, i, (uint32_t)position, err));
    }
    return CAIRN_OK;
}

cairn_status crn_view_kill_in_tails(struct crn_view *view, uint32_t local, cairn_error *err)
{
    uint32_t position;

    for (uint32_t t = 0; t < view->tail_count; t++) {
        const struct crn_view_tail *tail = &view->tails[t];
        if (!crn_tail_find(tail->tail, local, &position) || position >= tail->count) continue;
        CRN_TRY(crn_view_kill_tail(view, t, position, err));
    }
    return CAIRN_OK;
}

static cairn_status mask_local(struct crn_view *view, uint32_t newer, uint32_t local, cairn_error *err)
{
    for (uint32_t i = 0; i < newer; i++) {
        const int64_t position = crn_segment_find(view->parts[i].segment, local);
        if (position >= 0) CRN_TRY(crn_view_kill(view, i, (uint32_t)position, err));
    }
    return CAIRN_OK;
}

/* Those of the ascending locals that an older part may hold. */
static cairn_status mask_locals(struct crn_view *view, uint32_t newer, const uint32_t *locals, uint32_t count,
                                cairn_error *err)
{
    uint32_t last = 0, i = 0;

    for (uint32_t p = 0; p < newer; p++) {
        const struct crn_segment *part = view->parts[p].segment;
        if (part->count != 0 && part->locals[part->count - 1] > last) last = part->locals[part->count - 1];
    }
    /* New rows mostly have numbers above all older ones. */
    for (; i < count && locals[i] <= last; i++) CRN_TRY(mask_local(view, newer, locals[i], err));
    return CAIRN_OK;
}

cairn_status crn_view_mask_parts(struct crn_view *view, cairn_error *err)
{
    for (uint32_t i = 0; i < view->part_count; i++) {
        const struct crn_segment *newer = view->parts[i].segment;
        CRN_TRY(mask_locals(view, i, newer->locals, newer->count, err));
        CRN_TRY(mask_locals(view, i, newer->kills, newer->kill_count, err));
    }
    return CAIRN_OK;
}
