/*
 * cairn_verify: the store's own checks (rows, digests, log, lexical and payload indexes), and here the derived files against their
 * checksums and the rows: each live row of a view is a row with a vector, and the other way round, with equal values.
 */
#include "engine/collection.h"
#include "engine/id.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct checking {
    cairn_finding_fn finding;
    cairn_progress_fn progress;
    void *ctx;
    uint64_t findings;
    cairn_error *err;
    /* of the space at hand */
    struct crn_live_space *space;
    struct crn_reader *reader;
    const struct crn_view *view;
    roaring_bitmap_t *unseen;  /* locals that live in the view and were not met among the rows yet */
    struct crn_local_map tail; /* where the live ones stand, counted over the view's tails */
    struct crn_buf memory;
    float *raw, *prepared; /* [dim] */
    uint64_t rows_done, rows_total;
    int64_t now_ms;
};

static void report(struct checking *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void report(struct checking *check, const char *format, ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    check->findings++;
    if (check->finding != NULL) check->finding(check->ctx, message);
}

/* ---- one space ---- */

static cairn_status check_files(struct checking *check)
{
    cairn_error cause;

    for (uint32_t i = 0; i < check->view->part_count; i++) {
        struct crn_segment *segment = check->view->parts[i].segment;
        if (crn_derived_verify_all(segment->file, &cause) != CAIRN_OK) report(check, "%s", cause.message);
        if (segment->entry.index_file[0] == '\0') continue;
        if (segment->index_file == NULL) {
            report(check, "index %s of segment %s cannot be used", segment->entry.index_file,
                   segment->entry.file);
        } else if (crn_derived_verify_all(segment->index_file, &cause) != CAIRN_OK) {
            report(check, "%s", cause.message);
        }
    }
    return CAIRN_OK;
}

static cairn_status gather_live(struct checking *check)
{
    const struct crn_view *view = check->view;

    for (uint32_t i = 0; i < view->part_count; i++) {
        const struct crn_view_part *part = &view->parts[i];
        for (uint32_t p = 0; p < part->segment->count; p++) {
            if (part->live != NULL && !crn_bits_get(part->live->words, p)) continue;
            if (!roaring_bitmap_add_checked(check->unseen, part->segment->locals[p])) {
                report(check, "row %" PRIu32 " of space '%s' lives in two segments", part->segment->locals[p],
                       check->space->info->name);
            }
        }
    }
    uint32_t n = 0;
    for (uint32_t t = 0; t < view->tail_count; t++) {
        const struct crn_view_tail *tail = &view->tails[t];
        for (uint32_t i = 0; i < tail->count; i++, n++) {
            if (!crn_view_tail_alive(tail, i)) continue;
            const uint32_t local = crn_tail_local(tail->tail, i);
            if (!roaring_bitmap_add_checked(check->unseen, local))
                report(check, "row %" PRIu32 " lives twice, once in the tail", local);
            if (!crn_local_map_set(&check->tail, local, n))
                return crn_error_no_memory(check->err, check->tail.capacity * 16);
        }
    }
    return CAIRN_OK;
}

/* Where a live local stands: its vector and encoded id. False: nowhere. */
static bool locate(struct checking *check, uint32_t local, const float **out_vector, const char **out_id)
{
    const struct crn_view *view = check->view;
    uint32_t n;

    if (crn_local_map_get(&check->tail, local, &n)) {
        const struct crn_view_tail *tail = view->tails;
        for (; n >= tail->count; tail++) n -= tail->count;
        *out_vector = crn_tail_vector(tail->tail, n);
        *out_id = crn_tail_id(tail->tail, n);
        return true;
    }
    for (uint32_t p = view->part_count; p-- > 0;) {
        struct crn_segment *segment = view->parts[p].segment;
        const int64_t position = crn_segment_find(segment, local);
        if (position < 0 ||
            (view->parts[p].live != NULL && !crn_bits_get(view->parts[p].live->words, (size_t)position)))
            continue;
        *out_vector = segment->vectors + (size_t)position * segment->dim;
        return crn_segment_id(segment, (uint32_t)position, out_id, NULL) == CAIRN_OK;
    }
    return false;
}

static cairn_status check_row(void *ctx, const struct crn_record *record)
{
    struct checking *check = ctx;
    const size_t bytes = check->space->info->dim * sizeof(float);
    size_t offset = 0, size = 0;
    char id[CRN_ID_BYTES_MAX];
    const float *vector;
    const char *kept_id;

    if (check->progress != NULL && check->rows_done++ % 4096 == 0 &&
        !check->progress(check->ctx, "check index", check->rows_done, check->rows_total)) {
        return crn_error_set(check->err, CAIRN_CANCELLED, "stopped after %" PRIu64 " rows", check->rows_done);
    }
    const bool lives = roaring_bitmap_remove_checked(check->unseen, record->local);
    crn_buf_clear(&check->memory);
    cairn_error cause;
    if (crn_read_vector(check->reader, check->space->info->id, record->local, &check->memory, &offset, &size,
                        &cause) != CAIRN_OK) {
        return CAIRN_OK; /* the store has reported it */
    }
    const bool expired = record->expires_at_ms != 0 && record->expires_at_ms <= check->now_ms;
    if (size == 0 || expired) {
        if (lives && size == 0)
            report(check, "'%.60s' has no vector but lives in the index of space '%s'", record->id,
                   check->space->info->name);
        return CAIRN_OK;
    }
    if (!lives) {
        report(check, "'%.60s' is missing from the index of space '%s'", record->id,
               check->space->info->name);
        return CAIRN_OK;
    }
    if (size != bytes) return CAIRN_OK;
    memcpy(check->raw, check->memory.data + offset, bytes);
    const size_t id_size = crn_id_encode(record->id_type, record->id, record->id_len, record->id_u64, id);
    if (!crn_live_space_prepare(check->space, check->raw, check->prepared) ||
        !locate(check, record->local, &vector, &kept_id)) {
        report(check, "'%.60s' cannot be compared with the index of space '%s'", record->id,
               check->space->info->name);
    } else if (memcmp(vector, check->prepared, bytes) != 0) {
        report(check, "'%.60s' has another vector in the index of space '%s'", record->id,
               check->space->info->name);
    } else if (memcmp(kept_id, id, id_size) != 0) {
        report(check, "'%.60s' has another id in the index of space '%s'", record->id,
               check->space->info->name);
    }
    return CAIRN_OK;
}

static cairn_status check_rows(struct checking *check)
{
    const struct crn_catalog *catalog;
    const cairn_collection *collection = check->space->collection;
    uint64_t sequence;

    CRN_TRY(crn_read_sequence(check->reader, &sequence, check->err));
    CRN_TRY(crn_collection_follow_reader(check->space->collection, check->reader, &catalog, check->err));
    if (sequence != check->view->sequence)
        return CAIRN_CONFLICT; /* a write came in between: take both anew */
    CRN_TRY(crn_read_count(check->reader, collection->id, &check->rows_total, check->err));
    CRN_TRY(check_files(check));
    CRN_TRY(gather_live(check));
    CRN_TRY(crn_read_scan(check->reader, catalog, 1, CRN_WANT_ID, check_row, check, check->err));
    const uint64_t left = roaring_bitmap_get_cardinality(check->unseen);
    if (left != 0) {
        report(check,
               "%" PRIu64
               " rows live in the index of space '%s' but not in the database, the first is %" PRIu32,
               left, check->space->info->name, roaring_bitmap_minimum(check->unseen));
    }
    return CAIRN_OK;
}

/* A view and a snapshot of the same sequence; a busy writer may make that take a few tries. */
static cairn_status check_space_once(struct checking *check)
{
    struct crn_view *view;

    CRN_TRY(crn_live_space_settle(check->space, &view, check->err));
    check->view = view;
    check->now_ms = crn_clock_ms();
    cairn_status status =
        crn_store_read_begin(check->space->collection->db->store, &check->reader, check->err);
    if (status == CAIRN_OK) {
        status = check_rows(check);
        crn_store_read_end(check->reader);
    }
    crn_view_release(view);
    return status;
}

static cairn_status check_space(struct checking *check)
{
    const size_t bytes = check->space->info->dim * sizeof(float);
    cairn_status status;
    cairn_error cause, *err = check->err;

    check->err = &cause;
    check->raw = crn_mem_aligned(bytes);
    check->prepared = crn_mem_aligned(bytes);
    for (int attempt = 0;; attempt++) {
        check->rows_done = 0;
        check->unseen = roaring_bitmap_create();
        status = check->raw == NULL || check->prepared == NULL || check->unseen == NULL
                     ? crn_error_no_memory(&cause, bytes)
                     : check_space_once(check);
        if (check->unseen != NULL) roaring_bitmap_free(check->unseen);
        crn_local_map_clear(&check->tail);
        if (status != CAIRN_CONFLICT || attempt == 1000) break;
    }
    crn_mem_free(check->raw);
    crn_mem_free(check->prepared);
    check->err = err;
    if (status == CAIRN_CONFLICT)
        return crn_error_set(err, CAIRN_BUSY, "writers left no moment to compare the index with the rows");
    if (status == CAIRN_CORRUPT || status == CAIRN_NO_FILE) {
        report(check, "%s", cause.message);
        return CAIRN_OK;
    }
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "%s", cause.message);
}

/* ---- the whole ---- */

static cairn_status check_collection(struct checking *check, cairn_db *db, const char *name)
{
    cairn_collection *collection;
    cairn_status status = cairn_collection_open(db, name, NULL, &collection, check->err);

    if (status == CAIRN_NO_COLLECTION) return CAIRN_OK; /* dropped since it was listed */
    if (status != CAIRN_OK) return status;
    const struct crn_space_list *now = crn_collection_now(collection);
    for (uint32_t i = 0; status == CAIRN_OK && i < now->count; i++) {
        check->space = now->live[i];
        if (check->space->info->kind == CAIRN_SPACE_DENSE) status = check_space(check);
    }
    if (status == CAIRN_NO_COLLECTION) status = CAIRN_OK;
    cairn_collection_close(collection);
    return status;
}

cairn_status cairn_verify(cairn_db *db, cairn_finding_fn finding, cairn_progress_fn progress, void *ctx,
                          uint64_t *out_findings, cairn_error *err)
{
    struct checking check = {.finding = finding, .progress = progress, .ctx = ctx, .err = err};
    char **names;
    size_t count;

    if (db == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "db is NULL");
    CRN_TRY(crn_store_verify(db->store, finding, progress, ctx, &check.findings, err));
    CRN_TRY(cairn_collection_list(db, &names, &count, err));
    crn_buf_init(&check.memory, SIZE_MAX / 2);
    cairn_status status = CAIRN_OK;
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) status = check_collection(&check, db, names[i]);
    crn_buf_release(&check.memory);
    cairn_free(names);
    if (status == CAIRN_OK && out_findings != NULL) *out_findings = check.findings;
    return status;
}
