/*
 * Phases: the head is collected byte by byte into message->head, with every limit checked at the byte that
 * passes it; at the empty line it is read as a whole, so that texts may point into it. Then the body follows,
 * by its length or in chunks. A refusal depends on the bytes alone, never on how they were cut.
 */
#include "server/http_parser.h"

#include "server/http_target.h"

#include <string.h>

#define CHUNK_DIGITS_MAX 15u /* hexadecimal: below 2^60, so that sums do not overflow */
#define BODY_AT_ONCE_MAX \
    (1u << 20) /* bytes of memory that a mere Content-Length gets; more comes with the bytes */

const struct crn_http_limits crn_http_limits_default = {
    .request_line_bytes = 8192,
    .header_bytes = 32768,
    .header_count = CRN_HTTP_HEADERS_MAX,
    .body_bytes = 64u << 20,
};

enum state {
    STATE_HEAD,
    STATE_BODY_BEGIN, /* the caller has seen the head */
    STATE_BODY,
    STATE_CHUNK_SIZE,
    STATE_CHUNK_EXTENSION,
    STATE_CHUNK_SIZE_LF,
    STATE_CHUNK_DATA,
    STATE_CHUNK_CR,
    STATE_CHUNK_LF,
    STATE_TRAILER_BEGIN,
    STATE_TRAILER,
    STATE_TRAILER_LF,
    STATE_END_LF,
    STATE_REFUSED,
};

void crn_http_parser_init(struct crn_http_parser *parser, const struct crn_http_limits *limits)
{
    *parser = (struct crn_http_parser){.limits = limits, .reason = "", .state = STATE_HEAD};
}

bool crn_http_parser_idle(const struct crn_http_parser *parser, const struct crn_http_message *message)
{
    return parser->state == STATE_HEAD && message->head.len == 0;
}

static enum crn_http_event refuse(struct crn_http_parser *parser, unsigned status, const char *reason)
{
    parser->state = STATE_REFUSED;
    parser->status = status;
    parser->reason = reason;
    return CRN_HTTP_REFUSED;
}

static bool is_token_byte(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && strchr(others, c) != NULL;
}

/* ---- the request line ---- */

static bool read_method(struct crn_text word, enum crn_method *out)
{
    static const char *const names[] = {
        [CRN_GET] = "GET",     [CRN_HEAD] = "HEAD",     [CRN_POST] = "POST",       [CRN_PUT] = "PUT",
        [CRN_PATCH] = "PATCH", [CRN_DELETE] = "DELETE", [CRN_OPTIONS] = "OPTIONS",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) != word.length || memcmp(names[i], word.data, word.length) != 0) continue;
        *out = (enum crn_method)i;
        return true;
    }
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1" or "HTTP/1.0"; 505 for other digits there, 400 for anything else. */
static unsigned read_version(const char *text, size_t len, bool *out_1_1)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' ||
        !is_digit(text[7]))
        return 400;
    if (text[5] != '1' || text[7] > '1') return 505;
    *out_1_1 = text[7] == '1';
    return 0;
}

/* Fills method, target and keep_alive (true for 1.1). 0 or the status of the refusal. */
static unsigned read_request_line(struct crn_http_message *message, const char *line, size_t len,
                                  const char **out_reason)
{
    const char *first = memchr(line, ' ', len);
    const char *last = first != NULL ? memchr(first + 1, ' ', len - (size_t)(first + 1 - line)) : NULL;

    *out_reason = "the request line is not METHOD TARGET HTTP/1.1";
    if (last == NULL || first == line || last == first + 1) return 400;
    for (const char *c = line; c < first; c++) {
        if (!is_token_byte((unsigned char)*c)) return 400;
    }
    const unsigned status = read_version(last + 1, len - (size_t)(last + 1 - line), &message->keep_alive);
    if (status == 505) *out_reason = "only HTTP/1.1 and HTTP/1.0 are spoken here";
    if (status != 0) return status;
    *out_reason = "the method is not known";
    if (!read_method((struct crn_text){line, (size_t)(first - line)}, &message->request.method)) return 501;
    message->target = (struct crn_text){first + 1, (size_t)(last - first - 1)};
    return 0;
}

/* ---- header lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool read_header(char *line, size_t len, struct crn_field *out)
{
    char *colon = memchr(line, ':', len);

    if (colon == NULL || colon == line) return false;
    for (char *c = line; c < colon; c++) {
        /* so are a blank before the colon and obs-fold */
        if (!is_token_byte((unsigned char)*c)) return false;
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + ('a' - 'A'));
    }
    const char *begin = colon + 1, *end = line + len;
    while (begin < end && is_blank(*begin)) begin++;
    while (end > begin && is_blank(end[-1])) end--;
    out->name = (struct crn_text){line, (size_t)(colon - line)};
    out->value = (struct crn_text){begin, (size_t)(end - begin)};
    return true;
}

/* Whether a comma-separated list has a word, whatever its case. */
static bool list_has(struct crn_text list, const char *word)
{
    const char *at = list.data, *end = list.data + list.length;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end, *last = stop;
        while (at < last && is_blank(*at)) at++;
        while (last > at && is_blank(last[-1])) last--;
        if (crn_http_text_is((struct crn_text){at, (size_t)(last - at)}, word)) return true;
        at = comma != NULL ? stop + 1 : end;
    }
    return false;
}

static bool read_length(struct crn_text text, uint64_t *out)
{
    uint64_t value = 0;

    if (text.length == 0) return false;
    for (size_t i = 0; i < text.length; i++) {
        if (!is_digit(text.data[i])) return false;
        const unsigned digit = (unsigned)(text.data[i] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit; /* far above any limit */
    }
    *out = value;
    return true;
}

/* What the headers say about the body and the connection. */
struct framing {
    size_t hosts, lengths, codings;
    uint64_t length;
    bool close, keep_alive, chunked, unknown_coding, bad_length, bad_host, unknown_expectation;
};

static void note_header(struct framing *framing, struct crn_http_message *message,
                        const struct crn_field *field)
{
    const struct crn_text name = field->name, value = field->value;

    if (crn_http_text_is(name, "host")) {
        framing->hosts++;
        if (!crn_http_is_host(value)) framing->bad_host = true;
    } else if (crn_http_text_is(name, "content-length")) {
        framing->lengths++;
        if (!read_length(value, &framing->length)) framing->bad_length = true;
    } else if (crn_http_text_is(name, "transfer-encoding")) {
        framing->codings++;
        framing->chunked = crn_http_text_is(value, "chunked");
        if (!framing->chunked) framing->unknown_coding = true;
    } else if (crn_http_text_is(name, "connection")) {
        if (list_has(value, "close")) framing->close = true;
        if (list_has(value, "keep-alive")) framing->keep_alive = true;
    } else if (crn_http_text_is(name, "expect")) {
        if (crn_http_text_is(value, "100-continue"))
            message->expects_continue = true;
        else
            framing->unknown_expectation = true;
    }
}

static unsigned check_framing(const struct framing *framing, bool http_1_1,
                              const struct crn_http_limits *limits, const char **out_reason)
{
    struct {
        bool wrong;
        unsigned status;
        const char *reason;
    } rules[] = {
        {framing->hosts > 1, 400, "more than one Host"},
        {framing->bad_host, 400, "Host is no name or address, with a port or without"},
        {framing->hosts == 0 && http_1_1, 400, "no Host"},
        {framing->lengths > 0 && framing->codings > 0, 400, "Content-Length beside Transfer-Encoding"},
        {framing->lengths > 1, 400, "more than one Content-Length"},
        {framing->bad_length, 400, "Content-Length is not a number"},
        {framing->codings > 1 || (framing->codings > 0 && !http_1_1), 400,
         "Transfer-Encoding where it may not be"},
        {framing->unknown_coding, 501, "the only Transfer-Encoding known is chunked"},
        {framing->unknown_expectation, 417, "the only expectation known is 100-continue"},
        {framing->length > limits->body_bytes, 413, "the body is too large"},
    };

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (!rules[i].wrong) continue;
        *out_reason = rules[i].reason;
        return rules[i].status;
    }
    return 0;
}

/* Reads message->head, which is complete and does not move from here on. */
static enum crn_http_event read_head(struct crn_http_parser *parser, struct crn_http_message *message)
{
    struct framing framing = {0};
    const size_t len = message->head.len;
    const size_t first_len = (size_t)((char *)memchr(message->head.data, '\r', len) - message->head.data);
    const char *reason = NULL;

    /* may move it, so before anything points into it */
    char *room = crn_buf_extend(&message->head, first_len);
    if (room == NULL) return refuse(parser, 500, "no memory for a request's head");
    unsigned status = read_request_line(message, message->head.data, first_len, &reason);
    if (status == 0) status = crn_http_target_read(message, room, &reason);
    if (status != 0) return refuse(parser, status, reason);

    for (size_t at = first_len + 2; at < len - 2;) {
        char *line = message->head.data + at;
        const size_t line_len = (size_t)((char *)memchr(line, '\r', len - at) - line);
        struct crn_field *field = &message->headers[message->request.header_count];
        if (!read_header(line, line_len, field))
            return refuse(parser, 400, "a header line is not NAME: VALUE");
        message->request.header_count++;
        note_header(&framing, message, field);
        at += line_len + 2;
    }
    const bool http_1_1 = message->keep_alive;
    message->http_1_0 = !http_1_1;
    status = check_framing(&framing, http_1_1, parser->limits, &reason);
    if (status != 0) return refuse(parser, status, reason);
    message->keep_alive = !framing.close && (http_1_1 || framing.keep_alive);
    parser->chunked = framing.chunked;
    parser->body_left = framing.length;
    if (!http_1_1 || (framing.length == 0 && !framing.chunked)) message->expects_continue = false;
    parser->state = STATE_BODY_BEGIN;
    return CRN_HTTP_HEAD_READ;
}

/* ---- bytes of the head ---- */

/* A line of the head has ended; what is of it up to `used` is in message->head. */
static enum crn_http_event end_line(struct crn_http_parser *parser, struct crn_http_message *message)
{
    const char *line = message->head.data + parser->line_begin;
    const size_t len = message->head.len - 2 - parser->line_begin;
    const char *reason;

    /* one empty line before a request is forgiven (RFC 9112, 2.2) */
    if (len == 0 && parser->line_count == 0) {
        if (parser->trailer_bytes > 0) return refuse(parser, 400, "empty lines instead of a request");
        parser->trailer_bytes = 1;
        crn_buf_clear(&message->head);
        return CRN_HTTP_MORE;
    }
    if (len == 0) return read_head(parser, message);
    /* at once, so that whoever speaks another protocol is told before its time is up */
    if (parser->line_count == 0) {
        const unsigned status = read_request_line(message, line, len, &reason);
        message->target = (struct crn_text){"", 0}; /* the head may still move */
        if (status != 0) return refuse(parser, status, reason);
    } else if (parser->line_count > parser->limits->header_count) {
        return refuse(parser, 431, "too many header lines");
    }
    parser->line_count++;
    parser->line_begin = message->head.len;
    return CRN_HTTP_MORE;
}

/* Whether `bytes` of the head, of which the last is in the current line, pass a limit. */
static unsigned check_head_limits(const struct crn_http_parser *parser, size_t bytes, size_t first_line_bytes)
{
    if (parser->line_count == 0) return bytes > parser->limits->request_line_bytes ? 414 : 0;
    return bytes - first_line_bytes > parser->limits->header_bytes ? 431 : 0;
}

static size_t first_line_bytes(const struct crn_http_parser *parser, const struct crn_http_message *message)
{
    if (parser->line_count == 0) return 0;
    return (size_t)((char *)memchr(message->head.data, '\n', message->head.len) - message->head.data) + 1;
}

static enum crn_http_event feed_head(struct crn_http_parser *parser, struct crn_http_message *message,
                                     const char *data, size_t len, size_t *used)
{
    size_t begin = *used; /* of what is not in message->head yet */
    size_t first = first_line_bytes(parser, message);

    for (size_t i = begin; i < len; i++) {
        const unsigned char c = (unsigned char)data[i];
        const unsigned over = check_head_limits(parser, message->head.len + (i + 1 - begin), first);
        if (over != 0)
            return refuse(parser, over,
                          over == 414 ? "the request line is too long" : "the headers are too long");
        if (parser->carriage_return != (c == '\n'))
            return refuse(parser, 400, "a line does not end with CR LF");
        if (c != '\n') {
            parser->carriage_return = c == '\r';
            if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7F)
                return refuse(parser, 400, "a control character in the head");
            continue;
        }
        parser->carriage_return = false;
        *used = i + 1;
        if (crn_buf_append(&message->head, data + begin, i + 1 - begin) != CAIRN_OK) break;
        begin = i + 1;
        const enum crn_http_event event = end_line(parser, message);
        if (event != CRN_HTTP_MORE) return event;
        if (parser->line_count == 1) first = first_line_bytes(parser, message);
    }
    crn_buf_append(&message->head, data + begin, len - begin);
    *used = len;
    return message->head.failed == CAIRN_OK ? CRN_HTTP_MORE
                                            : refuse(parser, 500, "no memory for a request's head");
}

/* ---- the body ---- */

static enum crn_http_event finish(struct crn_http_parser *parser, struct crn_http_message *message)
{
    message->request.body =
        (struct crn_text){message->body.data != NULL ? message->body.data : "", message->body.len};
    crn_http_parser_init(parser, parser->limits);
    return CRN_HTTP_REQUEST_READ;
}

static enum crn_http_event begin_body(struct crn_http_parser *parser, struct crn_http_message *message)
{
    if (parser->chunked) {
        parser->state = STATE_CHUNK_SIZE;
        return CRN_HTTP_MORE;
    }
    if (parser->body_left == 0) return finish(parser, message);
    if (parser->body_left <= BODY_AT_ONCE_MAX &&
        crn_buf_extend(&message->body, (size_t)parser->body_left) == NULL) {
        return refuse(parser, 500, "no memory for a request's body");
    }
    crn_buf_clear(&message->body);
    parser->state = STATE_BODY;
    return CRN_HTTP_MORE;
}

/* Takes what there is of the body or the chunk. */
static enum crn_http_event take_body(struct crn_http_parser *parser, struct crn_http_message *message,
                                     const char *data, size_t len, size_t *used)
{
    const size_t there = len - *used;
    const size_t take = parser->body_left < there ? (size_t)parser->body_left : there;

    if (crn_buf_append(&message->body, data + *used, take) != CAIRN_OK) {
        return refuse(parser, 500, "no memory for a request's body");
    }
    *used += take;
    parser->body_left -= take;
    if (parser->body_left > 0) return CRN_HTTP_MORE;
    if (parser->state == STATE_BODY) return finish(parser, message);
    parser->state = STATE_CHUNK_CR;
    return CRN_HTTP_MORE;
}

static enum crn_http_event end_chunk_size(struct crn_http_parser *parser,
                                          const struct crn_http_message *message)
{
    if (parser->chunk_digits == 0) return refuse(parser, 400, "a chunk without a size");
    if (parser->body_left > parser->limits->body_bytes - message->body.len)
        return refuse(parser, 413, "the body is too large");
    parser->chunk_digits = 0;
    parser->state = parser->body_left > 0 ? STATE_CHUNK_DATA : STATE_TRAILER_BEGIN;
    return CRN_HTTP_MORE;
}

static enum crn_http_event take_chunk_size(struct crn_http_parser *parser, char c)
{
    const char *digits = "0123456789abcdef";
    const char lower = c >= 'A' && c <= 'F' ? (char)(c + ('a' - 'A')) : c;
    const char *digit = c != '\0' ? strchr(digits, lower) : NULL;

    if (digit != NULL) {
        if (++parser->chunk_digits > CHUNK_DIGITS_MAX) return refuse(parser, 413, "the body is too large");
        parser->body_left = parser->body_left << 4 | (uint64_t)(digit - digits);
    } else if (c == '\r') {
        parser->state = STATE_CHUNK_SIZE_LF;
    } else if (c == ';' && parser->chunk_digits > 0) {
        parser->state = STATE_CHUNK_EXTENSION;
    } else {
        return refuse(parser, 400, "a chunk size is not hexadecimal");
    }
    return CRN_HTTP_MORE;
}

/* Bytes of chunk extensions and trailers, which nobody reads: they count together. */
static enum crn_http_event take_ignored(struct crn_http_parser *parser, unsigned char c, enum state at_end)
{
    if (++parser->trailer_bytes > parser->limits->header_bytes)
        return refuse(parser, 431, "the trailers are too long");
    if (c == '\r')
        parser->state = (int)at_end;
    else if ((c < 0x20 && c != '\t') || c == 0x7F)
        return refuse(parser, 400, "a control character in a chunk or trailer");
    return CRN_HTTP_MORE;
}

/* A byte around the chunks. */
static enum crn_http_event take_frame(struct crn_http_parser *parser, struct crn_http_message *message,
                                      char c)
{
    const enum state state = (enum state)parser->state;
    const bool wants_feed = state == STATE_CHUNK_SIZE_LF || state == STATE_CHUNK_LF ||
                            state == STATE_TRAILER_LF || state == STATE_END_LF;

    if (wants_feed && c != '\n') return refuse(parser, 400, "a line does not end with CR LF");
    switch (state) {
    case STATE_CHUNK_SIZE:
        return take_chunk_size(parser, c);
    case STATE_CHUNK_EXTENSION:
        return take_ignored(parser, (unsigned char)c, STATE_CHUNK_SIZE_LF);
    case STATE_CHUNK_SIZE_LF:
        return end_chunk_size(parser, message);
    case STATE_CHUNK_CR:
        if (c != '\r') return refuse(parser, 400, "a chunk is longer than its size");
        parser->state = STATE_CHUNK_LF;
        return CRN_HTTP_MORE;
    case STATE_CHUNK_LF:
        parser->state = STATE_CHUNK_SIZE;
        return CRN_HTTP_MORE;
    case STATE_TRAILER_BEGIN:
        if (c == ' ' || c == '\t' || c == ':') return refuse(parser, 400, "a trailer is not NAME: VALUE");
        parser->state = STATE_TRAILER;
        return take_ignored(parser, (unsigned char)c, STATE_END_LF);
    case STATE_TRAILER:
        return take_ignored(parser, (unsigned char)c, STATE_TRAILER_LF);
    case STATE_TRAILER_LF:
        parser->state = STATE_TRAILER_BEGIN;
        return CRN_HTTP_MORE;
    default:
        return finish(parser, message); /* STATE_END_LF */
    }
}

enum crn_http_event crn_http_parser_feed(struct crn_http_parser *parser, struct crn_http_message *message,
                                         const char *data, size_t len, size_t *out_used)
{
    enum crn_http_event event = CRN_HTTP_MORE;

    *out_used = 0;
    if (parser->state == STATE_REFUSED) return CRN_HTTP_REFUSED;
    if (parser->state == STATE_BODY_BEGIN) event = begin_body(parser, message);
    while (event == CRN_HTTP_MORE && *out_used < len) {
        if (parser->state == STATE_HEAD) {
            event = feed_head(parser, message, data, len, out_used);
        } else if (parser->state == STATE_BODY || parser->state == STATE_CHUNK_DATA) {
            event = take_body(parser, message, data, len, out_used);
        } else {
            event = take_frame(parser, message, data[(*out_used)++]);
        }
    }
    return event;
}
