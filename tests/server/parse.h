/* Parses bytes, cut in pieces, into one line of text a request, so that tests can compare. */
#ifndef CRN_TESTS_SERVER_PARSE_H
#define CRN_TESTS_SERVER_PARSE_H

#include "base/rng.h"
#include "server/http_parser.h"

#include <stdlib.h>
#include <string.h>

static inline void put_text(struct crn_buf *out, const char *mark, struct crn_text text)
{
    crn_buf_puts(out, mark);
    crn_buf_append(out, text.data, text.length);
}

static inline void put_request(struct crn_buf *out, const struct crn_http_message *message)
{
    const struct crn_request *request = &message->request;

    crn_buf_printf(out, "%d", (int)request->method);
    for (size_t i = 0; i < request->segment_count; i++) put_text(out, "/", request->segments[i]);
    for (size_t i = 0; i < request->parameter_count; i++) {
        put_text(out, "?", request->parameters[i].name);
        put_text(out, "=", request->parameters[i].value);
    }
    for (size_t i = 0; i < request->header_count; i++) {
        put_text(out, " ", request->headers[i].name);
        put_text(out, ":", request->headers[i].value);
    }
    put_text(out, " body=", request->body);
    crn_buf_puts(out, message->keep_alive ? " keep\n" : " close\n");
}

/* Whole with rng NULL; else cut at random, each piece in memory of exactly its size, so that a sanitizer sees
 * a read past it. */
static inline void parse_all(const struct crn_http_limits *limits, const char *data, size_t len,
                             struct crn_rng *rng, struct crn_buf *out)
{
    struct crn_http_message message;
    struct crn_http_parser parser;
    enum crn_http_event event = CRN_HTTP_MORE;
    size_t at = 0;

    crn_http_message_init(&message, limits);
    crn_http_parser_init(&parser, limits);
    while (event != CRN_HTTP_REFUSED && (at < len || event != CRN_HTTP_MORE)) {
        size_t piece = len - at, used;
        if (rng != NULL && piece > 0)
            piece =
                1 + (size_t)crn_rng_below(rng, crn_rng_below(rng, 4) == 0 ? piece : (piece < 8 ? piece : 8));
        char *copy = malloc(piece > 0 ? piece : 1);
        if (piece > 0) memcpy(copy, data + at, piece);
        event = crn_http_parser_feed(&parser, &message, copy, piece, &used);
        free(copy);
        if (used > piece || (event == CRN_HTTP_MORE && used != piece)) abort();
        at += used;
        if (event == CRN_HTTP_REQUEST_READ) {
            put_request(out, &message);
            crn_http_message_clear(&message, SIZE_MAX);
            event = CRN_HTTP_MORE;
        }
    }
    if (event == CRN_HTTP_REFUSED)
        crn_buf_printf(out, "refused %u %s\n", parser.status, parser.reason);
    else if (!crn_http_parser_idle(&parser, &message))
        crn_buf_puts(out, "more\n");
    crn_http_message_release(&message);
}

#endif
