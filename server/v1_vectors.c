/* Vectors coming in: JSON numbers, base64, bare little-endian f32, .npy. */
#include "server/v1_internal.h"

#include "base/mem.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static void copy_floats(float *out, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        bits = le32toh(bits);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

/* ---- base64 (RFC 4648, with padding) ---- */

static const uint8_t base64_values[256] = {
#define D(c, v) [c] = (v) + 1 /* 0 is no digit */
    D('A', 0),  D('B', 1),  D('C', 2),  D('D', 3),  D('E', 4),  D('F', 5),  D('G', 6),  D('H', 7),
    D('I', 8),  D('J', 9),  D('K', 10), D('L', 11), D('M', 12), D('N', 13), D('O', 14), D('P', 15),
    D('Q', 16), D('R', 17), D('S', 18), D('T', 19), D('U', 20), D('V', 21), D('W', 22), D('X', 23),
    D('Y', 24), D('Z', 25), D('a', 26), D('b', 27), D('c', 28), D('d', 29), D('e', 30), D('f', 31),
    D('g', 32), D('h', 33), D('i', 34), D('j', 35), D('k', 36), D('l', 37), D('m', 38), D('n', 39),
    D('o', 40), D('p', 41), D('q', 42), D('r', 43), D('s', 44), D('t', 45), D('u', 46), D('v', 47),
    D('w', 48), D('x', 49), D('y', 50), D('z', 51), D('0', 52), D('1', 53), D('2', 54), D('3', 55),
    D('4', 56), D('5', 57), D('6', 58), D('7', 59), D('8', 60), D('9', 61), D('+', 62), D('/', 63),
#undef D
};

/* The first `digits` of four, as the upper of 24 bits. False: one of them is no digit. */
static bool base64_group(const char *text, size_t digits, uint32_t *out)
{
    uint32_t bits = 0;
    bool good = true;

    for (size_t i = 0; i < 4; i++) {
        const unsigned value = i < digits ? base64_values[(unsigned char)text[i]] : 1;
        good &= value != 0;
        bits = bits << 6 | ((value - 1) & 63);
    }
    *out = bits;
    return good;
}

/* The number of bytes, at most length / 4 * 3; SIZE_MAX for a text that is no base64. */
static size_t base64_read(const char *text, size_t length, char *out)
{
    size_t count = 0;
    uint32_t bits;

    if (length % 4 != 0) return SIZE_MAX;
    for (size_t at = 0; at + 4 < length; at += 4, count += 3) {
        if (!base64_group(text + at, 4, &bits)) return SIZE_MAX;
        out[count] = (char)(bits >> 16);
        out[count + 1] = (char)(bits >> 8 & 0xff);
        out[count + 2] = (char)(bits & 0xff);
    }
    if (length == 0) return 0;
    const char *last = text + length - 4;
    const size_t digits = last[3] != '=' ? 4 : last[2] == '=' ? 2 : 3;
    if (!base64_group(last, digits, &bits)) return SIZE_MAX;
    for (size_t i = 0; i + 1 < digits; i++) out[count++] = (char)(bits >> (16 - 8 * i) & 0xff);
    return count;
}

static bool read_base64(struct crn_v1_call *call, const char *name, struct crn_json value, float **out,
                        uint32_t *out_count)
{
    size_t length;

    if (crn_json_type(value) != CRN_JSON_STRING) return crn_v1_wrong(call, name, "a string of base64", value);
    const char *text = crn_json_string(value, &length);
    char *bytes = crn_v1_take(call, length / 4 * 3 + 3, 1);
    if (bytes == NULL) return false;
    const size_t size = base64_read(text, length, bytes);
    if (size == SIZE_MAX)
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s is no base64 (RFC 4648, with padding)", name);
    if (size == 0 || size % sizeof(float) != 0 || size / sizeof(float) > UINT32_MAX) {
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%s holds %zu bytes, which are no whole f32 numbers",
                             name, size);
    }
    *out_count = (uint32_t)(size / sizeof(float));
    *out = crn_v1_take(call, *out_count, sizeof **out);
    if (*out != NULL) copy_floats(*out, bytes, *out_count);
    return *out != NULL;
}

/* ---- JSON ---- */

bool crn_v1_read_floats(struct crn_v1_call *call, const char *name, struct crn_json array, float **out,
                        uint32_t *out_count)
{
    if (crn_json_type(array) != CRN_JSON_ARRAY) return crn_v1_wrong(call, name, "an array of numbers", array);
    size_t count = crn_json_size(array);
    if (count == 0 || count > UINT32_MAX)
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%s has %zu numbers", name, count);
    *out = crn_v1_take(call, count, sizeof **out);
    if (*out == NULL) return false;
    if (!crn_json_floats(array, *out, count, &count)) {
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%s[%zu] is no number", name, count);
    }
    *out_count = (uint32_t)count;
    return true;
}

bool crn_v1_get_vector(struct crn_v1_call *call, struct crn_json object, const float **out, uint32_t *out_dim)
{
    struct crn_json value, base64;
    float *values = NULL;

    const bool given = crn_v1_member(object, "vector", &value),
               given_base64 = crn_v1_member(object, "vector_b64", &base64);
    if (given && given_base64) {
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "both vector and vector_b64 are given");
    }
    if (given && !crn_v1_read_floats(call, "vector", value, &values, out_dim)) return false;
    if (given_base64 && !read_base64(call, "vector_b64", base64, &values, out_dim)) return false;
    *out = values;
    return true;
}

static bool read_multi(struct crn_v1_call *call, const char *name, struct crn_json value, cairn_vector *out)
{
    struct crn_json_iter it;
    struct crn_json row;
    const char *key;
    size_t length, done = 0;
    float *values = NULL, *numbers;
    uint32_t count;

    const size_t rows = crn_json_size(value);
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &row, &key, &length); done++) {
        if (!crn_v1_read_floats(call, name, row, &numbers, &count)) return false;
        if (done == 0) {
            out->dim = count;
            values = crn_v1_take(call, rows, count * sizeof *values);
            if (values == NULL) return false;
        }
        if (count != out->dim) {
            return crn_v1_refuse(call, CAIRN_DIM_MISMATCH, "%s[%zu] has %u numbers, those before it %u", name,
                                 done, count, out->dim);
        }
        memcpy(values + done * count, numbers, count * sizeof *values);
    }
    out->values = values;
    out->rows = (uint32_t)rows;
    return true;
}

static bool read_sparse(struct crn_v1_call *call, const char *name, struct crn_json value,
                        struct crn_json indices, cairn_vector *out)
{
    static const char *const names[] = {"indices", "values", NULL};
    struct crn_json_iter it;
    struct crn_json values, index;
    const char *key;
    size_t length, done = 0;
    float *numbers = NULL;

    if (!crn_v1_only(call, value, names)) return false;
    if (crn_json_type(indices) != CRN_JSON_ARRAY)
        return crn_v1_wrong(call, "indices", "an array of integers", indices);
    if (!crn_json_get(value, "values", &values)) {
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%s has indices, but no values", name);
    }
    if (!crn_v1_read_floats(call, "values", values, &numbers, &out->count)) return false;
    if (crn_json_size(indices) != out->count) {
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%s has %zu indices and %u values", name,
                             crn_json_size(indices), out->count);
    }
    uint32_t *places = crn_v1_take(call, out->count, sizeof *places);
    if (places == NULL) return false;
    for (crn_json_iter_init(&it, indices); crn_json_iter_next(&it, &index, &key, &length);) {
        if (crn_json_type(index) != CRN_JSON_I64 || crn_json_i64(index) < 0 ||
            crn_json_i64(index) > UINT32_MAX) {
            return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "indices[%zu] is no integer of 32 bits", done);
        }
        places[done++] = (uint32_t)crn_json_i64(index);
    }
    out->values = numbers;
    out->indices = places;
    return true;
}

bool crn_v1_read_vector(struct crn_v1_call *call, const char *name, struct crn_json value, cairn_vector *out)
{
    static const char *const base64_names[] = {"b64", NULL};
    struct crn_json_iter it;
    struct crn_json first;
    const char *key;
    size_t length;
    float *values = NULL;

    if (crn_json_get(value, "indices", &first)) return read_sparse(call, name, value, first, out);
    if (crn_json_get(value, "b64", &first)) {
        if (!crn_v1_only(call, value, base64_names) || !read_base64(call, name, first, &values, &out->dim))
            return false;
    } else {
        crn_json_iter_init(&it, value);
        if (crn_json_iter_next(&it, &first, &key, &length) && crn_json_type(first) == CRN_JSON_ARRAY) {
            return read_multi(call, name, value, out);
        }
        if (!crn_v1_read_floats(call, name, value, &values, &out->dim)) return false;
    }
    out->values = values;
    return true;
}

/* ---- binary bodies ---- */

#define NPY_TYPE "application/x-npy"

bool crn_v1_body_is_binary(const struct crn_request *request)
{
    return crn_v1_header_is(request, "content-type", "application/octet-stream") ||
           crn_v1_header_is(request, "content-type", NPY_TYPE);
}

/* What stands behind 'key': in the dictionary that NumPy writes with repr(); NULL when there is none. */
static const char *npy_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);

    return at == NULL ? NULL : at + strlen(key) + strspn(at + strlen(key), " :");
}

static bool npy_shape(const char *text, uint64_t *out_rows, uint64_t *out_dim)
{
    char *end;

    if (text == NULL || text[0] != '(' || text[1] < '0' || text[1] > '9') return false;
    *out_rows = strtoull(text + 1, &end, 10);
    end += strspn(end, ", ");
    if (*end < '0' || *end > '9') return false;
    *out_dim = strtoull(end, &end, 10);
    return end[strspn(end, ", ")] == ')';
}

/* Moves *bytes behind the header (numpy.lib.format, versions 1.0 to 3.0). */
static bool read_npy_header(struct crn_v1_call *call, struct crn_text *bytes, uint64_t *out_rows,
                            uint64_t *out_dim)
{
    const unsigned char *head = (const unsigned char *)bytes->data;
    const bool whole = bytes->length >= 12 && memcmp(head, "\x93NUMPY", 6) == 0;
    const size_t prefix = whole && head[6] >= 2 ? 12 : 10;
    size_t length = 0;

    for (size_t i = 8; whole && i < prefix; i++) length |= (size_t)head[i] << 8 * (i - 8);
    if (!whole || length > bytes->length - prefix)
        return crn_v1_refuse(call, CAIRN_UNSUPPORTED, "the body is no .npy file");
    const char *header = crn_v1_take_text(call, bytes->data + prefix, length);
    if (header == NULL) return false;
    const char *descr = npy_value(header, "'descr'"), *order = npy_value(header, "'fortran_order'");
    if (descr == NULL || strncmp(descr, "'<f4'", 5) != 0 || order == NULL ||
        strncmp(order, "False", 5) != 0 || !npy_shape(npy_value(header, "'shape'"), out_rows, out_dim)) {
        return crn_v1_refuse(call, CAIRN_UNSUPPORTED,
                             "the .npy file is no 2-dimensional array of <f4 in C order");
    }
    bytes->data += prefix + length;
    bytes->length -= prefix + length;
    return true;
}

bool crn_v1_read_rows(struct crn_v1_call *call, uint32_t dim, const float **out, size_t *out_rows,
                      uint32_t *out_dim)
{
    struct crn_text bytes = call->request->body;
    const bool npy = crn_v1_header_is(call->request, "content-type", NPY_TYPE);
    uint64_t rows = 0, own_dim = dim;

    if (npy && !read_npy_header(call, &bytes, &rows, &own_dim)) return false;
    if (own_dim == 0)
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "dim is missing: how many numbers a row has");
    if (own_dim > CAIRN_DIM_MAX || (dim != 0 && own_dim != dim)) {
        return crn_v1_refuse(call, CAIRN_DIM_MISMATCH, "the rows have %llu numbers, not %u",
                             (unsigned long long)own_dim, dim);
    }
    const size_t row_bytes = (size_t)own_dim * sizeof(float);
    if (!npy) rows = bytes.length / row_bytes;
    if (bytes.length == 0 || bytes.length % row_bytes != 0 || rows != bytes.length / row_bytes) {
        return crn_v1_refuse(call, CAIRN_INVALID_VECTOR, "%zu bytes are no whole rows of %llu f32 numbers",
                             bytes.length, (unsigned long long)own_dim);
    }
    float *values = crn_v1_take(call, (size_t)rows, row_bytes);
    if (values == NULL) return false;
    copy_floats(values, bytes.data, bytes.length / sizeof(float));
    *out = values;
    *out_rows = (size_t)rows;
    *out_dim = (uint32_t)own_dim;
    return true;
}
