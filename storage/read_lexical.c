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
    return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
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

static cairn_status run_match(struct crn_reader *reader, uint32_t collection, const struct crn_buf *match, size_t limit,
                              crn_scored_fn fn, void *ctx, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(crn_conn_statement_n(&reader->conn, "SELECT rowid, rank FROM fts_%u WHERE fts_%u MATCH ?1"
                                 " ORDER BY rank, rowid LIMIT ?2", collection, &stmt, err));
    sqlite3_bind_text(stmt, 1, match->data, (int)match->len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    for (;;) {
        CRN_TRY(crn_conn_step(&reader->conn, stmt, &found, err));
        if (!found) return CAIRN_OK;
        cairn_status status = fn(ctx, (uint32_t)sqlite3_column_int64(stmt, 0), -sqlite3_column_double(stmt, 1));
        if (status != CAIRN_OK) {
            sqlite3_reset(stmt);
            return status;
        }
    }
}

cairn_status crn_read_lexical(struct crn_reader *reader, const struct crn_catalog *catalog, const char *query, size_t limit,
                              crn_scored_fn fn, void *ctx, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct crn_buf match;

    if (!catalog->lexical) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "collection \"%s\" has no lexical index", catalog->name);
    }
    crn_buf_init(&match, QUERY_BYTES_MAX);
    const size_t words = build_match(query, &match);
    if (match.failed != CAIRN_OK) {
        status = crn_error_set(err, match.failed, "no room for a query of %zu bytes", strlen(query));
    } else if (words > 0 && limit > 0) {
        status = run_match(reader, catalog->id, &match, limit, fn, ctx, err);
    }
    crn_buf_release(&match);
    return status;
}
