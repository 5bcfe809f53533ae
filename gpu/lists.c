/*
 * Searches of inverted lists, list by list: one piece of a list, up to a tile of rows, is compared with all queries that ask for the
 * list, so that a batch reads each list once. The lists nearest to the queries go first and give the limits for the others.
 */
#include "gpu/internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

struct inverted {      /* which queries ask for a list in this round: queries[begins[l]..begins[l + 1] - 1] */
    uint32_t *begins;  /* [lists + 2] */
    uint32_t *queries; /* [batch * probe_count] */
    struct crn_gpu_work *work; /* [work_room] */
    size_t work_count, work_room;
};

static cairn_status check_lists(const struct crn_gpu_set *set, const struct crn_gpu_lists *lists,
                                size_t batch, cairn_error *err)
{
    for (uint32_t l = 0; l < lists->count; l++) {
        if (lists->offsets[l] > lists->offsets[l + 1] || lists->offsets[l + 1] > set->count) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "list %u of rows %u to %u, in a set of %u", l,
                                 lists->offsets[l], lists->offsets[l + 1], set->count);
        }
    }
    for (size_t i = 0; i < batch * lists->probe_count; i++) {
        if (lists->probes[i] >= lists->count && lists->probes[i] != CRN_GPU_NONE)
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "list %u of %u", lists->probes[i],
                                 lists->count);
    }
    if (set->slab_count > 1 || set->host_bytes > 0)
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "lists must lie on the card in one piece: reserve_rows makes it");
    return CAIRN_OK;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Pieces of `take` queries and one tile of rows each, of rows skip..skip + most - 1 of every list. */
static cairn_status add_work(struct inverted *inverted, const struct crn_gpu_lists *lists, uint32_t list,
                             uint32_t skip, uint32_t most, uint32_t take, cairn_error *err)
{
    const uint32_t length = lists->offsets[list + 1] - lists->offsets[list];
    const uint32_t begin = lists->offsets[list] + smaller(skip, length),
                   end = begin + smaller(most, length - smaller(skip, length));

    for (uint32_t row = begin; row < end; row += CRN_GPU_TILE) {
        for (uint32_t q = inverted->begins[list]; q < inverted->begins[list + 1]; q += take) {
            if (inverted->work_count == inverted->work_room) {
                const size_t room = inverted->work_room * 2 + 1024;
                struct crn_gpu_work *work = crn_mem_realloc_array(inverted->work, room, sizeof *work);
                if (work == NULL) return crn_error_no_memory(err, room * sizeof *work);
                inverted->work = work;
                inverted->work_room = room;
            }
            inverted->work[inverted->work_count++] =
                (struct crn_gpu_work){.row = row,
                                      .rows = smaller(CRN_GPU_TILE, end - row),
                                      .query = q,
                                      .queries = smaller(take, inverted->begins[list + 1] - q)};
        }
    }
    return CAIRN_OK;
}

/* Sorts the queries by the lists that they ask for at places first..last - 1 (a counting sort). */
static void invert(const struct crn_gpu_lists *lists, uint32_t batch, uint32_t first, uint32_t last,
                   struct inverted *inverted)
{
    uint32_t *const next =
        inverted->begins + 1; /* where a list's next query goes: in the end, where the list ends */

    memset(inverted->begins, 0, (lists->count + 2) * sizeof *inverted->begins);
    for (uint32_t q = 0; q < batch; q++) {
        for (uint32_t p = first; p < last; p++) {
            const uint32_t list = lists->probes[(size_t)q * lists->probe_count + p];
            if (list != CRN_GPU_NONE) inverted->begins[list + 2]++;
        }
    }
    for (uint32_t l = 0; l < lists->count; l++) inverted->begins[l + 2] += inverted->begins[l + 1];
    for (uint32_t q = 0; q < batch; q++) {
        for (uint32_t p = first; p < last; p++) {
            const uint32_t list = lists->probes[(size_t)q * lists->probe_count + p];
            if (list != CRN_GPU_NONE) inverted->queries[next[list]++] = q;
        }
    }
}

/* Where the work lies on the card: it grows with its largest round. */
struct card_work {
    void *memory;
    size_t size_bytes;
};

static cairn_status upload_work(struct crn_gpu_run *run, const struct inverted *inverted, size_t query_count,
                                struct card_work *card, cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    const size_t work_bytes = inverted->work_count * sizeof *inverted->work,
                 size = work_bytes + query_count * sizeof(uint32_t);

    if (size > card->size_bytes) {
        driver->free(run->stream->gpu->device, card->memory);
        *card = (struct card_work){NULL};
        CRN_TRY(driver->alloc(run->stream->gpu->device, size * 2, &card->memory, err));
        card->size_bytes = size * 2;
    }
    run->scan.work = card->memory;
    run->scan.query_ids = (const uint32_t *)(const void *)((const char *)card->memory + work_bytes);
    CRN_TRY(driver->upload(run->stream->queue, card->memory, inverted->work, work_bytes, err));
    return driver->upload(run->stream->queue, (char *)card->memory + work_bytes, inverted->queries,
                          query_count * sizeof(uint32_t), err);
}

/* Probes first..last - 1 of all queries, and of their lists rows skip..skip + most - 1. */
static cairn_status round_of(struct crn_gpu_run *run, const struct crn_gpu_lists *lists,
                             struct inverted *inverted, struct card_work *card, uint32_t first, uint32_t last,
                             uint32_t skip, uint32_t most, cairn_error *err)
{
    invert(lists, run->batch, first, last, inverted);
    inverted->work_count = 0;
    for (uint32_t l = 0; l < lists->count; l++) {
        if (inverted->begins[l] != inverted->begins[l + 1])
            CRN_TRY(add_work(inverted, lists, l, skip, most, run->plan.queries, err));
    }
    if (inverted->work_count == 0) return CAIRN_OK;
    if (inverted->work_count > UINT32_MAX / 2)
        return crn_error_set(err, CAIRN_LIMIT, "a batch of %zu pieces of lists", inverted->work_count);
    CRN_TRY(upload_work(run, inverted, inverted->begins[lists->count], card, err));
    CRN_TRY(crn_gpu_run_scan(run, 0, (uint32_t)inverted->work_count, err));
    CRN_TRY(crn_gpu_run_select(run, err));
    /* The next round's work takes this one's place. */
    return run->stream->gpu->driver->queue_wait(run->stream->queue, err);
}

static uint32_t longest_list(const struct crn_gpu_lists *lists)
{
    uint32_t longest = 0;

    for (uint32_t l = 0; l < lists->count; l++) {
        const uint32_t length = lists->offsets[l + 1] - lists->offsets[l];
        if (length > longest) longest = length;
    }
    return longest;
}

static cairn_status all_rounds(struct crn_gpu_run *run, const struct crn_gpu_lists *lists,
                               struct inverted *inverted, struct card_work *card, cairn_error *err)
{
    const uint32_t longest = longest_list(lists), safe = run->plan.capacity - run->plan.kept, most = safe / 2;

    if (run->safe) {
        for (uint32_t p = 0; p < lists->probe_count; p++) {
            for (uint32_t skip = 0; skip < longest; skip += safe)
                CRN_TRY(
                    round_of(run, lists, inverted, card, p, p + 1, skip, smaller(safe, longest - skip), err));
        }
    } else {
        CRN_TRY(round_of(run, lists, inverted, card, 0, 1, 0, most, err));
        if (longest > most) CRN_TRY(round_of(run, lists, inverted, card, 0, 1, most, longest - most, err));
        for (uint32_t first = 1; first < lists->probe_count;) {
            const uint32_t last =
                smaller(first * (run->plan.growth > 4 ? 4 : run->plan.growth), lists->probe_count);
            CRN_TRY(round_of(run, lists, inverted, card, first, last, 0, longest, err));
            first = last;
        }
    }
    return crn_gpu_run_finish(run, err);
}

static cairn_status search_batch(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                 const struct crn_gpu_query *query, const struct crn_gpu_lists *lists,
                                 bool safe, float *out_distances, uint32_t *out_labels, bool *out_again,
                                 cairn_error *err)
{
    const struct crn_gpu_plan_ask ask = {.codec = set->options.codec,
                                         .metric = set->options.metric,
                                         .pitch = set->pitch,
                                         .batch = query->batch,
                                         .k = query->k,
                                         .on_card = true,
                                         .lists = true,
                                         .path = query->path};
    struct crn_gpu_run run = {
        .set = set, .stream = stream, .batch = (uint32_t)query->batch, .k = (uint32_t)query->k, .safe = safe};
    struct inverted inverted = {.begins = crn_mem_array((size_t)lists->count + 2, sizeof(uint32_t)),
                                .queries =
                                    crn_mem_array(query->batch, lists->probe_count * sizeof(uint32_t))};
    struct card_work card = {NULL};
    void *extra;

    cairn_status status = crn_gpu_plan_make(&set->gpu->info, &ask, &run.plan, err);
    if (status == CAIRN_OK && (inverted.begins == NULL || inverted.queries == NULL))
        status = crn_error_no_memory(err, query->batch * lists->probe_count * sizeof(uint32_t));
    if (status == CAIRN_OK) status = crn_gpu_run_begin(&run, query, 0, &extra, err);
    if (status == CAIRN_OK && set->slab_count > 0) {
        crn_gpu_run_slab(&run, &set->slabs[0]);
        status = all_rounds(&run, lists, &inverted, &card, err);
    } else if (status == CAIRN_OK) {
        status = crn_gpu_run_finish(&run, err);
    }
    if (status == CAIRN_OK) status = crn_gpu_run_end(&run, out_distances, out_labels, err);
    if (status == CAIRN_OK) {
        *out_again = false;
        for (uint32_t q = 0; q < run.batch; q++) *out_again |= run.flags_host[q] != 0;
    } else {
        cairn_error ignored;
        (void)!stream->gpu->driver->queue_wait(stream->queue,
                                               &ignored); /* the host's arrays may be under way still */
    }
    stream->gpu->driver->free(stream->gpu->device, card.memory);
    crn_mem_free(inverted.begins);
    crn_mem_free(inverted.queries);
    crn_mem_free(inverted.work);
    crn_gpu_run_release(&run);
    return status;
}

#define BATCH_MOST 1024u

cairn_status crn_gpu_search_lists(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                  const struct crn_gpu_query *query, const struct crn_gpu_lists *lists,
                                  float *out_distances, uint32_t *out_labels, cairn_error *err)
{
    const size_t words = ((size_t)set->count + 63) / 64;

    CRN_TRY(crn_gpu_query_check(set, query, CRN_GPU_K_MAX, err));
    CRN_TRY(check_lists(set, lists, query->batch, err));
    for (size_t first = 0; first < query->batch; first += BATCH_MOST) {
        struct crn_gpu_query part = *query;
        struct crn_gpu_lists part_lists = *lists;
        bool again;
        part.vectors += first * set->encoder.dim;
        part.batch = query->batch - first < BATCH_MOST ? query->batch - first : BATCH_MOST;
        if (part.allow != NULL && part.allow_each) part.allow += first * words;
        part_lists.probes += first * lists->probe_count;
        float *const distances = out_distances + first * query->k;
        uint32_t *const labels = out_labels + first * query->k;
        CRN_TRY(search_batch(set, stream, &part, &part_lists, false, distances, labels, &again, err));
        if (again)
            CRN_TRY(search_batch(set, stream, &part, &part_lists, true, distances, labels, &again, err));
    }
    return CAIRN_OK;
}
