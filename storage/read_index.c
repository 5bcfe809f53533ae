/*
 * Looking up payload indexes. A comparison becomes at most two ranges of the column's order: numbers are kept
 * in two places of it, those above INT64_MAX behind everything else (payload_values.h).
 */
#include "storage/store_internal.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

/* One end of a range, as it is bound. */
struct bound {
    enum { BOUND_I64, BOUND_DOUBLE, BOUND_TEXT, BOUND_TAGGED } kind;
    bool open; /* the bound itself is outside */
    int64_t i64;
    double number;
    const char *text;
    size_t text_len;
    struct crn_payload_tagged tagged;
};

struct range {
    struct bound low, high;
};

static struct bound tag_bound(enum crn_payload_tag tag, bool open)
{
    return (struct bound){
        .kind = BOUND_TAGGED, .open = open, .tagged = {.bytes = {(unsigned char)tag}, .size = 1}};
}

static struct bound u64_bound(uint64_t value, bool open)
{
    return (struct bound){.kind = BOUND_TAGGED, .open = open, .tagged = crn_payload_tag_u64(value)};
}

static struct bound double_bound(double number, bool open)
{
    return (struct bound){.kind = BOUND_DOUBLE, .open = open, .number = number};
}

static void bind_bound(sqlite3_stmt *stmt, int parameter, const struct bound *bound)
{
    switch (bound->kind) {
    case BOUND_I64:
        sqlite3_bind_int64(stmt, parameter, bound->i64);
        break;
    case BOUND_DOUBLE:
        sqlite3_bind_double(stmt, parameter, bound->number);
        break;
    case BOUND_TEXT:
        sqlite3_bind_text(stmt, parameter, bound->text, (int)bound->text_len, SQLITE_STATIC);
        break;
    case BOUND_TAGGED:
        sqlite3_bind_blob(stmt, parameter, bound->tagged.bytes, bound->tagged.size, SQLITE_STATIC);
        break;
    }
}

/* Narrows the range of all values of a class to those that compare so with `at`. */
static void compare_bound(struct range *range, enum crn_compare compare, struct bound at)
{
    at.open = compare == CRN_GT || compare == CRN_LT;
    if (compare == CRN_EQ || compare == CRN_GT || compare == CRN_GTE) range->low = at;
    if (compare == CRN_EQ || compare == CRN_LT || compare == CRN_LTE) range->high = at;
}

/* ---- numbers ---- */

static const struct bound minus_infinity = {.kind = BOUND_DOUBLE, .number = -INFINITY};
static const struct bound plus_infinity = {.kind = BOUND_DOUBLE, .number = INFINITY};

/* The nearest double of an integer of the upper half, and on which side of it the integer lies. */
static int side_of_nearest(uint64_t value, double *out_nearest)
{
    *out_nearest = (double)value;
    if (*out_nearest >= 0x1p64) return -1;
    const uint64_t back = (uint64_t)*out_nearest;
    return (value > back) - (value < back);
}

/* Doubles and small integers against an integer above INT64_MAX. There is no double strictly between such an
 * integer and its nearest one, so an inexact bound becomes the nearest double, in or out by its side. */
static bool small_against_u64(enum crn_compare compare, uint64_t value, struct range *range)
{
    double nearest;
    const int side = side_of_nearest(value, &nearest);

    if (side == 0) {
        compare_bound(range, compare, double_bound(nearest, false));
        return true;
    }
    if (compare == CRN_EQ) return false;
    if (compare == CRN_GT || compare == CRN_GTE) range->low = double_bound(nearest, side > 0);
    if (compare == CRN_LT || compare == CRN_LTE) range->high = double_bound(nearest, side < 0);
    return true;
}

/* Integers above INT64_MAX against a double. */
static bool large_against_double(enum crn_compare compare, double number, struct range *range)
{
    const bool upward = compare == CRN_GT || compare == CRN_GTE;

    if (number < 0x1p63) return upward;
    if (number >= 0x1p64) return compare == CRN_LT || compare == CRN_LTE;
    compare_bound(range, compare, u64_bound((uint64_t)number, false)); /* such a double is an integer */
    return true;
}

static size_t number_ranges(enum crn_compare compare, const struct crn_value *value, struct range out[2])
{
    struct range small = {minus_infinity, plus_infinity};
    struct range large = {tag_bound(CRN_TAG_U64, false), tag_bound(CRN_TAG_OTHER, true)};
    bool has_small = true, has_large = false;
    size_t count = 0;

    if (value->type == CRN_VALUE_I64) {
        compare_bound(&small, compare, (struct bound){.kind = BOUND_I64, .i64 = value->i64});
        has_large = compare == CRN_GT || compare == CRN_GTE;
    } else if (value->type == CRN_VALUE_U64) {
        has_small = small_against_u64(compare, value->u64, &small);
        compare_bound(&large, compare, u64_bound(value->u64, false));
        has_large = true;
    } else {
        if (isnan(value->number)) return 0;
        compare_bound(&small, compare, double_bound(value->number, false));
        has_large = large_against_double(compare, value->number, &large);
    }
    if (has_small) out[count++] = small;
    if (has_large) out[count++] = large;
    return count;
}

/* ---- the others ---- */

static size_t ranges_of(enum crn_compare compare, const struct crn_value *value, struct range out[2])
{
    static const struct bound empty_text = {.kind = BOUND_TEXT, .text = "", .text_len = 0};
    struct bound at = {0};

    if (compare == CRN_ANY) {
        out[0] = (struct range){minus_infinity, tag_bound(CRN_TAG_END, true)};
        return 1;
    }
    switch (value->type) {
    case CRN_VALUE_STRING:
        at = (struct bound){.kind = BOUND_TEXT, .text = value->string, .text_len = value->string_len};
        out[0] = (struct range){empty_text, tag_bound(CRN_TAG_NULL, true)};
        break;
    case CRN_VALUE_NULL:
        at = tag_bound(CRN_TAG_NULL, false);
        out[0] = (struct range){at, at};
        break;
    case CRN_VALUE_BOOL:
        at = tag_bound(value->boolean ? CRN_TAG_TRUE : CRN_TAG_FALSE, false);
        out[0] = (struct range){tag_bound(CRN_TAG_FALSE, false), tag_bound(CRN_TAG_TRUE, false)};
        break;
    default:
        return number_ranges(compare, value, out);
    }
    compare_bound(&out[0], compare, at);
    return 1;
}

static cairn_status read_range(struct crn_reader *reader, uint32_t index, const struct range *range,
                               crn_local_fn fn, void *ctx, cairn_error *err)
{
    static const char *const sql[2][2] = {
        {"SELECT key FROM payload_values WHERE idx=?1 AND value>=?2 AND value<=?3",
         "SELECT key FROM payload_values WHERE idx=?1 AND value>=?2 AND value<?3"},
        {"SELECT key FROM payload_values WHERE idx=?1 AND value>?2 AND value<=?3",
         "SELECT key FROM payload_values WHERE idx=?1 AND value>?2 AND value<?3"},
    };
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, sql[range->low.open][range->high.open], &stmt, err));
    sqlite3_bind_int64(stmt, 1, index);
    bind_bound(stmt, 2, &range->low);
    bind_bound(stmt, 3, &range->high);
    return crn_reader_locals(reader, stmt, fn, ctx, err);
}

cairn_status crn_read_index(struct crn_reader *reader, uint32_t index, enum crn_compare compare,
                            const struct crn_value *value, crn_local_fn fn, void *ctx, cairn_error *err)
{
    struct range ranges[2];

    if (compare > CRN_ANY || (value == NULL && compare != CRN_ANY)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a look-up needs a comparison and a value");
    }
    const size_t count = ranges_of(compare, value, ranges);
    for (size_t i = 0; i < count; i++) CRN_TRY(read_range(reader, index, &ranges[i], fn, ctx, err));
    return CAIRN_OK;
}
