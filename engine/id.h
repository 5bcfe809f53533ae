/*
 * Ids as segments and tails keep them: one byte of type, then a string or UUID text with its NUL, or eight bytes
 * of a u64, little-endian. Self-delimiting, so that offsets alone locate them.
 */
#ifndef CRN_ENGINE_ID_H
#define CRN_ENGINE_ID_H

#include <cairn/pattern.h>

#define CRN_ID_BYTES_MAX (CAIRN_ID_MAX + 2)

struct crn_id { /* a checked id */
    cairn_id_type type;
    char text[CAIRN_ID_MAX + 1]; /* string, canonical UUID text, or a u64's decimal digits */
    size_t len;
    uint64_t u64;
};

/* Checks an id as given by a caller. INVALID_ID, INVALID_UTF8. */
cairn_status crn_id_check(cairn_id_type type, const char *text, uint64_t u64, struct crn_id *out_id,
                          cairn_error *err);

/* A new UUIDv7 (RFC 9562) as text, for patterns that bring no id. */
void crn_id_generate(int64_t now_ms, char out_text[37]);

size_t crn_id_encode(cairn_id_type type, const char *text, size_t len, uint64_t u64,
                     char out[CRN_ID_BYTES_MAX]);

/* Bytes of an encoded id within `available`, or 0 when it is damaged. */
size_t crn_id_encoded_size(const char *encoded, size_t available);

/* Decodes into the caller's memory: *out_text needs CAIRN_ID_MAX + 1 bytes. */
void crn_id_decode(const char *encoded, char *out_text, cairn_id *out_id);

#endif
