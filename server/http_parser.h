/*
 * HTTP/1.1 requests from bytes (RFC 9112), strictly: what two readers could understand in two ways is
 * refused, not guessed at. No socket and no clock; bytes may come in any pieces and give the same requests.
 *
 *   struct crn_http_parser parser;
 *   crn_http_parser_init(&parser, &limits);
 *   while (...) switch (crn_http_parser_feed(&parser, message, data, len, &used)) ...
 *
 * A message belongs to the request that is being read, and then to whoever answers it; a parser between two
 * requests holds no memory. Refused: bare CR or LF, NUL and other control characters, obs-fold, blanks before
 * a colon, more than one Content-Length, Content-Length beside Transfer-Encoding, any coding but chunked, a
 * 1.1 request without exactly one Host.
 */
#ifndef CRN_SERVER_HTTP_PARSER_H
#define CRN_SERVER_HTTP_PARSER_H

#include "server/exchange.h"

#define CRN_HTTP_HEADERS_MAX 100u
#define CRN_HTTP_SEGMENTS_MAX 16u
#define CRN_HTTP_PARAMETERS_MAX 64u

struct crn_http_limits {
    size_t request_line_bytes; /* past it 414 */
    size_t header_bytes;       /* of all header lines; past it 431 */
    size_t header_count;       /* at most CRN_HTTP_HEADERS_MAX; past it 431 */
    size_t body_bytes;         /* past it 413 */
};

extern const struct crn_http_limits crn_http_limits_default;

/* One request as it was read. `request` points into it; the parser leaves its principal, id, deadline and
 * cancelled alone. */
struct crn_http_message {
    struct crn_buf head; /* the lines as they came, names in lower case, then the decoded target */
    struct crn_buf body;
    struct crn_text target; /* as it came, for logs: with the query, which may hold secrets */
    struct crn_text path;   /* as it came, without the query */
    bool http_1_0;
    bool keep_alive;       /* the connection may carry another request */
    bool expects_continue; /* the client waits for "100 Continue" before it sends the body */
    struct crn_field headers[CRN_HTTP_HEADERS_MAX];
    struct crn_text segments[CRN_HTTP_SEGMENTS_MAX];
    struct crn_field parameters[CRN_HTTP_PARAMETERS_MAX];
    struct crn_request request;
};

void crn_http_message_init(struct crn_http_message *message, const struct crn_http_limits *limits);
void crn_http_message_release(struct crn_http_message *message);
/* Makes it ready for another request; keeps buffers of up to keep_bytes each. */
void crn_http_message_clear(struct crn_http_message *message, size_t keep_bytes);

/* The value of a header, named in lower case; NULL when there is none. Of several the first. */
const struct crn_text *crn_http_header(const struct crn_request *request, const char *name);
bool crn_http_text_is(struct crn_text text, const char *word); /* equal, but for the case of ASCII letters */

enum crn_http_event {
    CRN_HTTP_MORE, /* all bytes were used; the request goes on */
    /* message->request is filled but for its body; feed on, with no bytes if none are left */
    CRN_HTTP_HEAD_READ,
    CRN_HTTP_REQUEST_READ, /* complete; bytes that were not used belong to the next request */
    CRN_HTTP_REFUSED,      /* parser->status and parser->reason say why; the connection is of no more use */
};

struct crn_http_parser {
    const struct crn_http_limits *limits;
    unsigned status;    /* of the refusal: 400, 413, 414, 417, 431, 500, 501, 505 */
    const char *reason; /* one line, static */
    int state;
    bool carriage_return; /* the last byte was CR, so that LF must follow */
    bool chunked;
    size_t line_begin;    /* in message->head */
    size_t line_count;    /* lines read, the request line included */
    size_t trailer_bytes; /* of chunk extensions and trailers */
    unsigned chunk_digits;
    uint64_t body_left; /* of the body or of the chunk */
};

void crn_http_parser_init(struct crn_http_parser *parser, const struct crn_http_limits *limits);
/* Between requests: nothing of one has come into the message, but perhaps an empty line. */
bool crn_http_parser_idle(const struct crn_http_parser *parser, const struct crn_http_message *message);

enum crn_http_event crn_http_parser_feed(struct crn_http_parser *parser, struct crn_http_message *message,
                                         const char *data, size_t len, size_t *out_used);

#endif
