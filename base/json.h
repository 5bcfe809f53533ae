/*
 * JSON in: a parsed document and light values that point into it. simdjson sits behind it (json.cpp), and
 * nowhere else. Integers stay exact: u64 and i64 never pass through a double.
 */
#ifndef CRN_BASE_JSON_H
#define CRN_BASE_JSON_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_JSON_DEPTH_MAX 64

struct crn_json_parser; /* reusable, one document at a time; confined to a thread while used */

/* A value inside the parser's current document; valid until the next parse or free. */
struct crn_json {
    const void *doc;
    size_t index;
};

enum crn_json_type {
    CRN_JSON_NULL,
    CRN_JSON_BOOL,
    CRN_JSON_I64,
    CRN_JSON_U64, /* only for integers above INT64_MAX */
    CRN_JSON_DOUBLE,
    CRN_JSON_STRING,
    CRN_JSON_ARRAY,
    CRN_JSON_OBJECT,
};

struct crn_json_parser *crn_json_parser_create(void); /* NULL: no memory */
void crn_json_parser_free(struct crn_json_parser *parser);

/* Parses text[0..len), which need not be padded and may be freed afterwards. INVALID_JSON tells what is wrong
 * (an integer that 64 bits do not hold is), INVALID_UTF8 tells at which byte; LIMIT past CRN_JSON_DEPTH_MAX
 * or 4 GiB; NO_MEMORY. After a failure the values of the document before are gone, too. */
cairn_status crn_json_parse(struct crn_json_parser *parser, const char *text, size_t len,
                            struct crn_json *out_root, cairn_error *err);

enum crn_json_type crn_json_type(struct crn_json value);
const char *crn_json_type_name(struct crn_json value); /* "string", "number", ... for messages */

/* Of a value of another type these read false, 0 and "". */
bool crn_json_bool(struct crn_json value);
int64_t crn_json_i64(struct crn_json value);   /* of an I64 */
uint64_t crn_json_u64(struct crn_json value);  /* of a U64, or of an I64 that is not negative */
double crn_json_double(struct crn_json value); /* of any number */
bool crn_json_is_number(struct crn_json value);
/* Valid UTF-8 and NUL-terminated; it may hold NULs inside. */
const char *crn_json_string(struct crn_json value, size_t *out_len);

/* The first member of that name; false when there is none, or no object. */
bool crn_json_get(struct crn_json object, const char *key, struct crn_json *out);
bool crn_json_get_n(struct crn_json object, const char *key, size_t key_len, struct crn_json *out);

/* Iteration over an array's elements or an object's members:
 *   struct crn_json_iter it; struct crn_json v; const char *key; size_t key_len;
 *   for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &v, &key, &key_len);) ...
 * key is NULL in arrays. */
struct crn_json_iter {
    const void *doc;
    size_t at, end;
    bool object;
};
void crn_json_iter_init(struct crn_json_iter *it, struct crn_json value); /* empty for other types */
bool crn_json_iter_next(struct crn_json_iter *it, struct crn_json *out, const char **out_key,
                        size_t *out_key_len);
size_t crn_json_size(struct crn_json value); /* elements or members; counts, O(n) */

/* Up to `max` numbers of an array as f32, infinite past its range. *out_count is the array's whole length,
 * which may be above max. False when an element is no number (*out_count is its index), or for no array. */
bool crn_json_floats(struct crn_json array, float *out, size_t max, size_t *out_count);

struct crn_buf;
/* Appends the value as compact JSON text, numbers as they were (doubles shortest-round-trip). */
cairn_status crn_json_write(struct crn_json value, struct crn_buf *buf);

#endif
