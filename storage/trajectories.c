/*
 * Trajectories: stored whole, one row each, with a digest over everything.
 */
#include "storage/trajectories.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <endian.h>
#include <string.h>

#define BLOB_BYTES_MAX 900000000u

/* ---- digest ---- */

static void add_number(struct crn_hash *hash, uint64_t value)
{
    const uint64_t bytes = htole64(value);

    crn_hash_update(hash, &bytes, sizeof bytes);
}

static void add_text(struct crn_hash *hash, const char *text)
{
    const size_t len = text != NULL ? strlen(text) : 0;

    add_number(hash, text != NULL ? len + 1 : 0);
    if (len > 0) crn_hash_update(hash, text, len);
}

/* Over the bytes as they are stored: little-endian f32 and f64. */
static uint64_t digest_of(uint32_t collection, const cairn_trajectory *trajectory, size_t states_size,
                          size_t rewards_size)
{
    struct crn_hash hash;

    crn_hash_init(&hash, collection);
    add_text(&hash, trajectory->id);
    add_text(&hash, trajectory->domain);
    add_text(&hash, trajectory->agent);
    add_number(&hash, trajectory->steps);
    add_number(&hash, trajectory->state_dim);
    add_number(&hash, states_size);
    if (states_size > 0) crn_hash_update(&hash, trajectory->states, states_size);
    add_text(&hash, trajectory->actions);
    add_number(&hash, rewards_size);
    if (rewards_size > 0) crn_hash_update(&hash, trajectory->rewards, rewards_size);
    add_text(&hash, trajectory->metadata);
    add_number(&hash, (uint64_t)trajectory->created_at_ms);
    return crn_hash_final(&hash);
}

/* ---- writing ---- */

struct sizes {
    size_t states, rewards;
};

static cairn_status measure(const cairn_trajectory *trajectory, struct sizes *out_sizes, cairn_error *err)
{
    size_t floats;

    *out_sizes = (struct sizes){0};
    if (trajectory->id == NULL || trajectory->id[0] == '\0' || strlen(trajectory->id) > CAIRN_ID_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ID, "a trajectory's id has 1 to %u bytes", CAIRN_ID_MAX);
    }
    if (trajectory->states != NULL &&
        (!crn_mem_mul(trajectory->steps, trajectory->state_dim, &floats) ||
         !crn_mem_mul(floats, sizeof(float), &out_sizes->states) || out_sizes->states > BLOB_BYTES_MAX)) {
        return crn_error_set(err, CAIRN_LIMIT, "trajectory \"%s\": %u states of dim %u are too many",
                             trajectory->id, trajectory->steps, trajectory->state_dim);
    }
    if (trajectory->rewards != NULL) out_sizes->rewards = trajectory->steps * sizeof(double);
    if (out_sizes->rewards > BLOB_BYTES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "trajectory \"%s\": %u rewards are too many", trajectory->id,
                             trajectory->steps);
    }
    return CAIRN_OK;
}

static void bind_trajectory(sqlite3_stmt *stmt, const cairn_trajectory *trajectory, const struct sizes *sizes)
{
    sqlite3_bind_text(stmt, 2, trajectory->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, trajectory->steps);
    sqlite3_bind_int64(stmt, 6, trajectory->state_dim);
    sqlite3_bind_blob(stmt, 7, trajectory->states, (int)sizes->states, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_text(stmt, 8, trajectory->actions, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 9, trajectory->rewards, (int)sizes->rewards, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 10, trajectory->metadata, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 11, trajectory->created_at_ms);
}

cairn_status crn_txn_trajectory_put(struct crn_txn *txn, uint32_t collection,
                                    const cairn_trajectory *trajectory, cairn_error *err)
{
    cairn_trajectory stored = *trajectory;
    struct sizes sizes;
    sqlite3_stmt *stmt;
    int64_t domain, agent;

    if (stored.domain == NULL) stored.domain = "";
    if (stored.agent == NULL) stored.agent = "";
    CRN_TRY(measure(&stored, &sizes, err));
    CRN_TRY(crn_txn_collection_check(txn, collection, err));
    CRN_TRY(crn_names_intern(txn->conn, stored.domain, &domain, err));
    CRN_TRY(crn_names_intern(txn->conn, stored.agent, &agent, err));
    CRN_TRY(crn_conn_statement(
        txn->conn,
        "INSERT INTO trajectories(collection, id, domain, agent, steps, state_dim, states,"
        " actions, rewards, metadata, created_at, digest) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
        &stmt, err));
    bind_trajectory(stmt, &stored, &sizes);
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_int64(stmt, 3, domain);
    sqlite3_bind_int64(stmt, 4, agent);
    sqlite3_bind_int64(stmt, 12, (int64_t)digest_of(collection, &stored, sizes.states, sizes.rewards));
    txn->bytes += sizes.states + sizes.rewards + 256;
    cairn_status status = crn_conn_run(txn->conn, stmt, err);
    if (status == CAIRN_OK || sqlite3_extended_errcode(txn->conn->db) != SQLITE_CONSTRAINT_UNIQUE)
        return status;
    return crn_error_set(err, CAIRN_EXISTS, "there is a trajectory \"%s\" already", stored.id);
}

cairn_status crn_txn_trajectory_delete(struct crn_txn *txn, uint32_t collection, const char *id,
                                       bool *out_deleted, cairn_error *err)
{
    sqlite3_stmt *stmt;

    *out_deleted = false;
    CRN_TRY(
        crn_conn_statement(txn->conn, "DELETE FROM trajectories WHERE collection=?1 AND id=?2", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_text(stmt, 2, id, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    *out_deleted = sqlite3_changes(txn->conn->db) > 0;
    return CAIRN_OK;
}

/* ---- reading ---- */

#define COLUMNS                                                                                          \
    "SELECT id, domain, agent, steps, state_dim, states, actions, rewards, metadata, created_at, digest" \
    " FROM trajectories"

/* A statement's current row; its pointers live until the next step. */
struct stored {
    cairn_trajectory trajectory;
    size_t states_size, rewards_size;
    char domain[CAIRN_NAME_MAX + 1], agent[CAIRN_NAME_MAX + 1];
    const char *damage; /* NULL, or what is wrong with it */
};

static cairn_status decode(struct crn_reader *reader, sqlite3_stmt *stmt, uint32_t collection,
                           struct stored *out, cairn_error *err)
{
    out->trajectory = (cairn_trajectory){
        .size = sizeof out->trajectory,
        .id = (const char *)sqlite3_column_text(stmt, 0),
        .domain = out->domain,
        .agent = out->agent,
        .steps = (uint32_t)sqlite3_column_int64(stmt, 3),
        .state_dim = (uint32_t)sqlite3_column_int64(stmt, 4),
        .states = sqlite3_column_blob(stmt, 5),
        .actions = (const char *)sqlite3_column_text(stmt, 6),
        .rewards = sqlite3_column_blob(stmt, 7),
        .metadata = (const char *)sqlite3_column_text(stmt, 8),
        .created_at_ms = sqlite3_column_int64(stmt, 9),
    };
    out->states_size = (size_t)sqlite3_column_bytes(stmt, 5);
    out->rewards_size = (size_t)sqlite3_column_bytes(stmt, 7);
    out->damage = NULL;
    if (sqlite3_errcode(reader->conn.db) == SQLITE_NOMEM) return crn_error_no_memory(err, out->states_size);
    cairn_status status = crn_names_text(&reader->conn, sqlite3_column_int64(stmt, 1), out->domain, err);
    if (status == CAIRN_OK) {
        status = crn_names_text(&reader->conn, sqlite3_column_int64(stmt, 2), out->agent, err);
    }
    if (status == CAIRN_CORRUPT) out->damage = "its domain or agent is missing";
    if (status != CAIRN_OK) return status == CAIRN_CORRUPT ? CAIRN_OK : status;
    const uint64_t digest = digest_of(collection, &out->trajectory, out->states_size, out->rewards_size);
    if (digest != (uint64_t)sqlite3_column_int64(stmt, 10)) out->damage = "it does not match its digest";
    return CAIRN_OK;
}

/* Floats are handed out aligned: SQLite's memory for a blob need not be. */
struct aligned {
    void *states, *rewards;
};

static cairn_status align(struct stored *stored, struct aligned *aligned, cairn_error *err)
{
    cairn_trajectory *trajectory = &stored->trajectory;

    aligned->states = crn_mem_alloc(stored->states_size);
    aligned->rewards = crn_mem_alloc(stored->rewards_size);
    if (aligned->states == NULL || aligned->rewards == NULL) {
        return crn_error_no_memory(err, stored->states_size + stored->rewards_size);
    }
    if (trajectory->states != NULL) {
        trajectory->states = memcpy(aligned->states, trajectory->states, stored->states_size);
    }
    if (trajectory->rewards != NULL) {
        trajectory->rewards = memcpy(aligned->rewards, trajectory->rewards, stored->rewards_size);
    }
    return CAIRN_OK;
}

struct trajectory_scan {
    struct crn_reader *reader;
    uint32_t collection;
    cairn_status (*fn)(void *ctx, const cairn_trajectory *trajectory);
    cairn_status (*check)(void *ctx, const char *id, const char *damage); /* instead of fn */
    void *ctx;
};

static cairn_status scan_trajectory(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct trajectory_scan *scan = ctx;
    struct aligned aligned = {0};
    struct stored stored;

    CRN_TRY(decode(scan->reader, stmt, scan->collection, &stored, err));
    const char *id = stored.trajectory.id != NULL ? stored.trajectory.id : "?";
    if (scan->check != NULL) return scan->check(scan->ctx, id, stored.damage);
    if (stored.damage != NULL) {
        return crn_error_set(err, CAIRN_CORRUPT, "collection %u, trajectory \"%s\": %s", scan->collection, id,
                             stored.damage);
    }
    cairn_status status = align(&stored, &aligned, err);
    if (status == CAIRN_OK) status = scan->fn(scan->ctx, &stored.trajectory);
    crn_mem_free(aligned.states);
    crn_mem_free(aligned.rewards);
    return status;
}

static cairn_status find_name(struct crn_reader *reader, const char *name, int64_t *out_id, bool *empty,
                              cairn_error *err)
{
    *out_id = -1;
    if (name == NULL) return CAIRN_OK;
    CRN_TRY(crn_names_find(&reader->conn, name, out_id, err));
    *empty = *empty || *out_id < 0;
    return CAIRN_OK;
}

static cairn_status prepare_newest(struct crn_reader *reader, const char *domain, const char *agent,
                                   size_t limit, sqlite3_stmt **out_stmt, bool *empty, cairn_error *err)
{
    int64_t domain_id, agent_id;

    CRN_TRY(find_name(reader, domain, &domain_id, empty, err));
    CRN_TRY(find_name(reader, agent, &agent_id, empty, err));
    CRN_TRY(crn_conn_statement(&reader->conn,
                               COLUMNS " WHERE collection=?1 AND (?2<0 OR domain=?2) AND (?3<0 OR agent=?3)"
                                       " ORDER BY created_at DESC, key DESC LIMIT ?4",
                               out_stmt, err));
    sqlite3_bind_int64(*out_stmt, 2, domain_id);
    sqlite3_bind_int64(*out_stmt, 3, agent_id);
    sqlite3_bind_int64(*out_stmt, 4, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    return CAIRN_OK;
}

cairn_status crn_read_trajectories(struct crn_reader *reader, uint32_t collection, const char *id,
                                   const char *domain, const char *agent, size_t limit,
                                   cairn_status (*fn)(void *ctx, const cairn_trajectory *trajectory),
                                   void *ctx, cairn_error *err)
{
    struct trajectory_scan scan = {.reader = reader, .collection = collection, .fn = fn, .ctx = ctx};
    sqlite3_stmt *stmt;
    bool empty = false;

    if (id != NULL) {
        CRN_TRY(crn_conn_statement(&reader->conn, COLUMNS " WHERE collection=?1 AND id=?2", &stmt, err));
        sqlite3_bind_text(stmt, 2, id, -1, SQLITE_STATIC);
    } else {
        CRN_TRY(prepare_newest(reader, domain, agent, limit, &stmt, &empty, err));
    }
    if (empty) return CAIRN_OK;
    sqlite3_bind_int64(stmt, 1, collection);
    return crn_conn_each(&reader->conn, stmt, scan_trajectory, &scan, err);
}

cairn_status crn_trajectories_check(struct crn_reader *reader, uint32_t collection,
                                    cairn_status (*fn)(void *ctx, const char *id, const char *damage),
                                    void *ctx, cairn_error *err)
{
    struct trajectory_scan scan = {.reader = reader, .collection = collection, .check = fn, .ctx = ctx};
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, COLUMNS " WHERE collection=?1 ORDER BY key", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    return crn_conn_each(&reader->conn, stmt, scan_trajectory, &scan, err);
}
