/*
 * Which rows: by domain, agent, type and confidence, by expiry, and how many.
 */
#include "storage/store_internal.h"

#include "base/error.h"

/* So many entries of each index are counted to find the narrower one. */
#define PROBE_MAX "1000"

static void bind_range(sqlite3_stmt *stmt, uint32_t collection)
{
    sqlite3_bind_int64(stmt, 1, crn_key(collection, 0));
    sqlite3_bind_int64(stmt, 2, crn_key(collection, UINT32_MAX));
}

/* ---- scopes ---- */

struct scope {
    uint32_t collection;
    int64_t domain, agent, type; /* interned; -1 = any */
    bool empty;                  /* it asks for a name that no row has */
};

static cairn_status find_name(struct crn_reader *reader, const char *name, int64_t *out_id, bool *empty,
                              cairn_error *err)
{
    *out_id = -1;
    if (name == NULL) return CAIRN_OK;
    CRN_TRY(crn_names_find(&reader->conn, name, out_id, err));
    if (*out_id < 0) *empty = true;
    return CAIRN_OK;
}

static cairn_status count_some(struct crn_reader *reader, const char *sql, uint32_t collection, int64_t name,
                               int64_t *out_count, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, sql, &stmt, err));
    bind_range(stmt, collection);
    sqlite3_bind_int64(stmt, 3, name);
    return crn_conn_value(&reader->conn, stmt, 0, out_count, err);
}

#define SCOPE_TESTS \
    " AND (?3<0 OR domain=?3) AND (?4<0 OR agent=?4) AND (?5<0 OR type=?5) AND confidence>=?6 ORDER BY key"
#define SCOPE_RANGE " WHERE key BETWEEN ?1 AND ?2"
#define SCOPE_COUNT "SELECT count(*) FROM (SELECT 1 FROM points INDEXED BY "

/* The statement that reads the least: over the rows of the domain, of the agent, or of the collection. Rows
 * without a domain or agent (0) are in no index. */
static cairn_status choose(struct crn_reader *reader, const struct scope *scope, sqlite3_stmt **out_stmt,
                           cairn_error *err)
{
    static const char by_domain[] = "SELECT key FROM points INDEXED BY points_domain" SCOPE_RANGE
                                    " AND domain=?3 AND domain<>0" SCOPE_TESTS;
    static const char by_agent[] =
        "SELECT key FROM points INDEXED BY points_agent" SCOPE_RANGE " AND agent=?4 AND agent<>0" SCOPE_TESTS;
    static const char by_key[] = "SELECT key FROM points NOT INDEXED" SCOPE_RANGE SCOPE_TESTS;
    static const char domain_rows[] =
        SCOPE_COUNT "points_domain" SCOPE_RANGE " AND domain=?3 AND domain<>0 LIMIT " PROBE_MAX ")";
    static const char agent_rows[] =
        SCOPE_COUNT "points_agent" SCOPE_RANGE " AND agent=?3 AND agent<>0 LIMIT " PROBE_MAX ")";
    int64_t domain_count = 0, agent_count = 0;

    if (scope->domain > 0 && scope->agent > 0) {
        CRN_TRY(count_some(reader, domain_rows, scope->collection, scope->domain, &domain_count, err));
        CRN_TRY(count_some(reader, agent_rows, scope->collection, scope->agent, &agent_count, err));
    }
    const bool use_domain = scope->domain > 0 && (scope->agent <= 0 || domain_count <= agent_count);
    const char *sql = use_domain ? by_domain : scope->agent > 0 ? by_agent : by_key;
    return crn_conn_statement(&reader->conn, sql, out_stmt, err);
}

cairn_status crn_read_scope(struct crn_reader *reader, uint32_t collection, const char *domain,
                            const char *agent, const char *type, double min_confidence, crn_local_fn fn,
                            void *ctx, cairn_error *err)
{
    struct scope scope = {.collection = collection};
    sqlite3_stmt *stmt;

    CRN_TRY(find_name(reader, domain, &scope.domain, &scope.empty, err));
    CRN_TRY(find_name(reader, agent, &scope.agent, &scope.empty, err));
    CRN_TRY(find_name(reader, type, &scope.type, &scope.empty, err));
    if (scope.empty) return CAIRN_OK;
    CRN_TRY(choose(reader, &scope, &stmt, err));
    bind_range(stmt, collection);
    sqlite3_bind_int64(stmt, 3, scope.domain);
    sqlite3_bind_int64(stmt, 4, scope.agent);
    sqlite3_bind_int64(stmt, 5, scope.type);
    sqlite3_bind_double(stmt, 6, min_confidence > 0 ? min_confidence : -1e308);
    return crn_reader_locals(reader, stmt, fn, ctx, err);
}

/* ---- expiry, counts ---- */

cairn_status crn_read_expired(struct crn_reader *reader, uint32_t collection, int64_t now_ms, crn_local_fn fn,
                              void *ctx, int64_t *out_next_ms, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn,
                               "SELECT key FROM points INDEXED BY points_expires WHERE expires_at<=?3"
                               " AND expires_at IS NOT NULL AND key BETWEEN ?1 AND ?2",
                               &stmt, err));
    bind_range(stmt, collection);
    sqlite3_bind_int64(stmt, 3, now_ms);
    CRN_TRY(crn_reader_locals(reader, stmt, fn, ctx, err));
    CRN_TRY(crn_conn_statement(
        &reader->conn,
        "SELECT expires_at FROM points INDEXED BY points_expires WHERE expires_at>?3"
        " AND expires_at IS NOT NULL AND key BETWEEN ?1 AND ?2 ORDER BY expires_at LIMIT 1",
        &stmt, err));
    bind_range(stmt, collection);
    sqlite3_bind_int64(stmt, 3, now_ms);
    return crn_conn_value(&reader->conn, stmt, INT64_MAX, out_next_ms, err);
}

cairn_status crn_read_count(struct crn_reader *reader, uint32_t collection, uint64_t *out_rows,
                            cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t rows;

    *out_rows = 0;
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT rows FROM collections WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &rows, err));
    *out_rows = (uint64_t)rows;
    return CAIRN_OK;
}
