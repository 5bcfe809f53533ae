/*
 * Verifying rows, their vectors, trajectories and the log.
 */
#include "storage/trajectories.h"
#include "storage/verify.h"

#include "base/error.h"

struct row_check {
    struct crn_verify *verify;
    const struct crn_catalog *catalog;
    uint64_t rows;
    uint32_t last_local;
};

static void found_in_row(const struct row_check *check, const struct crn_row *row, const char *damage)
{
    crn_verify_found(check->verify, "collection \"%s\", row %u (id %s): %s", check->catalog->name,
                     row->record.local, row->record.id, damage);
}

/* Adds the stored digest of one vector to the sum, after checking its bytes against it. */
static cairn_status check_vector(const struct row_check *check, const struct crn_row *row,
                                 const struct crn_space *space, struct crn_row_vector_sum *sum)
{
    struct crn_conn *conn = &check->verify->reader->conn;
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(
        crn_conn_statement(conn, "SELECT digest, data FROM vecs WHERE key=?1", &stmt, check->verify->err));
    sqlite3_bind_int64(stmt, 1, crn_key(space->id, row->record.local));
    CRN_TRY(crn_conn_step(conn, stmt, &found, check->verify->err));
    if (!found) return CAIRN_OK;
    const uint64_t digest = (uint64_t)sqlite3_column_int64(stmt, 0);
    const void *data = sqlite3_column_blob(stmt, 1);
    const size_t size = (size_t)sqlite3_column_bytes(stmt, 1);
    if (crn_row_vector_digest(space->id, row->record.local, data, size) != digest) {
        crn_verify_found(
            check->verify,
            "collection \"%s\", row %u (id %s): its vector of space \"%s\" does not match its digest",
            check->catalog->name, row->record.local, row->record.id, space->name);
    }
    sqlite3_reset(stmt);
    crn_row_vector_add(sum, space->id, digest);
    return CAIRN_OK;
}

static cairn_status check_vectors(const struct row_check *check, const struct crn_row *row)
{
    struct crn_row_vector_sum sum = {0};

    for (uint32_t i = 0; i < check->catalog->space_count; i++) {
        CRN_TRY(check_vector(check, row, &check->catalog->spaces[i], &sum));
    }
    if (sum.sum != row->vectors) found_in_row(check, row, "its vectors are not those it was written with");
    return CAIRN_OK;
}

static cairn_status check_row(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct row_check *check = ctx;
    struct crn_row row;

    CRN_TRY(crn_row_decode(&check->verify->reader->conn, stmt, true, &row, err));
    if (row.damage != NULL) found_in_row(check, &row, row.damage);
    check->rows++;
    check->last_local = row.record.local;
    CRN_TRY(check_vectors(check, &row));
    return crn_verify_step(check->verify);
}

static cairn_status check_all_rows(struct row_check *check)
{
    struct crn_conn *conn = &check->verify->reader->conn;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(conn,
                               "SELECT " CRN_ROW_COLUMNS CRN_ROW_BODY CRN_ROW_FROM
                               "WHERE p.key BETWEEN ?1 AND ?2 ORDER BY p.key",
                               &stmt, check->verify->err));
    sqlite3_bind_int64(stmt, 1, crn_key(check->catalog->id, 0));
    sqlite3_bind_int64(stmt, 2, crn_key(check->catalog->id, UINT32_MAX));
    return crn_conn_each(conn, stmt, check_row, check, check->verify->err);
}

static cairn_status check_counters(const struct row_check *check)
{
    struct crn_verify *verify = check->verify;
    struct crn_conn *conn = &verify->reader->conn;
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(
        crn_conn_statement(conn, "SELECT rows, next_local FROM collections WHERE id=?1", &stmt, verify->err));
    sqlite3_bind_int64(stmt, 1, check->catalog->id);
    CRN_TRY(crn_conn_step(conn, stmt, &found, verify->err));
    const uint64_t rows = found ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    const uint64_t next_local = found ? (uint64_t)sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    if (rows != check->rows) {
        crn_verify_found(verify, "collection \"%s\" says it has %llu rows, and has %llu",
                         check->catalog->name, (unsigned long long)rows, (unsigned long long)check->rows);
    }
    if (next_local <= check->last_local) {
        crn_verify_found(verify, "collection \"%s\" would give out row number %llu again",
                         check->catalog->name, (unsigned long long)next_local);
    }
    return CAIRN_OK;
}

static const char misfiled_rows[] = "SELECT 'collection '||(key>>32)||' row '||(key&4294967295) FROM points"
                                    " WHERE key BETWEEN %u<<32 AND (%u<<32)+4294967295 AND collection<>%u";

cairn_status crn_verify_rows(struct crn_verify *verify, const struct crn_catalog *catalog)
{
    struct row_check check = {.verify = verify, .catalog = catalog};
    uint64_t total = 0;

    CRN_TRY(crn_read_count(verify->reader, catalog->id, &total, verify->err));
    CRN_TRY(crn_verify_phase(verify, "rows", total));
    CRN_TRY(crn_verify_absorb(verify, check_all_rows(&check), catalog->name));
    CRN_TRY(crn_verify_absorb(verify, check_counters(&check), catalog->name));
    return crn_verify_none(verify, misfiled_rows, catalog->id, "a row filed under another collection's ids");
}

/* ---- trajectories ---- */

static cairn_status check_trajectory(void *ctx, const char *id, const char *damage)
{
    const struct row_check *check = ctx;

    if (damage != NULL) {
        crn_verify_found(check->verify, "collection \"%s\", trajectory \"%s\": %s", check->catalog->name, id,
                         damage);
    }
    return crn_verify_step(check->verify);
}

cairn_status crn_verify_trajectories(struct crn_verify *verify, const struct crn_catalog *catalog)
{
    struct row_check check = {.verify = verify, .catalog = catalog};

    CRN_TRY(crn_verify_phase(verify, "trajectories", 0));
    return crn_verify_absorb(
        verify, crn_trajectories_check(verify->reader, catalog->id, check_trajectory, &check, verify->err),
        catalog->name);
}

/* ---- the log ---- */

/* The newest entry of each row's key, against the row. Entries of dropped collections say nothing any
 * more. */
static const char wrong_entries[] =
    "SELECT 'collection '||(key>>32)||' row '||(key&4294967295)||' '||wrong FROM (SELECT l.key AS key,"
    " CASE WHEN l.op=3 THEN iif(p.key IS NULL, NULL, 'was deleted, and is there')"
    "  WHEN p.key IS NULL THEN 'was written, and is not there'"
    "  WHEN l.version<>p.version OR l.digest<>p.digest THEN 'was last written in another version'"
    "  END AS wrong"
    " FROM (SELECT key, max(seq), op, version, digest FROM oplog WHERE op<=3 GROUP BY key) l"
    " LEFT JOIN points p ON p.key=l.key WHERE l.key>>32 IN (SELECT id FROM collections))"
    " WHERE wrong IS NOT NULL";

static const char gaps[] = "SELECT seq FROM oplog o WHERE seq>(SELECT min(seq) FROM oplog)"
                           " AND NOT EXISTS(SELECT 1 FROM oplog b WHERE b.seq=o.seq-1)";

static const char late_catalog[] = "SELECT settings_seq FROM collections"
                                   " WHERE settings_seq>(SELECT ifnull(max(seq), 0) FROM oplog)";

cairn_status crn_verify_log(struct crn_verify *verify)
{
    CRN_TRY(crn_verify_phase(verify, "log", 0));
    CRN_TRY(crn_verify_none(verify, wrong_entries, 0, "by the log"));
    CRN_TRY(crn_verify_none(verify, gaps, 0, "the log has a gap before entry"));
    return crn_verify_none(verify, late_catalog, 0, "settings have changed after the log's end, at");
}
