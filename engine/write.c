/*
 * Writing: insert, upsert, update, delete, delete by scope. Patterns are checked first (prepare.c), then one write job runs in a
 * transaction that it may share with other threads' jobs, and after the commit its changes are handed to the views directly.
 */
#include "engine/collection.h"
#include "engine/filter_rows.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

struct write_job {
    cairn_collection *collection;
    cairn_write_mode mode;
    struct crn_prepared_batch batch;
    cairn_written *out_written; /* may be NULL */
    struct crn_use_batch *uses;
    int64_t now_ms;
    uint64_t first, last; /* sequence numbers of the job */
    bool by_log;          /* the views must learn of it from the log: it did more than its patterns say */
    struct crn_buf memory;
};

/* ---- one row ---- */

static void keep_counts(struct crn_record *record, const struct crn_record *old, uint32_t fields)
{
    if (!(fields & CAIRN_FIELD_USAGE)) record->usage_count = old->usage_count;
    if (!(fields & CAIRN_FIELD_SUCCESS)) record->success_count = old->success_count;
    if (!(fields & CAIRN_FIELD_LAST_USED)) record->last_used_ms = old->last_used_ms;
    if (record->created_at_ms == 0) record->created_at_ms = old->created_at_ms;
}

static void keep_fields(struct crn_record *record, const struct crn_record *old,
                        const struct crn_prepared *row)
{
    if (!row->has_domain) record->domain = old->domain;
    if (!row->has_agent) record->agent = old->agent;
    if (!row->has_type) record->type = old->type;
    if (!row->has_text) record->text = old->text;
    if (!row->has_payload) record->payload = old->payload;
    if (!(row->fields & CAIRN_FIELD_CONFIDENCE)) record->confidence = old->confidence;
    if (!(row->fields & CAIRN_FIELD_EXPIRES)) record->expires_at_ms = old->expires_at_ms;
}

/* The old row's vectors with the new ones in their places. *out_vectors is freed by crn_mem_free. */
static cairn_status merge_vectors(const struct crn_record *old, const struct crn_prepared *row,
                                  struct crn_vector_data **out_vectors, uint32_t *out_count, cairn_error *err)
{
    struct crn_vector_data *merged =
        crn_mem_array((size_t)old->vector_count + row->record.vector_count + 1, sizeof *merged);
    uint32_t count = 0;

    if (merged == NULL) return crn_error_no_memory(err, sizeof *merged);
    for (uint32_t v = 0; v < row->record.vector_count; v++) merged[count++] = row->vectors[v];
    for (uint32_t o = 0; o < old->vector_count; o++) {
        bool replaced = false;
        for (uint32_t v = 0; v < row->record.vector_count; v++)
            replaced |= row->vectors[v].space == old->vectors[o].space;
        if (!replaced) merged[count++] = old->vectors[o];
    }
    *out_vectors = merged;
    *out_count = count;
    return CAIRN_OK;
}

static cairn_status replace_row(struct write_job *job, struct crn_txn *txn, const struct crn_catalog *catalog,
                                const struct crn_prepared *row, struct crn_record *record, cairn_error *err)
{
    const bool update = job->mode == CAIRN_UPDATE;
    const bool same_vectors = update && row->record.vector_count == 0;
    struct crn_vector_data *merged = NULL;
    struct crn_record old;

    crn_buf_clear(&job->memory);
    CRN_TRY(crn_txn_record(txn, catalog, record->local, update && !same_vectors, &job->memory, &old, err));
    keep_counts(record, &old, row->fields);
    if (update) keep_fields(record, &old, row);
    if (update && !same_vectors) {
        CRN_TRY(merge_vectors(&old, row, &merged, &record->vector_count, err));
        record->vectors = merged;
    }
    record->version = old.version + 1;
    const cairn_status status = crn_txn_put(txn, catalog, record, same_vectors, err);
    crn_mem_free(merged);
    return status;
}

static cairn_status check_presence(const struct write_job *job, const struct crn_prepared *row, bool present,
                                   uint64_t version, cairn_error *err)
{
    if (job->mode == CAIRN_INSERT && present) {
        return crn_error_set(err, CAIRN_EXISTS, "the id '%.60s' is taken (version %" PRIu64 ")", row->id.text,
                             version);
    }
    if (row->if_version == CAIRN_VERSION_NONE && present) {
        return crn_error_set(err, CAIRN_CONFLICT,
                             "'%.60s' exists at version %" PRIu64 ", expected was that it does not",
                             row->id.text, version);
    }
    if (job->mode == CAIRN_UPDATE && !present) {
        return crn_error_set(err, CAIRN_NOT_FOUND, "there is no '%.60s' to update", row->id.text);
    }
    if (row->if_version != CAIRN_VERSION_ANY && row->if_version != CAIRN_VERSION_NONE &&
        (!present || version != row->if_version)) {
        return crn_error_set(err, CAIRN_CONFLICT, "'%.60s' is at version %" PRIu64 ", expected was %" PRIu64,
                             row->id.text, present ? version : 0, row->if_version);
    }
    return CAIRN_OK;
}

/* The transaction may run again, so a row's prepared record is copied and stays as it was but for its local. */
static cairn_status write_row(struct write_job *job, struct crn_txn *txn, const struct crn_catalog *catalog,
                              struct crn_prepared *row, cairn_written *out_written, cairn_error *err)
{
    struct crn_record record = row->record;
    uint64_t version = 0;
    int64_t expires_at_ms = 0;

    CRN_TRY(crn_txn_find(txn, catalog, row->id.type, row->id.text, row->id.len, row->id.u64, &record.local,
                         &version, &expires_at_ms, err));
    const bool expired = record.local != 0 && expires_at_ms != 0 && expires_at_ms <= job->now_ms;
    if (expired) {
        CRN_TRY(crn_txn_delete(txn, catalog, record.local, err));
        record.local = 0;
        job->by_log = true;
    }
    const bool present = record.local != 0;
    CRN_TRY(check_presence(job, row, present, version, err));
    if (present) {
        CRN_TRY(replace_row(job, txn, catalog, row, &record, err));
    } else {
        if (record.created_at_ms == 0) record.created_at_ms = job->now_ms;
        record.version = 1;
        CRN_TRY(crn_txn_put(txn, catalog, &record, false, err));
    }
    row->record.local = record.local;
    if (out_written != NULL) {
        memset(out_written, 0, sizeof *out_written);
        if (row->generated) memcpy(out_written->id, row->id.text, row->id.len + 1);
        out_written->version = record.version;
        out_written->created = !present;
    }
    return CAIRN_OK;
}

/* ---- the job ---- */

/* INVALID_ARGUMENT: it was dropped since the row was made ready. */
static cairn_status place_of_space(const struct crn_catalog *catalog, uint32_t id, uint32_t *out_place,
                                   cairn_error *err)
{
    for (*out_place = 0; *out_place < catalog->space_count; ++*out_place) {
        if (catalog->spaces[*out_place].id == id) return CAIRN_OK;
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection '%s' has a space of the vectors no more",
                         catalog->name);
}

/* A space records the first model that is stated for a vector of it. The rows were checked already, but those of one call may
 * disagree, and another process may have recorded a model since. */
static cairn_status record_models(struct write_job *job, struct crn_txn *txn,
                                  const struct crn_catalog *catalog, cairn_error *err)
{
    const char *recorded[CAIRN_SPACES_MAX];

    for (uint32_t s = 0; s < catalog->space_count; s++) recorded[s] = catalog->spaces[s].model;
    for (size_t i = 0; i < job->batch.count; i++) {
        const struct crn_prepared *row = &job->batch.rows[i];
        for (uint32_t v = 0; v < row->record.vector_count; v++) {
            uint32_t s;
            CRN_TRY(place_of_space(catalog, row->vectors[v].space, &s, err));
            const struct crn_space stated = {.name = catalog->spaces[s].name, .model = (char *)recorded[s]};
            CRN_TRY(crn_check_model(&stated, row->models[v], err));
            if (row->models[v] == NULL || recorded[s] != NULL) continue;
            CRN_TRY(crn_txn_space_model(txn, catalog, catalog->spaces[s].id, row->models[v], err));
            recorded[s] = row->models[v];
        }
    }
    return CAIRN_OK;
}

static cairn_status run_write(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct write_job *job = ctx;
    const struct crn_catalog *catalog;
    cairn_error cause;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    job->first = crn_txn_sequence(txn) + 1;
    job->by_log = job->mode == CAIRN_UPDATE; /* an update names only some of a row's vectors */
    CRN_TRY(record_models(job, txn, catalog, err));
    for (size_t i = 0; i < job->batch.count; i++) {
        cairn_written *out = job->out_written == NULL ? NULL : &job->out_written[i];
        const cairn_status status = write_row(job, txn, catalog, &job->batch.rows[i], out, &cause);
        if (status != CAIRN_OK) {
            crn_error_set(err, status, "pattern %zu: %s", i, cause.message);
            return status;
        }
    }
    if (job->uses != NULL) CRN_TRY(crn_uses_write(txn, job->collection, job->uses, err));
    job->last = crn_txn_sequence(txn);
    return CAIRN_OK;
}

static const float *dense_vector_of(const struct crn_prepared *row, uint32_t space)
{
    for (uint32_t v = 0; v < row->record.vector_count; v++) {
        if (row->vectors[v].space == space) return row->vectors[v].data;
    }
    return NULL;
}

static void hand_over(struct write_job *job, struct crn_live_space *space)
{
    const size_t count = job->batch.count;
    struct crn_change *changes = crn_mem_array(count, sizeof *changes);
    char(*ids)[CRN_ID_BYTES_MAX] = crn_mem_array(count, sizeof *ids);

    for (size_t i = 0; changes != NULL && ids != NULL && i < count; i++) {
        const struct crn_prepared *row = &job->batch.rows[i];
        changes[i] = (struct crn_change){
            .local = row->record.local,
            .vector = dense_vector_of(row, space->info->id),
            .id = ids[i],
            .id_size = crn_id_encode(row->id.type, row->id.text, row->id.len, row->id.u64, ids[i]),
            .expires_at_ms = row->record.expires_at_ms,
        };
    }
    if (changes != NULL && ids != NULL) crn_live_space_apply(space, changes, count, job->first, job->last);
    crn_mem_free(ids);
    crn_mem_free(changes);
}

static void write_committed(void *ctx, uint64_t sequence)
{
    struct write_job *job = ctx;

    if (job->by_log) {
        crn_collection_catch_up(job->collection, sequence);
        return;
    }
    const struct crn_space_list *now = crn_collection_now(job->collection);
    for (uint32_t s = 0; s < now->count; s++) {
        if (now->live[s]->info->kind == CAIRN_SPACE_DENSE) hand_over(job, now->live[s]);
    }
}

static cairn_status check_writable(const cairn_collection *collection, cairn_error *err)
{
    if (!crn_store_read_only(collection->db->store)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only",
                         crn_store_path(collection->db->store));
}

cairn_status cairn_write(cairn_collection *collection, cairn_write_mode mode, const cairn_pattern *patterns,
                         size_t count, cairn_written *out_written, cairn_error *err)
{
    struct write_job job = {
        .collection = collection, .mode = mode, .out_written = out_written, .now_ms = crn_clock_ms()};
    const struct crn_write_job write = {.run = run_write, .committed = write_committed, .ctx = &job};

    if (collection == NULL || (patterns == NULL && count != 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is NULL",
                             collection == NULL ? "collection" : "patterns");
    }
    if (mode != CAIRN_UPSERT && mode != CAIRN_INSERT && mode != CAIRN_UPDATE) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%d is not a write mode", (int)mode);
    }
    CRN_TRY(check_writable(collection, err));
    if (count == 0) return CAIRN_OK;
    CRN_TRY(crn_prepare(collection, mode, patterns, count, &job.batch, err));
    crn_buf_init(&job.memory, SIZE_MAX / 2);
    job.uses = crn_uses_take(collection);
    const cairn_status status = crn_store_write(collection->db->store, &write, err);
    crn_uses_settle(collection, job.uses, status == CAIRN_OK);
    crn_buf_release(&job.memory);
    crn_prepare_release(&job.batch);
    if (status == CAIRN_OK) crn_maintenance_notice(collection, count);
    return status;
}

cairn_status cairn_upsert(cairn_collection *collection, const cairn_pattern *patterns, size_t count,
                          cairn_error *err)
{
    return cairn_write(collection, CAIRN_UPSERT, patterns, count, NULL, err);
}

cairn_status cairn_insert(cairn_collection *collection, const cairn_pattern *patterns, size_t count,
                          cairn_error *err)
{
    return cairn_write(collection, CAIRN_INSERT, patterns, count, NULL, err);
}

cairn_status cairn_update(cairn_collection *collection, const cairn_pattern *patterns, size_t count,
                          cairn_error *err)
{
    return cairn_write(collection, CAIRN_UPDATE, patterns, count, NULL, err);
}

/* ---- deleting ---- */

struct delete_job {
    cairn_collection *collection;
    const struct crn_id *ids; /* [count], or NULL with a scope */
    size_t count;
    const cairn_scope *scope;
    int64_t now_ms;
    uint64_t first, last;
    uint64_t deleted; /* that had not expired */
    uint32_t *locals; /* what was deleted, for the views */
    size_t local_count;
    struct crn_buf memory;
};

static cairn_status delete_local(struct delete_job *job, struct crn_txn *txn,
                                 const struct crn_catalog *catalog, uint32_t local, cairn_error *err)
{
    if (job->local_count % 1024 == 0) {
        uint32_t *more = crn_mem_realloc_array(job->locals, job->local_count + 1024, sizeof *more);
        if (more == NULL) return crn_error_no_memory(err, job->local_count * sizeof *more);
        job->locals = more;
    }
    CRN_TRY(crn_txn_delete(txn, catalog, local, err));
    job->locals[job->local_count++] = local;
    return CAIRN_OK;
}

static cairn_status delete_ids(struct delete_job *job, struct crn_txn *txn, const struct crn_catalog *catalog,
                               cairn_error *err)
{
    for (size_t i = 0; i < job->count; i++) {
        const struct crn_id *id = &job->ids[i];
        uint32_t local;
        uint64_t version;
        int64_t expires_at_ms;
        CRN_TRY(crn_txn_find(txn, catalog, id->type, id->text, id->len, id->u64, &local, &version,
                             &expires_at_ms, err));
        if (local == 0) continue;
        CRN_TRY(delete_local(job, txn, catalog, local, err));
        if (expires_at_ms == 0 || expires_at_ms > job->now_ms) job->deleted++;
    }
    return CAIRN_OK;
}

/* The set comes from the last commit; jobs before this one in the same group may have changed rows since, so each row is
 * matched once more as the transaction sees it. */
static cairn_status delete_rows(struct delete_job *job, struct crn_txn *txn,
                                const struct crn_catalog *catalog, const struct crn_rows *rows,
                                cairn_error *err)
{
    roaring_uint32_iterator_t it;
    struct crn_scope_test test;
    struct crn_record record;
    cairn_status status = crn_scope_test_init(&test, job->scope, err);

    if (status != CAIRN_OK) return status;
    test.catalog = catalog;
    roaring_init_iterator(rows->locals, &it);
    for (; status == CAIRN_OK && it.has_value; roaring_advance_uint32_iterator(&it)) {
        bool matches = false;
        crn_buf_clear(&job->memory);
        status =
            crn_txn_record(txn, catalog, it.current_value, test.with_vectors, &job->memory, &record, err);
        if (status == CAIRN_OK) status = crn_scope_test_record(&test, &record, &matches, err);
        if (status == CAIRN_NOT_FOUND) status = CAIRN_OK;
        if (status != CAIRN_OK || !matches) continue;
        status = delete_local(job, txn, catalog, it.current_value, err);
        job->deleted++;
    }
    crn_scope_test_release(&test);
    return status;
}

static cairn_status delete_scope(struct delete_job *job, struct crn_txn *txn,
                                 const struct crn_catalog *catalog, cairn_error *err)
{
    const struct crn_catalog *committed;
    struct crn_reader *reader;
    struct crn_rows *rows = NULL;

    CRN_TRY(crn_collection_read(job->collection, &reader, &committed, err));
    cairn_status status = crn_collection_scope(job->collection, reader, committed, job->scope, &rows, err);
    crn_store_read_end(reader);
    if (status == CAIRN_OK) status = delete_rows(job, txn, catalog, rows, err);
    crn_rows_release(rows);
    return status;
}

static cairn_status run_delete(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct delete_job *job = ctx;
    const struct crn_catalog *catalog;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    job->local_count = 0;
    job->deleted = 0;
    job->first = crn_txn_sequence(txn) + 1;
    CRN_TRY(job->ids != NULL ? delete_ids(job, txn, catalog, err) : delete_scope(job, txn, catalog, err));
    job->last = crn_txn_sequence(txn);
    return CAIRN_OK;
}

static void delete_committed(void *ctx, uint64_t sequence)
{
    struct delete_job *job = ctx;
    struct crn_change *changes = crn_mem_calloc(job->local_count, sizeof *changes);

    (void)sequence;
    if (changes == NULL || job->local_count == 0) {
        crn_mem_free(changes);
        return;
    }
    for (size_t i = 0; i < job->local_count; i++) changes[i].local = job->locals[i];
    const struct crn_space_list *now = crn_collection_now(job->collection);
    for (uint32_t s = 0; s < now->count; s++) {
        struct crn_live_space *space = now->live[s];
        if (space->info->kind == CAIRN_SPACE_DENSE)
            crn_live_space_apply(space, changes, job->local_count, job->first, job->last);
    }
    crn_mem_free(changes);
}

static cairn_status run_delete_job(struct delete_job *job, uint64_t *out_deleted, cairn_error *err)
{
    const struct crn_write_job write = {.run = run_delete, .committed = delete_committed, .ctx = job};

    job->now_ms = crn_clock_ms();
    crn_buf_init(&job->memory, SIZE_MAX / 2);
    const cairn_status status = crn_store_write(job->collection->db->store, &write, err);
    if (status == CAIRN_OK && out_deleted != NULL) *out_deleted = job->deleted;
    crn_buf_release(&job->memory);
    crn_mem_free(job->locals);
    if (status == CAIRN_OK) crn_maintenance_notice(job->collection, job->local_count);
    return status;
}

cairn_status cairn_delete(cairn_collection *collection, const cairn_id *ids, size_t count,
                          uint64_t *out_deleted, cairn_error *err)
{
    struct delete_job job = {.collection = collection, .count = count};

    if (out_deleted != NULL) *out_deleted = 0;
    if (collection == NULL || (ids == NULL && count != 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is NULL",
                             collection == NULL ? "collection" : "ids");
    }
    CRN_TRY(check_writable(collection, err));
    if (count == 0) return CAIRN_OK;
    struct crn_id *checked = crn_mem_array(count, sizeof *checked);
    if (checked == NULL) return crn_error_no_memory(err, count * sizeof *checked);
    cairn_status status = CAIRN_OK;
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        status = crn_id_check(ids[i].type, ids[i].text, ids[i].u64, &checked[i], err);
    }
    job.ids = checked;
    if (status == CAIRN_OK) status = run_delete_job(&job, out_deleted, err);
    crn_mem_free(checked);
    return status;
}

cairn_status cairn_delete_where(cairn_collection *collection, const cairn_scope *scope, uint64_t *out_deleted,
                                cairn_error *err)
{
    struct delete_job job = {.collection = collection, .scope = scope};

    if (out_deleted != NULL) *out_deleted = 0;
    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    CRN_TRY(check_writable(collection, err));
    if (scope != NULL) CRN_TRY(crn_check_size("cairn_scope", scope->size, sizeof *scope, err));
    CRN_TRY(crn_scope_check(scope, err));
    if (!crn_scope_is_limiting(scope)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the scope has no condition: cairn_collection_drop removes everything");
    }
    return run_delete_job(&job, out_deleted, err);
}
