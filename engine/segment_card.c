#include "engine/segment_card.h"

#include "engine/card.h"
#include "engine/index_gpu.h"
#include "engine/segment.h"

#define RELAXED memory_order_relaxed

/* index_mutex held. */
static void upload_once(struct crn_segment *segment)
{
    struct crn_segment_card *card = &segment->card;
    const struct crn_index_rows rows = {.vectors = segment->vectors,
                                        .count = segment->count,
                                        .dim = segment->dim,
                                        .op = segment->op,
                                        .log = segment->log,
                                        .file = segment->file};
    struct crn_index *index = NULL;
    cairn_error ignored;

    if (atomic_load_explicit(&card->rows, RELAXED) != NULL || atomic_load_explicit(&card->failed, RELAXED))
        return;
    /* Damaged rows are found again by the scan that takes place instead. */
    if (crn_derived_verify(segment->file, segment->vectors,
                           (size_t)segment->count * segment->dim * sizeof(float), &ignored) == CAIRN_OK)
        index = crn_index_gpu_of_rows(&rows);
    if (index == NULL) atomic_store_explicit(&card->failed, true, RELAXED);
    /* Release: who sees the pointer sees the index. */
    atomic_store_explicit(&card->rows, index, memory_order_release);
}

bool crn_segment_card_is_quicker(const struct crn_segment_card *card, size_t allowed)
{
    const uint64_t row_ps = atomic_load_explicit(&card->row_ps, RELAXED),
                   search_ns = atomic_load_explicit(&card->search_ns, RELAXED);

    if (atomic_load_explicit(&card->tries, RELAXED) < CRN_CARD_TRIES) return true;
    return (double)search_ns < (double)row_ps * (double)allowed / 1000;
}

/* The planner's choice. */
static bool is_worth_it(struct crn_segment *segment, size_t allowed, bool uploaded)
{
    struct crn_segment_card *card = &segment->card;

    if (!crn_card_ready() || segment->index_ops == &crn_index_gpu) return false;
    if (uploaded) return crn_segment_card_is_quicker(card, allowed);
    const uint64_t scanned = atomic_fetch_add_explicit(&card->scanned_rows, allowed, RELAXED);
    return scanned >= (uint64_t)segment->count * CRN_CARD_SCANS;
}

struct crn_index *crn_segment_card(struct crn_segment *segment, cairn_device device, size_t allowed)
{
    struct crn_index *rows = atomic_load_explicit(&segment->card.rows, memory_order_acquire);

    if (device == CAIRN_DEVICE_CPU || atomic_load_explicit(&segment->card.failed, RELAXED)) return NULL;
    if (device == CAIRN_DEVICE_DEFAULT && !is_worth_it(segment, allowed, rows != NULL)) return NULL;
    if (rows != NULL) return rows;
    /* One thread uploads. Who asked for the GPU waits for it; the others go on comparing. */
    if (device == CAIRN_DEVICE_GPU) {
        pthread_mutex_lock(&segment->index_mutex);
    } else if (pthread_mutex_trylock(&segment->index_mutex) != 0) {
        return NULL;
    }
    upload_once(segment);
    pthread_mutex_unlock(&segment->index_mutex);
    return atomic_load_explicit(&segment->card.rows, memory_order_acquire);
}

static void note_least(_Atomic uint64_t *least, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(least, RELAXED);

    if (value == 0) value = 1; /* 0 is "not measured" */
    while ((seen == 0 || value < seen) &&
           !atomic_compare_exchange_weak_explicit(least, &seen, value, RELAXED, RELAXED)) {
    }
}

void crn_segment_card_note_search(struct crn_segment *segment, uint64_t ns)
{
    note_least(&segment->card.search_ns, ns);
    atomic_fetch_add_explicit(&segment->card.tries, 1, RELAXED);
}

void crn_segment_card_note_scan(struct crn_segment *segment, size_t rows, uint64_t ns)
{
    /* Few of many rows lie in caches, or far apart: they tell nothing of all. */
    if (rows >= segment->count / 2 + 1) note_least(&segment->card.row_ps, ns * 1000 / rows);
}

void crn_segment_card_release(struct crn_segment *segment)
{
    struct crn_index *rows = atomic_load_explicit(&segment->card.rows, RELAXED);

    if (rows != NULL) crn_index_gpu.close(rows);
}
