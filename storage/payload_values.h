/*
 * The values that payload indexes hold: which ones a payload has at a path, and how they are kept in SQLite
 * so that its order is theirs.
 *
 * Paths and arrays mean what filters mean by them (docs/FILTERS.md): keys joined by dots, a backslash before
 * a dot, a backslash or a dollar sign of a key; an array on the way stands for each object in it, an array at
 * the end for each of its scalars.
 *
 * Column payload_values.value: integers up to INT64_MAX as INTEGER, other numbers as REAL, strings as TEXT.
 * SQLite compares INTEGER with REAL exactly and TEXT by bytes. What it has no class for is a BLOB, which
 * sorts behind all of these: 00 null, 01 false, 02 true, 03 and eight bytes big-endian an integer above
 * INT64_MAX, 04 "there is something here, but no scalar".
 */
#ifndef CRN_STORAGE_PAYLOAD_VALUES_H
#define CRN_STORAGE_PAYLOAD_VALUES_H

#include "storage/connection.h"
#include "storage/store.h"

#include "base/json.h"

#define CRN_PAYLOAD_PATH_MAX 1024u /* bytes of a path */

enum crn_payload_tag {
    CRN_TAG_NULL = 0,
    CRN_TAG_FALSE = 1,
    CRN_TAG_TRUE = 2,
    CRN_TAG_U64 = 3,
    CRN_TAG_OTHER = 4,
    CRN_TAG_END = 5, /* behind all */
};

struct crn_payload_tagged {
    unsigned char bytes[9];
    int size;
};

struct crn_payload_value {
    struct crn_value value; /* strings stay in the document */
    bool other;             /* no value: CRN_TAG_OTHER */
};

/* The distinct values of one payload at one path, in their order. */
struct crn_payload_values {
    struct crn_payload_value *items;
    size_t count, capacity;
};

/* INVALID_ARGUMENT for an empty path, an empty part or a stray backslash; LIMIT. */
cairn_status crn_payload_path_check(const char *path, cairn_error *err);

/* Replaces what `values` holds; zeros at first, crn_payload_values_release at the end. `path` is a checked
 * one. */
cairn_status crn_payload_values_collect(struct crn_json payload, const char *path,
                                        struct crn_payload_values *values, cairn_error *err);
void crn_payload_values_release(struct crn_payload_values *values);

/* Binds a value as the column holds it. The tagged form and strings are borrowed until the statement was
 * stepped. */
void crn_payload_value_bind(sqlite3_stmt *stmt, int parameter, const struct crn_payload_value *value,
                            struct crn_payload_tagged *tagged);
struct crn_payload_tagged crn_payload_tag_u64(uint64_t value);

#endif
