/*
 * Searching texts by their words, ranked by BM25 (FTS5's, k1 = 1.2, b = 0.75).
 */
#include "storage/store_internal.h"

#include "base/error.h"

#include <string.h>

#define WORDS_MAX 1024u /* of one query; the rest of a longer text is not searched for */
#define QUERY_BYTES_MAX (CAIRN_TEXT_MAX * 2u)

/* Bytes of other scripts belong to words; where exactly such a word ends the tokenizer knows. */
static bool is_word_byte(unsigned char byte)
{
    return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}

/* Each word as a quoted string of FTS5, joined by OR. Nothing of the query is syntax. */
static size_t build_match(const char *query, struct crn_buf *match)
{
    size_t words = 0;

    while (*query != '\0' && words < WORDS_MAX) {
        size_t len = 0;
        while (is_word_byte((unsigned char)query[len])) len++;
        if (len == 0) {
            query++;
            continue;
        }
        crn_buf_puts(match, words > 0 ? " OR \"" : "\"");
        crn_buf_append(match, query, len);
        crn_buf_putc(match, '"');
        query += len;
        words++;
    }
    return words;
}

struct matches {
    crn_scored_fn fn;
    void *ctx;
};

static cairn_status give_match(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct matches *matches = ctx;

    (void)err;
    return matches->fn(matches->ctx, (uint32_t)sqlite3_column_int64(stmt, 0),
                       -sqlite3_column_double(stmt, 1));
}

static cairn_status run_match(struct crn_reader *reader, uint32_t collection, const struct crn_buf *match,
                              size_t limit, struct matches *matches, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement_n(&reader->conn,
                                 "SELECT rowid, rank FROM fts_%u WHERE fts_%u MATCH ?1"
                                 " ORDER BY rank, rowid LIMIT ?2",
                                 collection, &stmt, err));
    sqlite3_bind_text(stmt, 1, match->data, (int)match->len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    return crn_conn_each(&reader->conn, stmt, give_match, matches, err);
}

/* A collection that was dropped since its settings were read has no table any more. */
static cairn_status check_collection(struct crn_reader *reader, const struct crn_catalog *catalog,
                                     cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t there;

    if (!catalog->lexical) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "collection \"%s\" has no lexical index", catalog->name);
    }
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT 1 FROM collections WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &there, err));
    if (there) return CAIRN_OK;
    return crn_error_set(err, CAIRN_NO_COLLECTION, "collection \"%s\" was dropped", catalog->name);
}

cairn_status crn_read_lexical(struct crn_reader *reader, const struct crn_catalog *catalog, const char *query,
                              size_t limit, crn_scored_fn fn, void *ctx, cairn_error *err)
{
    struct matches matches = {fn, ctx};
    cairn_status status = CAIRN_OK;
    struct crn_buf match;

    CRN_TRY(check_collection(reader, catalog, err));
    crn_buf_init(&match, QUERY_BYTES_MAX);
    const size_t words = build_match(query, &match);
    if (match.failed != CAIRN_OK) {
        status = crn_error_set(err, match.failed, "no room for a query of %zu bytes", strlen(query));
    } else if (words > 0 && limit > 0) {
        status = run_match(reader, catalog->id, &match, limit, &matches, err);
    }
    crn_buf_release(&match);
    return status;
}
