#include "engine/id.h"

#include "base/error.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static void uuid_text(const unsigned char bytes[16], char out[37])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
        out[at++] = digits[bytes[i] >> 4];
        out[at++] = digits[bytes[i] & 15];
    }
    out[at] = '\0';
}

/* 32 hexadecimal digits, or the same with hyphens at their places. */
static bool uuid_parse(const char *text, size_t len, unsigned char out[16])
{
    const bool hyphens = len == 36;
    size_t digit = 0;

    if (!hyphens && len != 32) return false;
    for (size_t i = 0; i < len; i++) {
        if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-') return false;
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0) return false;
        if (digit % 2 == 0) {
            out[digit / 2] = (unsigned char)(value << 4);
        } else {
            out[digit / 2] = (unsigned char)(out[digit / 2] | value);
        }
        digit++;
    }
    return true;
}

static cairn_status check_string(const char *text, struct crn_id *out_id, cairn_error *err)
{
    const size_t len = strnlen(text, CAIRN_ID_MAX + 1);

    if (len == 0) return crn_error_set(err, CAIRN_INVALID_ID, "the id is empty");
    if (len > CAIRN_ID_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ID, "the id '%.32s...' is longer than %u bytes", text,
                             CAIRN_ID_MAX);
    }
    const size_t valid = crn_utf8_valid(text, len);
    if (valid != len) {
        return crn_error_set(err, CAIRN_INVALID_UTF8, "the id is not valid UTF-8 at byte %zu (0x%02x)", valid,
                             (unsigned char)text[valid]);
    }
    memcpy(out_id->text, text, len + 1);
    out_id->len = len;
    return CAIRN_OK;
}

/* Decimal digits, and how many. Searches write one for each result: snprintf takes a tenth of a microsecond. */
static size_t u64_text(uint64_t value, char *out)
{
    char digits[20];
    size_t at = sizeof digits;

    do digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    memcpy(out, digits + at, sizeof digits - at);
    out[sizeof digits - at] = '\0';
    return sizeof digits - at;
}

cairn_status crn_id_check(cairn_id_type type, const char *text, uint64_t u64, struct crn_id *out_id,
                          cairn_error *err)
{
    unsigned char bytes[16];

    out_id->type = type;
    out_id->u64 = 0;
    switch (type) {
    case CAIRN_ID_STRING:
        if (text == NULL) return crn_error_set(err, CAIRN_INVALID_ID, "the id is missing");
        return check_string(text, out_id, err);
    case CAIRN_ID_U64:
        out_id->u64 = u64;
        out_id->len = u64_text(u64, out_id->text);
        return CAIRN_OK;
    case CAIRN_ID_UUID:
        if (text == NULL || !uuid_parse(text, strnlen(text, 40), bytes)) {
            return crn_error_set(err, CAIRN_INVALID_ID, "'%.60s' is not a UUID", text == NULL ? "" : text);
        }
        uuid_text(bytes, out_id->text);
        out_id->len = 36;
        return CAIRN_OK;
    }
    return crn_error_set(err, CAIRN_INVALID_ID, "%d is not an id type", (int)type);
}

void crn_id_generate(int64_t now_ms, char out_text[37])
{
    unsigned char bytes[16];

    crn_rng_entropy(bytes);
    for (int i = 0; i < 6; i++) bytes[i] = (unsigned char)((uint64_t)now_ms >> (40 - 8 * i));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x70);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    uuid_text(bytes, out_text);
}

size_t crn_id_encode(cairn_id_type type, const char *text, size_t len, uint64_t u64,
                     char out[CRN_ID_BYTES_MAX])
{
    out[0] = (char)type;
    if (type == CAIRN_ID_U64) {
        for (int i = 0; i < 8; i++) out[1 + i] = (char)(u64 >> (8 * i));
        return 9;
    }
    memcpy(out + 1, text, len);
    out[1 + len] = '\0';
    return len + 2;
}

size_t crn_id_encoded_size(const char *encoded, size_t available)
{
    if (available < 2) return 0;
    if (encoded[0] == CAIRN_ID_U64) return available >= 9 ? 9 : 0;
    if (encoded[0] != CAIRN_ID_STRING && encoded[0] != CAIRN_ID_UUID) return 0;
    const size_t room = available - 1 < CAIRN_ID_MAX + 1 ? available - 1 : CAIRN_ID_MAX + 1;
    const char *end = memchr(encoded + 1, '\0', room);
    return end == NULL ? 0 : (size_t)(end - encoded) + 1;
}

void crn_id_decode(const char *encoded, char *out_text, cairn_id *out_id)
{
    out_id->type = (cairn_id_type)encoded[0];
    out_id->text = out_text;
    out_id->u64 = 0;
    if (out_id->type == CAIRN_ID_U64) {
        for (int i = 0; i < 8; i++) out_id->u64 |= (uint64_t)(unsigned char)encoded[1 + i] << (8 * i);
        u64_text(out_id->u64, out_text);
        return;
    }
    memcpy(out_text, encoded + 1, strlen(encoded + 1) + 1);
}
