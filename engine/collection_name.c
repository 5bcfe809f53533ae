/* Names of collections: checking one, finding by one, changing one. */
#include "engine/collection.h"
#include "engine/prepare.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

cairn_status crn_collection_check_name(const cairn_db *db, const char *name, cairn_error *err)
{
    if (db == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "db is NULL");
    if (name == NULL || name[0] == '\0')
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the collection name is empty");
    return crn_check_name("collection name", name, err);
}

cairn_status crn_collection_read_settings(cairn_db *db, const char *name, struct crn_catalog *out_catalog,
                                          uint64_t *out_sequence, cairn_error *err)
{
    struct crn_reader *reader;

    CRN_TRY(crn_store_read_begin(db->store, &reader, err));
    cairn_status status = crn_read_collection(reader, name, out_catalog, err);
    if (status == CAIRN_OK) {
        status = crn_read_settings_sequence(reader, out_catalog->id, out_sequence, err);
        if (status != CAIRN_OK) crn_catalog_release(out_catalog);
    }
    crn_store_read_end(reader);
    return status;
}

cairn_status crn_collection_still_named(struct crn_txn *txn, const struct crn_catalog *catalog,
                                        cairn_error *err)
{
    struct crn_catalog now;

    CRN_TRY(crn_txn_collection(txn, catalog->id, &now, err));
    const bool same = strcmp(now.name, catalog->name) == 0;
    crn_catalog_release(&now);
    if (same) return CAIRN_OK;
    return crn_error_set(err, CAIRN_NO_COLLECTION, "there is no collection \"%s\" any more: it was renamed",
                         catalog->name);
}

/* ---- of an open collection ---- */

cairn_status crn_collection_note_name(cairn_collection *collection, const char *name, cairn_error *err)
{
    /* Relaxed: only who holds the mutex writes it. */
    struct crn_collection_name *older = atomic_load_explicit(&collection->name, memory_order_relaxed);
    const size_t size = strlen(name) + 1;

    if (older != NULL && strcmp(older->text, name) == 0) return CAIRN_OK;
    struct crn_collection_name *noted = crn_mem_alloc(sizeof *noted + size);
    if (noted == NULL) return crn_error_no_memory(err, sizeof *noted + size);
    noted->older = older;
    memcpy(noted->text, name, size);
    /* Release: pairs with the acquire of cairn_collection_name. */
    atomic_store_explicit(&collection->name, noted, memory_order_release);
    return CAIRN_OK;
}

void crn_collection_free_names(cairn_collection *collection)
{
    struct crn_collection_name *name = atomic_load_explicit(&collection->name, memory_order_relaxed);

    while (name != NULL) {
        struct crn_collection_name *older = name->older;
        crn_mem_free(name);
        name = older;
    }
}

const char *cairn_collection_name(const cairn_collection *collection)
{
    if (collection == NULL) return NULL;
    return atomic_load_explicit(&((cairn_collection *)collection)->name, memory_order_acquire)->text;
}

/* ---- renaming ---- */

struct rename_job {
    struct crn_catalog from, to; /* `to` is empty when nobody has the name, or it is not to be dropped */
    const char *name;
};

static cairn_status run_rename(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct rename_job *job = ctx;

    CRN_TRY(crn_collection_still_named(txn, &job->from, err));
    if (job->to.id != 0) {
        cairn_status status = crn_collection_still_named(txn, &job->to, err);
        if (status == CAIRN_OK) status = crn_txn_collection_drop(txn, &job->to, err);
        if (status != CAIRN_OK && status != CAIRN_NO_COLLECTION) return status;
    }
    return crn_txn_collection_rename(txn, &job->from, job->name, err);
}

static cairn_status read_both(cairn_db *db, const char *name, bool replace, struct rename_job *job,
                              cairn_error *err)
{
    uint64_t sequence;

    CRN_TRY(crn_collection_read_settings(db, name, &job->from, &sequence, err));
    if (!replace || strcmp(name, job->name) == 0) return CAIRN_OK;
    const cairn_status status = crn_collection_read_settings(db, job->name, &job->to, &sequence, err);
    return status == CAIRN_NO_COLLECTION ? CAIRN_OK : status;
}

cairn_status cairn_collection_rename(cairn_db *db, const char *name, const char *new_name, bool replace,
                                     cairn_error *err)
{
    struct rename_job job = {.name = new_name};
    const struct crn_write_job write = {.run = run_rename, .ctx = &job};

    CRN_TRY(crn_collection_check_name(db, name, err));
    CRN_TRY(crn_collection_check_name(db, new_name, err));
    cairn_status status = read_both(db, name, replace, &job, err);
    if (status == CAIRN_OK) status = crn_store_write(db->store, &write, err);
    crn_catalog_release(&job.from);
    crn_catalog_release(&job.to);
    return status;
}
