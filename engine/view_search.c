#include "engine/view_search.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/filter_bits.h"
#include "quant/flat_scan.h"

#include <stdlib.h>
#include <string.h>

/* For indexes that do not choose themselves: a filter that leaves fewer rows than this, or a smaller share of the segment than one in SCAN_SHARE, is answered by
 * comparing the rows it leaves: an index would walk through mostly forbidden ones. */
#define SCAN_ROWS 2048u
#define SCAN_SHARE 20u
#define SCAN_AT_ONCE 256u  /* fewer rows are compared at once, whatever the index */
#define PIECE_BYTES (4u << 20) /* scanned between two looks at the clock */
#define RESCORED 64u       /* candidates compared exactly at a time */
#define PREFETCH_BYTES 4096u /* of each of them */
#define SIEVE_SPARE 64u    /* hits that a sieve holds beyond twice its size */

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

/* The part's bitmap of live and matching positions (NULL: all), and how many they are. */
static cairn_status allowed_of_part(struct search *search, const struct crn_view_part *part, const uint64_t **out_allow,
                                    size_t *out_count)
{
    const size_t words = crn_bits_words(part->segment->count);

    *out_count = part->live_count;
    *out_allow = part->live == NULL ? NULL : part->live->words;
    if (search->query->filter == NULL || part->segment->count == 0) return CAIRN_OK;
    CRN_TRY(crn_filter_bits(search->query->filter, part->segment->locals, part->segment->count, search->allow, search->err));
    for (size_t w = 0; part->live != NULL && w < words; w++) search->allow[w] &= part->live->words[w];
    *out_count = crn_bits_count(search->allow, words);
    *out_allow = search->allow;
    return CAIRN_OK;
}

/* ---- scanning ---- */

static cairn_status verify_rows(const struct crn_segment *segment, const void *rows, size_t row_bytes, size_t begin, size_t count,
                                cairn_error *err)
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

static cairn_status scan_vectors(struct search *search, const struct crn_segment *segment, const uint64_t *allow, uint64_t base)
{
    const size_t row_bytes = segment->dim * sizeof(float), step = piece_rows(row_bytes);

    for (size_t begin = 0; begin < segment->count; begin += step) {
        const size_t count = segment->count - begin < step ? segment->count - begin : step;
        if (!any_allowed(allow, begin, count)) continue;
        CRN_TRY(check_deadline(search));
        CRN_TRY(verify_rows(segment, segment->vectors, row_bytes, begin, count, search->err));
        crn_flat_scan_f32(search->space->op, search->query->vector, segment->vectors + begin * segment->dim, segment->dim, count,
                          base + begin, allow == NULL ? NULL : allow + begin / 64, &search->top);
    }
    return CAIRN_OK;
}

static int by_label(const void *a, const void *b)
{
    const uint64_t x = ((const struct crn_hit *)a)->label, y = ((const struct crn_hit *)b)->label;
    return x < y ? -1 : x > y;
}

/* Candidates lie far apart: all are asked for before the first is compared. */
static void prefetch_row(const float *row, size_t row_bytes)
{
    for (size_t offset = 0; offset < row_bytes && offset < PREFETCH_BYTES; offset += 64) {
        __builtin_prefetch((const char *)row + offset, 0, 2);
    }
}

/* Compares candidates at full precision, in the order they lie in memory. */
static cairn_status rescore(struct search *search, const struct crn_segment *segment, struct crn_sieve *candidates, uint64_t base)
{
    const size_t row_bytes = segment->dim * sizeof(float);
    uint32_t positions[RESCORED];

    crn_sieve_shrink(candidates);
    qsort(candidates->hits, candidates->count, sizeof *candidates->hits, by_label);
    for (size_t begin = 0; begin < candidates->count; begin += RESCORED) {
        const size_t count = candidates->count - begin < RESCORED ? candidates->count - begin : RESCORED;

        for (size_t i = 0; i < count; i++) {
            positions[i] = (uint32_t)candidates->hits[begin + i].label;
            prefetch_row(segment->vectors + (size_t)positions[i] * segment->dim, row_bytes);
        }
        for (size_t i = 0; i < count; i++) {
            CRN_TRY(verify_rows(segment, segment->vectors, row_bytes, positions[i], 1, search->err));
        }
        crn_flat_scan_f32_at(search->space->op, search->query->vector, segment->vectors, segment->dim, positions, count, base,
                             &search->top);
    }
    return CAIRN_OK;
}

static cairn_status scan_codes(struct search *search, const struct crn_segment *segment, const uint64_t *allow, const void *query,
                               struct crn_sieve *candidates)
{
    const struct crn_codec *codec = segment->codec;
    const size_t unit_bytes = codec->unit_bytes(segment->dim), step = piece_rows(crn_codec_row_bytes(codec, segment->dim));

    for (size_t begin = 0; begin < segment->count; begin += step) {
        const size_t count = segment->count - begin < step ? segment->count - begin : step;
        if (!any_allowed(allow, begin, count)) continue;
        CRN_TRY(check_deadline(search));
        struct crn_codec_scan scan = {
            .state = segment->codec_state, .query = query, .codes = segment->codes + begin / codec->unit_rows * unit_bytes};
        for (uint32_t f = 0; f < codec->factor_count; f++) scan.factors[f] = segment->factors[f] + begin;
        CRN_TRY(crn_derived_verify(segment->file, scan.codes, crn_codec_bytes(codec, segment->dim, count), search->err));
        const struct crn_scan_codes codes = {.ctx = &scan, .block = codec->block, .gather = codec->gather};
        crn_flat_scan_codes(&codes, count, begin, allow == NULL ? NULL : allow + begin / 64, candidates);
    }
    return CAIRN_OK;
}

/* Codes first, then the best of them at full precision. */
static cairn_status scan_quantized(struct search *search, const struct crn_segment *segment, const uint64_t *allow, uint64_t base)
{
    const struct crn_codec *codec = segment->codec;
    const double factor = search->query->oversampling > 0 ? search->query->oversampling : codec->oversampling;
    const double wanted = (double)search->query->k * (factor < 1 ? 1 : factor);
    const size_t most = wanted < (double)segment->count ? (size_t)wanted + 1 : segment->count;
    const size_t capacity = most * 2 + SIEVE_SPARE;
    struct crn_hit *hits = crn_mem_array(capacity, sizeof *hits);
    void *query = crn_mem_aligned(codec->query_bytes(segment->dim));
    struct crn_sieve candidates;
    cairn_status status;

    if (hits == NULL || query == NULL) {
        status = crn_error_no_memory(search->err, capacity * sizeof *hits);
    } else {
        codec->prepare(segment->codec_state, search->query->vector, query);
        crn_sieve_init(&candidates, hits, most, capacity);
        status = scan_codes(search, segment, allow, query, &candidates);
        if (status == CAIRN_OK) status = rescore(search, segment, &candidates, base);
    }
    crn_mem_free(query);
    crn_mem_free(hits);
    return status;
}

/* ---- parts ---- */

static cairn_status search_index(struct search *search, struct crn_segment *segment, const struct crn_index *index,
                                 const uint64_t *allow, size_t allowed, uint64_t base, bool *out_enough)
{
    const struct crn_index_query query = {.vector = search->query->vector, .k = search->query->k, .allow = allow, .allowed = allowed,
                                          .ef = search->query->ef, .nprobe = search->query->nprobe,
                                          .recall = search->query->recall};
    struct crn_hit *hits = crn_mem_array(query.k, sizeof *hits);
    struct crn_topk top;

    if (hits == NULL) return crn_error_no_memory(search->err, query.k * sizeof *hits);
    crn_topk_init(&top, hits, query.k);
    cairn_error cause;
    cairn_status status = segment->index_ops->search(index, &query, &top, &cause);
    if (status == CAIRN_CORRUPT) {
        /* Scanning answers meanwhile, and finds out whether it is the rows that are damaged. */
        crn_segment_distrust_index(segment, cause.message);
        crn_mem_free(hits);
        *out_enough = false;
        return CAIRN_OK;
    }
    if (status != CAIRN_OK) crn_error_set(search->err, status, "%s", cause.message);
    *out_enough = top.count >= (allowed < query.k ? allowed : query.k);
    if (status == CAIRN_OK && *out_enough) {
        for (size_t i = 0; i < top.count; i++) crn_topk_push(&search->top, hits[i].distance, base + hits[i].label);
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

static cairn_status search_part(struct search *search, uint32_t number)
{
    const struct crn_view_part *part = &search->view->parts[number];
    struct crn_segment *segment = part->segment;
    const uint64_t base = (uint64_t)number << 32;
    const bool codes = segment->codec != NULL && !search->query->exact;
    const size_t row_bytes = codes ? crn_codec_row_bytes(segment->codec, segment->dim) : segment->dim * sizeof(float);
    size_t allowed;
    const uint64_t *allow;

    CRN_TRY(allowed_of_part(search, part, &allow, &allowed));
    search->answer->rows_matched += allowed;
    if (allowed == 0) return CAIRN_OK;
    if (!search->query->exact && asks_index(search, segment, allowed)) {
        const struct crn_index *index = crn_segment_index(segment, allowed * row_bytes);
        bool enough = false;
        if (index != NULL) CRN_TRY(search_index(search, segment, index, allow, allowed, base, &enough));
        search->answer->used_index |= enough;
        if (enough) return CAIRN_OK;
    }
    search->answer->rows_scored += allowed;
    return codes ? scan_quantized(search, segment, allow, base) : scan_vectors(search, segment, allow, base);
}

/* The bits of the tail's rows begin..end-1 that may be returned, counted from the start of their chunk. */
static size_t allow_chunk(const struct search *search, const struct crn_view_tail *tail, uint32_t begin, uint32_t end, uint64_t *allow)
{
    const uint32_t rows = tail->tail->chunk_rows;
    const struct crn_tail_chunk *chunk = crn_tail_chunk_of(tail->tail, begin);
    const size_t words = crn_bits_words((end - 1) % rows + 1);

    memset(allow, 0, words * sizeof *allow);
    for (uint32_t i = begin; i < end; i++) {
        if (!crn_view_tail_alive(tail, i)) continue;
        if (search->query->filter != NULL && !roaring_bitmap_contains(search->query->filter, chunk->locals[i % rows])) continue;
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
        crn_flat_scan_f32(search->space->op, search->query->vector, chunk->vectors, tail->tail->dim, end - first, base + first,
                          whole ? NULL : allow, &search->top);
    }
    return CAIRN_OK;
}

/* The bits of the tail's rows before `count` that may be found, in search->allow; NULL: all. */
static const uint64_t *allowed_of_tail(struct search *search, const struct crn_view_tail *tail, uint32_t count, size_t *out_allowed)
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
        if (!roaring_bitmap_contains(search->query->filter, crn_tail_local(tail->tail, i))) crn_bits_clear(allow, i);
    }
    *out_allowed = crn_bits_count(allow, words);
    return allow;
}

/* Walks the graph for the rows before *out_end. False: there is none, or comparing them is the better way. */
static bool walk_tail(struct search *search, uint32_t number, uint32_t *out_end)
{
    const struct crn_view_tail *tail = &search->view->tails[number];
    const uint32_t inserted = crn_tail_graph_inserted(tail->tail), nodes = inserted < tail->count ? inserted : tail->count;
    const uint32_t old = tail->count < CRN_TAIL_GRAPH_NEWEST ? 0 : tail->count - CRN_TAIL_GRAPH_NEWEST, end = nodes < old ? nodes : old;
    struct crn_tail_graph_ask ask = {.vector = search->query->vector, .k = search->query->k, .ef = search->query->ef,
                                     .nodes = nodes, .count = end, .label = (uint64_t)(search->view->part_count + number) << 32};

    if (search->query->exact || end < CRN_TAIL_GRAPH_ROWS) return false;
    ask.allow = allowed_of_tail(search, tail, end, &ask.allowed);
    if (ask.allowed < CRN_TAIL_GRAPH_ROWS || !crn_tail_graph_search(tail->tail, &ask, &search->top)) return false;
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
        found[i].local = found[i].part >= view->part_count
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

cairn_status crn_view_search(const struct crn_live_space *space, const struct crn_view *view, const struct crn_view_query *query,
                             struct crn_view_answer *answer, cairn_error *err)
{
    struct search search = {.space = space, .view = view, .query = query, .answer = answer, .err = err};
    const size_t words = crn_bits_words(largest_bitmap(view, query->filter != NULL));
    struct crn_hit *hits = crn_mem_array(query->k, sizeof *hits);
    cairn_status status = CAIRN_OK;

    answer->count = 0;
    answer->rows_matched = answer->rows_scored = 0;
    answer->used_index = false;
    if (words != 0) search.allow = crn_mem_array(words, sizeof *search.allow);
    if (hits == NULL || (words != 0 && search.allow == NULL)) {
        status = crn_error_no_memory(err, query->k * sizeof *hits + words * sizeof *search.allow);
    } else {
        crn_topk_init(&search.top, hits, query->k);
        for (uint32_t i = 0; status == CAIRN_OK && i < view->part_count; i++) status = search_part(&search, i);
        for (uint32_t t = 0; status == CAIRN_OK && t < view->tail_count; t++) status = search_tail(&search, t);
        if (status == CAIRN_OK) collect(&search);
    }
    crn_mem_free(search.allow);
    crn_mem_free(hits);
    return status;
}

cairn_status crn_view_id(const struct crn_view *view, const struct crn_found *found, const char **out_id, cairn_error *err)
{
    if (found->part < view->part_count) return crn_segment_id(view->parts[found->part].segment, found->position, out_id, err);
    *out_id = crn_tail_id(view->tails[found->part - view->part_count].tail, found->position);
    return CAIRN_OK;
}
