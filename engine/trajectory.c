/* Trajectories: what an agent saw, did and got, step by step. Stored whole and read whole; they are not
 * searched. */
#include "engine/collection.h"
#include "engine/id.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define STATES_BYTES_MAX CAIRN_PAYLOAD_MAX

/* ---- writing ---- */

static cairn_status check_json(const char *what, const char *json, enum crn_json_type type, size_t count,
                               cairn_error *err)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    const size_t len = strnlen(json, (size_t)CAIRN_PAYLOAD_MAX + 1);
    struct crn_json root;
    cairn_status status;

    if (parser == NULL) return crn_error_no_memory(err, 1);
    if (len > CAIRN_PAYLOAD_MAX) {
        status = crn_error_set(err, CAIRN_LIMIT, "the %s are longer than %u bytes", what, CAIRN_PAYLOAD_MAX);
        goto done;
    }
    status = crn_json_parse(parser, json, len, &root, err);
    if (status != CAIRN_OK) {
        status = crn_error_context(err, status, "the %s", what);
    } else if (crn_json_type(root) != type) {
        status = crn_error_set(err, CAIRN_INVALID_JSON, "the %s are %s, not an %s", what,
                               crn_json_type_name(root), type == CRN_JSON_ARRAY ? "array" : "object");
    } else if (type == CRN_JSON_ARRAY && crn_json_size(root) != count) {
        status = crn_error_set(err, CAIRN_INVALID_ARGUMENT, "there are %zu %s for %zu steps",
                               crn_json_size(root), what, count);
    }

done:
    crn_json_parser_free(parser);
    return status;
}

static cairn_status check_states(const cairn_trajectory *trajectory, cairn_error *err)
{
    size_t values, bytes;

    if (trajectory->states == NULL || trajectory->steps == 0 || trajectory->state_dim == 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a trajectory has states: %u steps of dim %u were given",
                             trajectory->states != NULL ? trajectory->steps : 0, trajectory->state_dim);
    }
    if (!crn_mem_mul(trajectory->steps, trajectory->state_dim, &values) ||
        !crn_mem_mul(values, sizeof(float), &bytes) || bytes > STATES_BYTES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "%u states of dim %u are more than %u bytes",
                             trajectory->steps, trajectory->state_dim, STATES_BYTES_MAX);
    }
    if (!crn_vector_finite(trajectory->states, values)) {
        return crn_error_set(err, CAIRN_INVALID_VECTOR, "a state holds a NaN or an infinity");
    }
    return CAIRN_OK;
}

static cairn_status check_trajectory(const cairn_trajectory *trajectory, cairn_error *err)
{
    CRN_TRY(crn_check_size("cairn_trajectory", trajectory->size, sizeof *trajectory, err));
    CRN_TRY(crn_check_name("domain", trajectory->domain, err));
    CRN_TRY(crn_check_name("agent", trajectory->agent, err));
    CRN_TRY(check_states(trajectory, err));
    if (trajectory->actions == NULL || trajectory->rewards == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the trajectory has no %s",
                             trajectory->actions == NULL ? "actions" : "rewards");
    }
    for (uint32_t i = 0; i < trajectory->steps; i++) {
        if (isfinite(trajectory->rewards[i])) continue;
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "reward %u is %g", i, trajectory->rewards[i]);
    }
    CRN_TRY(check_json("actions", trajectory->actions, CRN_JSON_ARRAY, trajectory->steps, err));
    if (trajectory->metadata == NULL) return CAIRN_OK;
    return check_json("metadata", trajectory->metadata, CRN_JSON_OBJECT, 0, err);
}

struct insert_job {
    cairn_collection *collection;
    const cairn_trajectory *trajectory;
};

static cairn_status run_insert(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct insert_job *job = ctx;
    const struct crn_catalog *catalog;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    return crn_txn_trajectory_put(txn, catalog->id, job->trajectory, err);
}

cairn_status cairn_trajectory_insert(cairn_collection *collection, const cairn_trajectory *trajectory,
                                     char out_id[40], cairn_error *err)
{
    struct crn_id id;
    char generated[40] = "";

    if (collection == NULL || trajectory == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is NULL",
                             collection == NULL ? "collection" : "trajectory");
    }
    CRN_TRY(check_trajectory(trajectory, err));
    cairn_trajectory filled = *trajectory;
    if (filled.created_at_ms == 0) filled.created_at_ms = crn_clock_ms();
    if (filled.domain == NULL) filled.domain = "";
    if (filled.agent == NULL) filled.agent = "";
    if (filled.id == NULL) {
        crn_id_generate(filled.created_at_ms, generated);
        filled.id = generated;
    }
    CRN_TRY(crn_id_check(CAIRN_ID_STRING, filled.id, 0, &id, err));

    struct insert_job job = {.collection = collection, .trajectory = &filled};
    const struct crn_write_job write = {.run = run_insert, .ctx = &job};
    CRN_TRY(crn_store_write(crn_collection_store(collection), &write, err));
    if (out_id != NULL) memcpy(out_id, generated, sizeof generated);
    return CAIRN_OK;
}

struct delete_job {
    cairn_collection *collection;
    const char *id;
    bool deleted;
};

static cairn_status run_delete(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct delete_job *job = ctx;
    const struct crn_catalog *catalog;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    return crn_txn_trajectory_delete(txn, catalog->id, job->id, &job->deleted, err);
}

cairn_status cairn_trajectory_delete(cairn_collection *collection, const char *id, bool *out_deleted,
                                     cairn_error *err)
{
    struct delete_job job = {.collection = collection, .id = id};
    const struct crn_write_job write = {.run = run_delete, .ctx = &job};
    struct crn_id checked;

    if (out_deleted != NULL) *out_deleted = false;
    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    CRN_TRY(crn_id_check(CAIRN_ID_STRING, id, 0, &checked, err));
    CRN_TRY(crn_store_write(crn_collection_store(collection), &write, err));
    if (out_deleted != NULL) *out_deleted = job.deleted;
    return CAIRN_OK;
}

/* ---- reading ---- */

struct cairn_trajectories {
    cairn_trajectory *items; /* each owns one block, which begins with its rewards */
    size_t count, capacity;
    cairn_error *err; /* while reading */
};

static char *put(char *at, const void *data, size_t size)
{
    if (size > 0) memcpy(at, data, size);
    return at + size;
}

static const char *put_text(char **at, const char *text)
{
    const char *copy = *at;

    if (text == NULL) return NULL;
    *at = put(*at, text, strlen(text) + 1);
    return copy;
}

static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

/* Rewards first, because they need the widest alignment; then states; then the texts. */
static cairn_status copy_trajectory(const cairn_trajectory *from, cairn_trajectory *out, cairn_error *err)
{
    const size_t rewards = from->steps * sizeof *from->rewards;
    const size_t states = (size_t)from->steps * from->state_dim * sizeof *from->states;
    const size_t size = rewards + states + text_size(from->id) + text_size(from->domain) +
                        text_size(from->agent) + text_size(from->actions) + text_size(from->metadata);
    char *block = crn_mem_alloc(size);

    if (block == NULL) return crn_error_no_memory(err, size);
    *out = *from;
    out->size = sizeof *out;
    out->rewards = (const double *)(void *)block;
    char *at = put(block, from->rewards, rewards);
    out->states = (const float *)(void *)at;
    at = put(at, from->states, states);
    out->id = put_text(&at, from->id);
    out->domain = put_text(&at, from->domain);
    out->agent = put_text(&at, from->agent);
    out->actions = put_text(&at, from->actions);
    out->metadata = put_text(&at, from->metadata);
    return CAIRN_OK;
}

static cairn_status keep_trajectory(void *ctx, const cairn_trajectory *trajectory)
{
    struct cairn_trajectories *kept = ctx;

    if (kept->count == kept->capacity) {
        const size_t capacity = kept->capacity > 0 ? kept->capacity * 2 : 16;
        void *grown = crn_mem_realloc_array(kept->items, capacity, sizeof *kept->items);
        if (grown == NULL) return crn_error_no_memory(kept->err, capacity * sizeof *kept->items);
        kept->items = grown;
        kept->capacity = capacity;
    }
    CRN_TRY(copy_trajectory(trajectory, &kept->items[kept->count], kept->err));
    kept->count++;
    return CAIRN_OK;
}

static cairn_status read_trajectories(cairn_collection *collection, const char *id, const char *domain,
                                      const char *agent, size_t limit, struct cairn_trajectories *out,
                                      cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    const cairn_status status =
        crn_read_trajectories(reader, catalog->id, id, domain, agent, limit, keep_trajectory, out, err);
    crn_store_read_end(reader);
    return status;
}

cairn_status cairn_trajectory_get(cairn_collection *collection, const char *id, const char *domain,
                                  const char *agent, size_t limit, cairn_trajectories **out_trajectories,
                                  cairn_error *err)
{
    struct crn_id checked;

    if (collection == NULL || out_trajectories == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    }
    *out_trajectories = NULL;
    if (id != NULL) {
        CRN_TRY(crn_id_check(CAIRN_ID_STRING, id, 0, &checked, err));
        limit = 1;
    }
    if (limit == 0 || limit > CAIRN_K_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "limit %zu is not between 1 and %u", limit,
                             CAIRN_K_MAX);
    }
    CRN_TRY(crn_check_name("domain", domain, err));
    CRN_TRY(crn_check_name("agent", agent, err));
    struct cairn_trajectories *trajectories = crn_mem_calloc(1, sizeof *trajectories);
    if (trajectories == NULL) return crn_error_no_memory(err, sizeof *trajectories);
    trajectories->err = err;
    const cairn_status status = read_trajectories(collection, id, domain, agent, limit, trajectories, err);
    trajectories->err = NULL;
    if (status != CAIRN_OK) {
        cairn_trajectories_free(trajectories);
        return status;
    }
    *out_trajectories = trajectories;
    return CAIRN_OK;
}

size_t cairn_trajectories_count(const cairn_trajectories *trajectories)
{
    return trajectories == NULL ? 0 : trajectories->count;
}

const cairn_trajectory *cairn_trajectories_at(const cairn_trajectories *trajectories, size_t i)
{
    return trajectories == NULL || i >= trajectories->count ? NULL : &trajectories->items[i];
}

void cairn_trajectories_free(cairn_trajectories *trajectories)
{
    if (trajectories == NULL) return;
    for (size_t i = 0; i < trajectories->count; i++)
        crn_mem_free((void *)(uintptr_t)trajectories->items[i].rewards);
    crn_mem_free(trajectories->items);
    crn_mem_free(trajectories);
}
