#include "engine/view.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"

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
    if (bits != NULL && atomic_fetch_sub_explicit(&bits->references, 1, memory_order_acq_rel) == 1) crn_mem_free(bits);
}

static struct crn_bits *bits_retain(struct crn_bits *bits)
{
    if (bits != NULL) atomic_fetch_add_explicit(&bits->references, 1, memory_order_relaxed);
    return bits;
}

/* Makes *bits one's own, of at least word_count words. */
static cairn_status bits_own(struct crn_bits **bits, size_t word_count, cairn_error *err)
{
    struct crn_bits *old = *bits;

    if (old->word_count >= word_count && atomic_load_explicit(&old->references, memory_order_acquire) == 1) return CAIRN_OK;
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
    memcpy((char *)copy + begin, (const char *)view + begin, sizeof *view + view->part_count * sizeof *view->parts - begin);
    if (copy->tail != NULL) crn_tail_retain(copy->tail);
    bits_retain(copy->tail_dead);
    for (uint32_t i = 0; i < copy->part_count; i++) {
        crn_segment_retain(copy->parts[i].segment);
        bits_retain(copy->parts[i].live);
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
    crn_bits_release(view->tail_dead);
    crn_tail_release(view->tail);
    crn_mem_free(view);
}

uint64_t crn_view_rows(const struct crn_view *view)
{
    uint64_t rows = view->tail_count - view->tail_dead_count;

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

cairn_status crn_view_kill_tail(struct crn_view *view, uint32_t i, cairn_error *err)
{
    const size_t words = crn_bits_words(view->tail_count);

    if (view->tail_dead == NULL) {
        view->tail_dead = crn_bits_create(words);
        if (view->tail_dead == NULL) return crn_error_no_memory(err, words * sizeof(uint64_t));
    }
    if (i / 64 < view->tail_dead->word_count && crn_bits_get(view->tail_dead->words, i)) return CAIRN_OK;
    CRN_TRY(bits_own(&view->tail_dead, words, err));
    crn_bits_set(view->tail_dead->words, i);
    view->tail_dead_count++;
    return CAIRN_OK;
}

static cairn_status kill_in_parts(struct crn_view *view, uint32_t part_end, uint32_t local, cairn_error *err)
{
    for (uint32_t i = 0; i < part_end; i++) {
        const int64_t position = crn_segment_find(view->parts[i].segment, local);
        if (position >= 0) CRN_TRY(crn_view_kill(view, i, (uint32_t)position, err));
    }
    return CAIRN_OK;
}

cairn_status crn_view_kill_local(struct crn_view *view, uint32_t local, cairn_error *err)
{
    return kill_in_parts(view, view->part_count, local, err);
}

cairn_status crn_view_mask_parts(struct crn_view *view, cairn_error *err)
{
    for (uint32_t i = 1; i < view->part_count; i++) {
        const struct crn_segment *newer = view->parts[i].segment;
        for (uint32_t r = 0; r < newer->count; r++) CRN_TRY(kill_in_parts(view, i, newer->locals[r], err));
        for (uint32_t r = 0; r < newer->kill_count; r++) CRN_TRY(kill_in_parts(view, i, newer->kills[r], err));
    }
    return CAIRN_OK;
}
