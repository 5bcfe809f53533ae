/* The forms in which a vector may come over HTTP, as requests. */
#include "bench/bench_serve.h"

#include "base/buf.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

const char *const bench_serve_forms[] = {"JSON", "JSON, base64", "bare f32", "Qdrant, JSON"};

static void put_floats(struct crn_buf *out, const float *values)
{
    crn_buf_putc(out, '[');
    for (uint32_t d = 0; d < bench_serve.dim; d++) {
        if (d > 0) crn_buf_putc(out, ',');
        crn_buf_json_float(out, values[d]);
    }
    crn_buf_putc(out, ']');
}

static void put_base64(struct crn_buf *out, const float *values)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = (const unsigned char *)values;
    const size_t size = bench_serve.dim * sizeof *values;

    crn_buf_putc(out, '"');
    for (size_t at = 0; at < size; at += 3) {
        const uint32_t bits = (uint32_t)bytes[at] << 16 | (at + 1 < size ? (uint32_t)bytes[at + 1] << 8 : 0) |
                              (at + 2 < size ? bytes[at + 2] : 0);
        crn_buf_putc(out, digits[bits >> 18]);
        crn_buf_putc(out, digits[bits >> 12 & 63]);
        crn_buf_putc(out, at + 1 < size ? digits[bits >> 6 & 63] : '=');
        crn_buf_putc(out, at + 2 < size ? digits[bits & 63] : '=');
    }
    crn_buf_putc(out, '"');
}

static void put_vector(struct crn_buf *out, enum form form, const float *values)
{
    crn_buf_puts(out, form == BASE64 ? "\"vector_b64\":" : form == QDRANT ? "" : "\"vector\":");
    if (form == BASE64)
        put_base64(out, values);
    else
        put_floats(out, values);
}

bool bench_serve_wants(enum form form)
{
    return bench_serve.form == NULL ||
           strncmp(bench_serve_forms[form], bench_serve.form, strlen(bench_serve.form)) == 0;
}

struct http_load_request bench_serve_search(enum form form, const float *query)
{
    char what[100];
    struct crn_buf body;

    if (form == BARE) {
        snprintf(what, sizeof what, "POST /cairn/v1/collections/bench/search?k=%u", bench_serve.k);
        return http_load_request(what, "application/octet-stream", query, bench_serve.dim * sizeof *query);
    }
    crn_buf_init(&body, 1u << 24);
    crn_buf_puts(&body, form == QDRANT ? "{\"query\":" : "{");
    put_vector(&body, form, query);
    crn_buf_printf(&body, form == QDRANT ? ",\"limit\":%u}" : ",\"k\":%u}", bench_serve.k);
    const struct http_load_request request = http_load_request(
        form == QDRANT ? "POST /collections/bench/points/query" : "POST /cairn/v1/collections/bench/search",
        "application/json", body.data, body.len);
    crn_buf_release(&body);
    return request;
}

struct http_load_request bench_serve_upsert(enum form form, const float *rows, uint32_t first)
{
    char what[100];
    struct crn_buf body;

    if (form == BARE) {
        snprintf(what, sizeof what, "PUT /cairn/v1/collections/bench/patterns?first_id=%u", first);
        return http_load_request(what, "application/octet-stream", rows,
                                 (size_t)bench_serve.batch * bench_serve.dim * sizeof *rows);
    }
    crn_buf_init(&body, 1u << 28);
    crn_buf_puts(&body, form == QDRANT ? "{\"points\":[" : "{\"patterns\":[");
    for (uint32_t i = 0; i < bench_serve.batch; i++) {
        crn_buf_printf(&body, "%s{\"id\":%u,%s", i > 0 ? "," : "", first + i,
                       form == QDRANT ? "\"vector\":" : "");
        put_vector(&body, form, rows + (size_t)i * bench_serve.dim);
        crn_buf_putc(&body, '}');
    }
    crn_buf_puts(&body, "]}");
    const struct http_load_request request =
        http_load_request(form == QDRANT ? "PUT /collections/bench/points?wait=true"
                                         : "PUT /cairn/v1/collections/bench/patterns",
                          "application/json", body.data, body.len);
    crn_buf_release(&body);
    return request;
}
