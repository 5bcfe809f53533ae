/*
 * Reading everything and believing nothing: SQLite's own check first, then each collection, then the log.
 */
#include "storage/verify.h"
#include "storage/schema.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEP_ROWS 1024u /* between two tellings of progress */

void crn_verify_found(struct crn_verify *verify, const char *format, ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *c = message; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ') *c = ' ';
    }
    verify->findings++;
    if (verify->finding != NULL) verify->finding(verify->ctx, message);
}

static cairn_status tell(struct crn_verify *verify)
{
    if (verify->progress == NULL || verify->progress(verify->ctx, verify->phase, verify->done, verify->total))
        return CAIRN_OK;
    return crn_error_set(verify->err, CAIRN_CANCELLED, "the verification was cancelled");
}

cairn_status crn_verify_phase(struct crn_verify *verify, const char *phase, uint64_t total)
{
    verify->phase = phase;
    verify->done = 0;
    verify->total = total;
    return tell(verify);
}

cairn_status crn_verify_step(struct crn_verify *verify)
{
    return ++verify->done % STEP_ROWS == 0 ? tell(verify) : CAIRN_OK;
}

cairn_status crn_verify_absorb(struct crn_verify *verify, cairn_status status, const char *what)
{
    if (status != CAIRN_CORRUPT) return status;
    crn_verify_found(verify, "%s: %s", what,
                     verify->err != NULL ? verify->err->message : cairn_status_text(status));
    return CAIRN_OK;
}

struct wrong_rows {
    struct crn_verify *verify;
    const char *what;
};

static cairn_status tell_wrong_row(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct wrong_rows *wrong = ctx;
    const char *key = (const char *)sqlite3_column_text(stmt, 0);

    (void)err;
    crn_verify_found(wrong->verify, "%s: %s", wrong->what, key != NULL ? key : "?");
    return crn_verify_step(wrong->verify);
}

cairn_status crn_verify_none(struct crn_verify *verify, const char *sql, uint32_t number, const char *what)
{
    struct crn_conn *conn = &verify->reader->conn;
    struct wrong_rows wrong = {verify, what};
    sqlite3_stmt *stmt;
    cairn_status status = crn_conn_statement_n(conn, sql, number, &stmt, verify->err);

    if (status == CAIRN_OK) status = crn_conn_each(conn, stmt, tell_wrong_row, &wrong, verify->err);
    return crn_verify_absorb(verify, status, what);
}

/* ---- SQLite's check ---- */

static int progress_of_pages(void *ctx)
{
    return tell(ctx) != CAIRN_OK;
}

/* The check tells a lack of memory as if it were damage: "... unable to get the page. error code=7". */
static bool is_no_memory(const char *text)
{
    static const char ending[] = " error code=7";
    const size_t len = strlen(text);

    return len >= strlen(ending) && strcmp(text + len - strlen(ending), ending) == 0;
}

static cairn_status tell_page(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const char *text = (const char *)sqlite3_column_text(stmt, 0);

    if (text == NULL || is_no_memory(text)) return crn_error_no_memory(err, CRN_PAGE_BYTES);
    if (strcmp(text, "ok") != 0) crn_verify_found(ctx, "SQLite: %s", text);
    return CAIRN_OK;
}

cairn_status crn_verify_pages(struct crn_verify *verify)
{
    struct crn_conn *conn = &verify->reader->conn;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_verify_phase(verify, "pages", 0));
    sqlite3_progress_handler(conn->db, 1000000, progress_of_pages, verify);
    cairn_status status = crn_conn_statement(conn, "PRAGMA integrity_check(100)", &stmt, verify->err);
    if (status == CAIRN_OK) status = crn_conn_each(conn, stmt, tell_page, verify, verify->err);
    sqlite3_progress_handler(conn->db, 0, NULL, NULL);
    return crn_verify_absorb(verify, status, "SQLite");
}

/* ---- everything ---- */

static cairn_status verify_collection(struct crn_verify *verify, const char *name)
{
    struct crn_catalog catalog;
    cairn_status status = crn_read_collection(verify->reader, name, &catalog, verify->err);

    if (status != CAIRN_OK) return crn_verify_absorb(verify, status, name);
    status = crn_verify_rows(verify, &catalog);
    if (status == CAIRN_OK) status = crn_verify_indexes(verify, &catalog);
    if (status == CAIRN_OK) status = crn_verify_trajectories(verify, &catalog);
    crn_catalog_release(&catalog);
    return status;
}

/* What belongs to nothing that exists. */
static cairn_status verify_orphans(struct crn_verify *verify)
{
    static const struct {
        const char *sql, *what;
    } checks[] = {
        {"SELECT " CRN_VERIFY_KEY("collection", "key") " FROM points p WHERE NOT EXISTS"
                                                       "(SELECT 1 FROM collections c WHERE c.id=p.key>>32)",
         "a row of a collection that does not exist"},
        {"SELECT " CRN_VERIFY_KEY("space", "key") " FROM vecs v WHERE NOT EXISTS"
                                                  "(SELECT 1 FROM spaces s WHERE s.id=v.key>>32)",
         "a vector of a space that does not exist"},
        {"SELECT " CRN_VERIFY_KEY(
             "space", "v.key") " FROM vecs v JOIN spaces s ON s.id=v.key>>32 WHERE NOT EXISTS"
                               "(SELECT 1 FROM points p WHERE p.key=(s.collection<<32)+(v.key&4294967295))",
         "a vector without a row"},
        {"SELECT " CRN_VERIFY_KEY("collection", "key") " FROM usage u WHERE NOT EXISTS"
                                                       "(SELECT 1 FROM points p WHERE p.key=u.key)",
         "use counts without a row"},
        {"SELECT id FROM spaces s WHERE NOT EXISTS(SELECT 1 FROM collections c WHERE c.id=s.collection)",
         "a space without a collection, number"},
        {"SELECT idx FROM payload_values v WHERE NOT EXISTS"
         "(SELECT 1 FROM payload_indexes i WHERE i.id=v.idx)",
         "a value of a payload index that does not exist, number"},
        {"SELECT key FROM trajectories t WHERE NOT EXISTS"
         "(SELECT 1 FROM collections c WHERE c.id=t.collection)",
         "a trajectory without a collection, number"},
        {"SELECT space FROM segments g WHERE NOT EXISTS(SELECT 1 FROM spaces s WHERE s.id=g.space)",
         "a segment of a space that does not exist, number"},
    };

    CRN_TRY(crn_verify_phase(verify, "references", 0));
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        CRN_TRY(crn_verify_none(verify, checks[i].sql, 0, checks[i].what));
    }
    return CAIRN_OK;
}

static cairn_status verify_snapshot(struct crn_verify *verify)
{
    char **names = NULL;
    size_t count = 0;

    CRN_TRY(crn_verify_pages(verify));
    cairn_status status = crn_read_collection_names(verify->reader, &names, &count, verify->err);
    CRN_TRY(crn_verify_absorb(verify, status, "the list of collections"));
    status = CAIRN_OK;
    for (size_t i = 0; i < count && status == CAIRN_OK; i++) status = verify_collection(verify, names[i]);
    crn_mem_free(names);
    if (status == CAIRN_OK) status = verify_orphans(verify);
    return status == CAIRN_OK ? crn_verify_log(verify) : status;
}

cairn_status crn_store_verify(struct crn_store *store, cairn_finding_fn finding, cairn_progress_fn progress,
                              void *ctx, uint64_t *out_findings, cairn_error *err)
{
    cairn_error own; /* messages become findings, so there has to be one */
    struct crn_verify verify = {.store = store,
                                .finding = finding,
                                .progress = progress,
                                .ctx = ctx,
                                .err = err != NULL ? err : &own};

    *out_findings = 0;
    cairn_status status = crn_store_read_begin(store, &verify.reader, verify.err);
    if (status == CAIRN_OK) {
        status = verify_snapshot(&verify);
        crn_store_read_end(verify.reader);
    }
    *out_findings = verify.findings;
    return status;
}
