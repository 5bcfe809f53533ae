/* Metadata: a JSON object of the host's, kept with a collection or with the whole database. */
#include "engine/collection.h"

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

struct metadata_job {
    cairn_collection *collection; /* NULL: the database's own */
    const char *json;
};

static cairn_status check_object(const char *json, cairn_error *err)
{
    struct crn_json root;

    if (json == NULL) return CAIRN_OK;
    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_no_memory(err, strlen(json));
    cairn_status status = crn_json_parse(parser, json, strlen(json), &root, err);
    if (status == CAIRN_OK && crn_json_type(root) != CRN_JSON_OBJECT) {
        status = crn_error_set(err, CAIRN_INVALID_JSON, "the metadata is %s, not an object",
                               crn_json_type_name(root));
    }
    crn_json_parser_free(parser);
    return status;
}

static cairn_status run_metadata(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct metadata_job *job = ctx;
    const struct crn_catalog *catalog;

    if (job->collection == NULL) return crn_txn_metadata(txn, job->json, err);
    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    return crn_txn_collection_metadata(txn, catalog, job->json, err);
}

static cairn_status write_metadata(cairn_db *db, struct metadata_job *job, cairn_error *err)
{
    const struct crn_write_job write = {.run = run_metadata, .ctx = job};

    if (crn_store_read_only(db->store)) {
        return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only", crn_store_path(db->store));
    }
    CRN_TRY(check_object(job->json, err));
    return crn_store_write(db->store, &write, err);
}

cairn_status cairn_collection_set_metadata(cairn_collection *collection, const char *json, cairn_error *err)
{
    struct metadata_job job = {.collection = collection, .json = json};

    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    return write_metadata(collection->db, &job, err);
}

cairn_status cairn_collection_get_metadata(cairn_collection *collection, char **out_json, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    if (collection == NULL || out_json == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_json = NULL;
    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    *out_json = crn_mem_strdup(catalog->metadata);
    const bool lost = catalog->metadata != NULL && *out_json == NULL;
    crn_store_read_end(reader);
    return lost ? crn_error_no_memory(err, CAIRN_NAME_MAX) : CAIRN_OK;
}

cairn_status cairn_set_metadata(cairn_db *db, const char *json, cairn_error *err)
{
    struct metadata_job job = {.json = json};

    if (db == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "db is NULL");
    return write_metadata(db, &job, err);
}

cairn_status cairn_get_metadata(cairn_db *db, char **out_json, cairn_error *err)
{
    struct crn_reader *reader;
    struct crn_buf text;

    if (db == NULL || out_json == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_json = NULL;
    CRN_TRY(crn_store_read_begin(db->store, &reader, err));
    crn_buf_init(&text, SIZE_MAX / 2);
    cairn_status status = crn_read_metadata(reader, &text, err);
    crn_store_read_end(reader);
    if (status == CAIRN_OK && text.len != 0) {
        *out_json = crn_buf_take(&text);
        if (*out_json == NULL) status = crn_error_no_memory(err, text.len);
    }
    crn_buf_release(&text);
    return status;
}
