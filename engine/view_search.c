#include "engine/view_search.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/card.h"
#include "engine/filter_bits.h"
#include "engine/quantized_scan.h"
#include "quant/flat_scan.h"

#include <stdlib.h>
#include <string.h>

/* For indexes that do not choose themselves: a filter that leaves fewer rows than this, or a smaller share of the segment than one in SCAN_SHARE, is answered by
 * comparing the rows it leaves: an index would walk through mostly forbidden ones. */
#define SCAN_ROWS 2048u
#define SCAN_SHARE 20u
#define SCAN_AT_ONCE 64u       /* fewer rows are compared at once, whatever the index */
#define PIECE_BYTES (4u << 20) /* scanned between two looks at the clock */

struct search {
    const struct crn_live_space *space;
    const struct crn_view *view;
    const struct crn_view_query *query;
    struct crn_view_answer *answer;
    struct crn_topk top;
    uint64_t *allow; /* scratch bitmap for the largest part or tail; NULL: none is needed */
    cairn_error *err;
};

static cairn_status check_deadline(const struct search *search)
{
    if (search->query->deadline_ns == 0 || crn_clock_ns() < search->query->deadline_ns) return CAIRN_OK;
    return crn_error_set(search->err, CAIRN_TIMEOUT, "the search did not end within its time");
}

/* ---- which positions may be returned ---- */

/* Positions of a part that may be returned. */
struct allowed {
    const uint64_t *words; /* NULL: all */
    size_t count;
    struct crn_filter_part *kept; /* where they are from, and all of it is alive; else NULL */
};

static cairn_status allowed_of_part(struct search *search, const struct crn_view_part *part,
                                    struct allowed *out)
{
    const struct crn_segment *segment = part->segment;
    const size_t words = crn_bits_words(segment->count);
    struct crn_filter_part *kept = NULL;

    *out =
        (struct allowed){.words = part->live == NULL ? NULL : part->live->words, .count = part->live_count};
    if (search->query->filter == NULL || segment->count == 0) return CAIRN_OK;
    if (search->query->parts != NULL) {
        CRN_TRY(
            crn_filter_parts_get(search->query->parts, search->query->filter, segment, &kept, search->err));
    }
    if (kept != NULL && part->live == NULL) {
        *out = (struct allowed){.words = kept->allow, .count = kept->allowed, .kept = kept};
        return CAIRN_OK;
    }
    if (kept == NULL)
        CRN_TRY(crn_filter_bits(search->query->filter, segment->locals, segment->count, search->allow,
                                search->err));
    for (size_t w = 0; part->live != NULL && w < words; w++) {
        search->allow[w] = (kept == NULL ? search->allow[w] : kept->allow[w]) & part->live->words[w];
    }
    *out = (struct allowed){.words = search->allow, .count = crn_bits_count(search->allow, words)};
    return CAIRN_OK;
}

/* ---- scanning ---- */

static cairn_status verify_rows(const struct crn_segment *segment, const void *rows, size_t row_bytes,
                                size_t begin, size_t count, cairn_error *err)
{
    return crn_derived_verify(segment->file, (const char *)rows + begin * row_bytes, count * row_bytes, err);
}

/* Rows a piece; a multiple of 64, so that a piece's bits begin a word. */
static size_t piece_rows(size_t row_bytes)
{
    const size_t rows = PIECE_BYTES / row_bytes;
    return rows < 64 ? 64 : rows / 64 * 64;
}

static bool any_allowed(const uint64_t *allow, size_t begin, size_t count)
{
    if (allow == NULL) return true;
    for (size_t w = begin / 64; w < crn_bits_words(begin + count); w++) {
        if (allow[w] != 0) return true;
    }
    return false;
}

static cairn_status scan_vectors(struct search *search, const struct crn_segment *segment,
                                 const uint64_t *allow, uint64_t base)
{
    const size_t row_bytes = segment->dim * sizeof(float), step = piece_rows(row_bytes);

    for (size_t begin = 0; begin < segment->count; begin += step) {
        const size_t count = segment->count - begin < step ? segment->count - begin : step;
        if (!any_allowed(allow, begin, count)) continue;
        CRN_TRY(check_deadline(search));
        CRN_TRY(verify_rows(segment, segment->vectors, row_bytes, begin, count, search->err));
        crn_flat_scan_f32(search->space->op, search->query->vector, segment->vectors + begin * segment->dim,
                          segment->dim, count, base + begin, allow == NULL ? NULL : allow + begin / 64,
                          &search->top);
    }
    return CAIRN_OK;
}

/* ---- parts ---- */

/* Asks the segment's index, or its rows on the card, which have the gpu backend's functions. */
static cairn_status search_index(struct search *search, struct crn_segment *segment,
                                 const struct crn_index_ops *ops, const struct crn_index *index,
                                 const struct allowed *allowed, uint64_t base, bool *out_enough)
{
    const bool own = ops == segment->index_ops;
    bool on_card = false, declined = false;
    struct crn_index_query query = {.vector = search->query->vector,
                                    .k = search->query->k,
                                    .allow = allowed->words,
                                    .allowed = allowed->count,
                                    .filter = allowed->kept == NULL || !own
                                                  ? NULL
                                                  : crn_filter_part_of_index(allowed->kept, segment, index),
                                    .ef = search->query->ef,
                                    .nprobe = search->query->nprobe,
                                    .recall = search->query->recall,
                                    .processor_only = search->query->device == CAIRN_DEVICE_CPU,
                                    .on_card = &on_card,
                                    .declined = &declined};
    struct crn_hit *hits = crn_mem_array(query.k, sizeof *hits);
    struct crn_topk top;

    if (search->top.count == query.k) {
        query.limited = true;
        query.limit = crn_topk_limit(&search->top);
    }
    if (hits == NULL) return crn_error_no_memory(search->err, query.k * sizeof *hits);
    crn_topk_init(&top, hits, query.k);
    cairn_error cause;
    cairn_status status = ops->search(index, &query, &top, &cause);
    if (status == CAIRN_CORRUPT) {
        /* Scanning answers meanwhile, and finds out whether it is the rows that are damaged. */
        crn_segment_distrust_index(segment, cause.message);
        crn_mem_free(hits);
        *out_enough = false;
        return CAIRN_OK;
    }
    if (status != CAIRN_OK) crn_error_set(search->err, status, "%s", cause.message);
    *out_enough =
        (query.limited && !declined) || top.count >= (allowed->count < query.k ? allowed->count : query.k);
    if (status == CAIRN_OK && *out_enough) {
        search->answer->used_card |= on_card;
        for (size_t i = 0; i < top.count; i++)
            crn_topk_push(&search->top, hits[i].distance, base + hits[i].label);
    }
    crn_mem_free(hits);
    return status;
}

static bool asks_index(const struct search *search, const struct crn_segment *segment, size_t allowed)
{
    if (search->query->filter == NULL) return true;
    if (segment->index_ops != NULL && segment->index_ops->filters) return allowed >= SCAN_AT_ONCE;
    return allowed >= SCAN_ROWS && allowed * SCAN_SHARE >= segment->count;
}

/* Compares all allowed rows on the card. *out_enough: it did. */
static cairn_status search_card(struct search *search, struct crn_segment *segment,
                                const struct allowed *allowed, uint64_t base, bool *out_enough)
{
    struct crn_index *rows = crn_segment_card(segment, search->query->device, allowed->count);

    *out_enough = false;
    if (rows == NULL) return CAIRN_OK;
    const uint64_t begin_ns = crn_clock_ns();
    CRN_TRY(search_index(search, segment, &crn_index_gpu, rows, allowed, base, out_enough));
    if (!*out_enough) return CAIRN_OK;
    crn_segment_card_note_search(segment, crn_clock_ns() - begin_ns);
    search->answer->rows_scored += allowed->count;
    return CAIRN_OK;
}

static cairn_status scan_part(struct search *search, struct crn_segment *segment,
                              const struct allowed *allowed, uint64_t base)
{
    const struct crn_quantized_query query = {.op = search->space->op,
                                              .vector = search->query->vector,
                                              .k = search->query->k,
                                              .oversampling = search->query->oversampling,
                                              .allow = allowed->words,
                                              .deadline_ns = search->query->deadline_ns,
                                              .base = base};
    const uint64_t begin_ns = crn_card_ready() ? crn_clock_ns() : 0;

    search->answer->rows_scored += allowed->count;
    CRN_TRY(segment->codec != NULL && !search->query->exact
                ? crn_quantized_scan(segment, &query, &search->top, search->err)
                : scan_vectors(search, segment, allowed->words, base));
    if (begin_ns != 0) crn_segment_card_note_scan(segment, allowed->count, crn_clock_ns() - begin_ns);
    return CAIRN_OK;
}

static cairn_status search_part(struct search *search, uint32_t number)
{
    const struct crn_view_part *part = &search->view->parts[number];
    struct crn_segment *segment = part->segment;
    const uint64_t base = (uint64_t)number << 32;
    const bool codes = segment->codec != NULL && !search->query->exact;
    const size_t row_bytes =
        codes ? crn_codec_row_bytes(segment->codec, segment->dim) : segment->dim * sizeof(float);
    const bool on_card = segment->index_ops == &crn_index_gpu && !search->query->exact;
    struct allowed allowed;
    bool enough = false;

    CRN_TRY(allowed_of_part(search, part, &allowed));
    search->answer->rows_matched += allowed.count;
    if (allowed.count == 0) return CAIRN_OK;
    if (search->query->device == CAIRN_DEVICE_GPU) {
        if (on_card) {
            if (atomic_load_explicit(&segment->index, memory_order_acquire) == NULL)
                crn_segment_open_index(segment);
        } else {
            CRN_TRY(search_card(search, segment, &allowed, base, &enough));
            if (enough) return CAIRN_OK;
        }
    }
    if (!search->query->exact && asks_index(search, segment, allowed.count)) {
        const struct crn_index *index = crn_segment_index(segment, allowed.count * row_bytes);
        if (index != NULL)
            CRN_TRY(search_index(search, segment, segment->index_ops, index, &allowed, base, &enough));
        search->answer->used_index |= enough;
        if (enough) return CAIRN_OK;
    }
    if (search->query->device == CAIRN_DEVICE_DEFAULT) {
        CRN_TRY(search_card(search, segment, &allowed, base, &enough));
        if (enough) return CAIRN_OK;
    }
    return scan_part(search, segment, &allowed, base);
}

/* The bits of the tail's rows begin..end-1 that may be returned, counted from the start of their chunk. */
static size_t allow_chunk(const struct search *search, const struct crn_view_tail *tail, uint32_t begin,
                          uint32_t end, uint64_t *allow)
{
    const uint32_t rows = tail->tail->chunk_rows;
    const struct crn_tail_chunk *chunk = crn_tail_chunk_of(tail->tail, begin);
    const size_t words = crn_bits_words((end - 1) % rows + 1);

    memset(allow, 0, words * sizeof *allow);
    for (uint32_t i = begin; i < end; i++) {
        if (!crn_view_tail_alive(tail, i)) continue;
        if (search->query->filter != NULL &&
            !roaring_bitmap_contains(search->query->filter, chunk->locals[i % rows]))
            continue;
        crn_bits_set(allow, i % rows);
    }
    return crn_bits_count(allow, words);
}

/* Compares the tail's rows from..count-1. */
static cairn_status scan_tail(struct search *search, uint32_t number, uint32_t from)
{
    const struct crn_view_tail *tail = &search->view->tails[number];
    const uint32_t rows = tail->tail->chunk_rows;
    const bool all = tail->dead_count == 0 && search->query->filter == NULL;
    const uint64_t base = (uint64_t)(search->view->part_count + number) << 32;
    uint64_t allow[4096 / 64]; /* a chunk has at most 4096 rows (tail.c) */

    for (uint32_t begin = from, end; begin < tail->count; begin = end) {
        const struct crn_tail_chunk *chunk = crn_tail_chunk_of(tail->tail, begin);
        const uint32_t first = begin - begin % rows;
        end = tail->count - first < rows ? tail->count : first + rows;
        const bool whole = all && begin == first;
        const size_t allowed = whole ? end - begin : allow_chunk(search, tail, begin, end, allow);
        search->answer->rows_matched += allowed;
        search->answer->rows_scored += allowed;
        if (allowed == 0) continue;
        CRN_TRY(check_deadline(search));
        crn_flat_scan_f32(search->space->op, search->query->vector, chunk->vectors, tail->tail->dim,
                          end - first, base + first, whole ? NULL : allow, &search->top);
    }
    return CAIRN_OK;
}

/* The bits of the tail's rows before `count` that may be found, in search->allow; NULL: all. */
static const uint64_t *allowed_of_tail(struct search *search, const struct crn_view_tail *tail,
                                       uint32_t count, size_t *out_allowed)
{
    const size_t words = crn_bits_words(tail->count);
    const struct crn_bits *dead = tail->dead;
    uint64_t *allow = search->allow;

    *out_allowed = count;
    if (tail->dead_count == 0 && search->query->filter == NULL) return NULL;
    memset(allow, 0, words * sizeof *allow);
    crn_bits_fill(allow, count);
    for (size_t w = 0; dead != NULL && w < words && w < dead->word_count; w++) allow[w] &= ~dead->words[w];
    for (uint32_t i = 0; search->query->filter != NULL && i < count; i++) {
        if (!roaring_bitmap_contains(search->query->filter, crn_tail_local(tail->tail, i)))
            crn_bits_clear(allow, i);
    }
    *out_allowed = crn_bits_count(allow, words);
    return allow;
}

/* Walks the graph for the rows before *out_end. False: there is none, or comparing them is the better way. */
static bool walk_tail(struct search *search, uint32_t number, uint32_t *out_end)
{
    const struct crn_view_tail *tail = &search->view->tails[number];
    const uint32_t inserted = crn_tail_graph_inserted(tail->tail),
                   nodes = inserted < tail->count ? inserted : tail->count;
    const uint32_t newest = number + 1 == search->view->tail_count ? CRN_TAIL_GRAPH_NEWEST
                                                                   : 0; /* nothing is added to the others */
    const uint32_t old = tail->count < newest ? 0 : tail->count - newest, end = nodes < old ? nodes : old;
    struct crn_tail_graph_ask ask = {.vector = search->query->vector,
                                     .k = search->query->k,
                                     .ef = search->query->ef,
                                     .nodes = nodes,
                                     .count = end,
                                     .label = (uint64_t)(search->view->part_count + number) << 32};

    if (search->query->exact || end < CRN_TAIL_GRAPH_ROWS) return false;
    ask.allow = allowed_of_tail(search, tail, end, &ask.allowed);
    if (ask.allowed < CRN_TAIL_GRAPH_ROWS || !crn_tail_graph_search(tail->tail, &ask, &search->top))
        return false;
    search->answer->rows_matched += ask.allowed;
    search->answer->used_index = true;
    *out_end = end;
    return true;
}

static cairn_status search_tail(struct search *search, uint32_t number)
{
    uint32_t from = 0;

    CRN_TRY(check_deadline(search));
    (void)walk_tail(search, number, &from);
    return scan_tail(search, number, from);
}

/* ---- the whole ---- */

static int by_distance_and_local(const void *a, const void *b)
{
    const struct crn_found *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->local < y->local ? -1 : x->local > y->local;
}

/* What collect and then crn_view_id read of the hits, all at once: each lies in pages of its own. */
static void fetch_locals(const struct crn_view *view, const struct crn_topk *top)
{
    for (size_t i = 0; i < top->count; i++) {
        const uint32_t part = (uint32_t)(top->hits[i].label >> 32), position = (uint32_t)top->hits[i].label;
        if (part >= view->part_count) continue;
        __builtin_prefetch(&view->parts[part].segment->locals[position]);
        __builtin_prefetch(&view->parts[part].segment->id_offsets[position]);
    }
}

static void fetch_ids(const struct crn_view *view, const struct crn_topk *top)
{
    for (size_t i = 0; i < top->count; i++) {
        const uint32_t part = (uint32_t)(top->hits[i].label >> 32), position = (uint32_t)top->hits[i].label;
        if (part >= view->part_count) continue;
        const struct crn_segment *segment = view->parts[part].segment;
        __builtin_prefetch(segment->id_bytes + segment->id_offsets[position]);
    }
}

static void collect(const struct search *search)
{
    const struct crn_view *view = search->view;
    struct crn_found *found = search->answer->found;

    fetch_locals(view, &search->top);
    fetch_ids(view, &search->top);
    for (size_t i = 0; i < search->top.count; i++) {
        found[i].distance = search->top.hits[i].distance;
        found[i].part = (uint32_t)(search->top.hits[i].label >> 32);
        found[i].position = (uint32_t)search->top.hits[i].label;
        found[i].local =
            found[i].part >= view->part_count
                ? crn_tail_local(view->tails[found[i].part - view->part_count].tail, found[i].position)
                : view->parts[found[i].part].segment->locals[found[i].position];
    }
    search->answer->count = search->top.count;
    qsort(found, search->answer->count, sizeof *found, by_distance_and_local);
}

/* Positions of the largest part or tail whose allowed rows are no bitmap yet. */
static size_t largest_bitmap(const struct crn_view *view, bool filtered)
{
    size_t largest = 0;

    for (uint32_t t = 0; t < view->tail_count; t++) {
        const struct crn_view_tail *tail = &view->tails[t];
        const bool all = !filtered && tail->dead_count == 0;
        if (!all && tail->count > largest) largest = tail->count;
    }
    for (uint32_t i = 0; filtered && i < view->part_count; i++) {
        if (view->parts[i].segment->count > largest) largest = view->parts[i].segment->count;
    }
    return largest;
}

cairn_status crn_view_search(const struct crn_live_space *space, const struct crn_view *view,
                             const struct crn_view_query *query, struct crn_view_answer *answer,
                             cairn_error *err)
{
    struct search search = {.space = space, .view = view, .query = query, .answer = answer, .err = err};
    const size_t words = crn_bits_words(largest_bitmap(view, query->filter != NULL));
    struct crn_hit *hits = crn_mem_array(query->k, sizeof *hits);
    cairn_status status = CAIRN_OK;

    answer->count = 0;
    answer->rows_matched = answer->rows_scored = 0;
    answer->used_index = answer->used_card = false;
    if (words != 0) search.allow = crn_mem_array(words, sizeof *search.allow);
    if (hits == NULL || (words != 0 && search.allow == NULL)) {
        status = crn_error_no_memory(err, query->k * sizeof *hits + words * sizeof *search.allow);
    } else {
        crn_topk_init(&search.top, hits, query->k);
        for (uint32_t i = 0; status == CAIRN_OK && i < view->part_count; i++)
            status = search_part(&search, i);
        for (uint32_t t = 0; status == CAIRN_OK && t < view->tail_count; t++)
            status = search_tail(&search, t);
        if (status == CAIRN_OK) collect(&search);
    }
    crn_mem_free(search.allow);
    crn_mem_free(hits);
    return status;
}

cairn_status crn_view_id(const struct crn_view *view, const struct crn_found *found, const char **out_id,
                         cairn_error *err)
{
    if (found->part < view->part_count)
        return crn_segment_id(view->parts[found->part].segment, found->position, out_id, err);
    *out_id = crn_tail_id(view->tails[found->part - view->part_count].tail, found->position);
    return CAIRN_OK;
}
