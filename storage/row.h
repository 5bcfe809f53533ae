/*
 * A row between SQLite and struct crn_record: ids, digests, decoding. Readers, transactions and verify share
 * it.
 *
 * Digests (XXH3, fields length-prefixed, little-endian). A vector's covers its key (space, local) and bytes.
 * A row keeps three: `body` over text and payload, `vectors` over its vectors' digests in the order of
 * spaces, and `digest` over all other fields, the key, and the other two. So a row read without its text or
 * its vectors is still checked, and the one number `digest` stands for everything.
 */
#ifndef CRN_STORAGE_ROW_H
#define CRN_STORAGE_ROW_H

#include "storage/connection.h"
#include "storage/store.h"

#define CRN_UUID_TEXT 37u /* with hyphens and NUL */

static inline int64_t crn_key(uint32_t owner, uint32_t local)
{
    return (int64_t)((uint64_t)owner << 32 | local);
}

/* Ids as the column `id` holds them: TEXT, INTEGER (a u64's bits) or BLOB(16). */
struct crn_row_id {
    cairn_id_type type;
    const char *text; /* STRING */
    size_t len;
    uint64_t u64;
    unsigned char uuid[16];
};
/* INVALID_ID. A UUID's text is canonical. */
cairn_status crn_row_id_set(struct crn_row_id *out_id, cairn_id_type type, const char *text, size_t len,
                            uint64_t u64, cairn_error *err);
void crn_row_id_bind(sqlite3_stmt *stmt, int parameter, const struct crn_row_id *id);

uint64_t crn_row_vector_digest(uint32_t space, uint32_t local, const void *data, size_t size);

/* Digest of vectors: feed them in ascending order of spaces. 0 without any. */
struct crn_row_vector_sum {
    uint64_t sum;
    uint32_t count;
};
void crn_row_vector_add(struct crn_row_vector_sum *sum, uint32_t space, uint64_t digest);

uint64_t crn_row_body_digest(const char *text, size_t text_len, const char *payload,
                             size_t payload_len); /* 0: neither */

/* What the digest is made of, besides the record's own fields. */
struct crn_row_digest_parts {
    int64_t key;
    const struct crn_row_id *id;
    uint64_t vectors;
    uint64_t body;
};
uint64_t crn_row_digest(const struct crn_record *record, const struct crn_row_digest_parts *parts);

/* A row as a statement's current step has it; pointers live until the statement's next step, and no longer
 * than the row. */
struct crn_row {
    struct crn_record record; /* without vectors */
    size_t text_len, payload_len;
    uint64_t vectors, body; /* the stored digests */
    char id_text[CRN_UUID_TEXT];
    char domain[CAIRN_NAME_MAX + 1], agent[CAIRN_NAME_MAX + 1], type[CAIRN_NAME_MAX + 1];
    const char *damage; /* NULL, or what is wrong with it */
};

/* The columns that crn_row_decode reads, in its order; `p` is points, `u` usage joined from the left. */
#define CRN_ROW_COLUMNS                                                                                      \
    "p.key, p.id, p.domain, p.agent, p.type, p.confidence, p.created_at, p.expires_at, p.version, p.digest," \
    " p.vectors, p.body, u.usage_count, u.success_count, u.last_used"
#define CRN_ROW_BODY ", p.text, p.payload"
#define CRN_ROW_FROM " FROM points p LEFT JOIN usage u ON u.key=p.key "

/* Decodes and checks against the digest; damage is told in out_row->damage, and is no failure here.
 * `with_body`: the statement has CRN_ROW_BODY too. */
cairn_status crn_row_decode(struct crn_conn *conn, sqlite3_stmt *stmt, bool with_body,
                            struct crn_row *out_row, cairn_error *err);

/* CORRUPT, naming collection, row and id as far as they can still be read. */
cairn_status crn_row_corrupt(struct crn_conn *conn, uint32_t collection, uint32_t local, const char *damage,
                             cairn_error *err);
cairn_status crn_row_vector_corrupt(struct crn_conn *conn, uint32_t space, uint32_t local, cairn_error *err);

/* The shared halves of crn_read_* and crn_txn_*. */
cairn_status crn_row_find(struct crn_conn *conn, uint32_t collection, const struct crn_row_id *id,
                          uint32_t *out_local, uint64_t *out_version, int64_t *out_expires_at_ms,
                          cairn_error *err);
cairn_status crn_row_read(struct crn_conn *conn, const struct crn_catalog *catalog, uint32_t local,
                          bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                          cairn_error *err);

#endif
