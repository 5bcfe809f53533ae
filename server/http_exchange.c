/* The memory of an exchange, and the head of its answer. */
#include "server/http_exchange.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 8192u

static bool cancelled(void *ctx)
{
    struct crn_http_exchange *exchange = ctx;
    const uint64_t deadline_ns = exchange->message.request.deadline_ns;

    if (atomic_load_explicit(&exchange->cancelled, memory_order_relaxed)) return true;
    return deadline_ns != 0 && crn_clock_ns() >= deadline_ns;
}

struct crn_http_exchange *crn_http_exchange_create(const struct crn_http_limits *limits,
                                                   size_t answer_bytes_max)
{
    struct crn_http_exchange *exchange = crn_mem_calloc(1, sizeof *exchange);

    if (exchange == NULL) return NULL;
    crn_http_message_init(&exchange->message, limits);
    crn_buf_init(&exchange->answer.body, answer_bytes_max);
    crn_buf_init(&exchange->head, HEAD_BYTES_MAX);
    crn_http_exchange_clear(exchange, SIZE_MAX);
    return exchange;
}

static void answer_clear(struct crn_answer *answer)
{
    if (answer->has_file) close(answer->file);
    answer->has_file = false;
    crn_buf_clear(&answer->body);
    answer->status = 200;
    answer->content_type = NULL;
    answer->header_count = 0;
}

void crn_http_exchange_free(struct crn_http_exchange *exchange)
{
    if (exchange == NULL) return;
    answer_clear(&exchange->answer);
    crn_mem_free(exchange->chunk);
    crn_http_message_release(&exchange->message);
    crn_buf_release(&exchange->answer.body);
    crn_buf_release(&exchange->head);
    crn_mem_free(exchange);
}

void crn_http_exchange_clear(struct crn_http_exchange *exchange, size_t keep_bytes)
{
    crn_http_message_clear(&exchange->message, keep_bytes);
    if (exchange->answer.body.cap > keep_bytes) crn_buf_release(&exchange->answer.body);
    answer_clear(&exchange->answer);
    crn_mem_free(exchange->chunk);
    exchange->chunk = NULL;
    exchange->file_sent = 0;
    crn_buf_clear(&exchange->head);
    exchange->route = (struct crn_http_route){0};
    exchange->connection = NULL;
    exchange->next = NULL;
    exchange->routed = false;
    exchange->read_ns = exchange->duration_ns = 0;
    exchange->id[0] = '\0';
    atomic_store_explicit(&exchange->cancelled, false, memory_order_relaxed);
    exchange->message.request.id = exchange->id;
    exchange->message.request.principal.name = "";
    exchange->message.request.cancelled = cancelled;
    exchange->message.request.cancelled_ctx = exchange;
}

size_t crn_http_exchange_bytes(const struct crn_http_exchange *exchange)
{
    return sizeof *exchange + exchange->message.head.cap + exchange->message.body.cap +
           exchange->answer.body.cap + exchange->head.cap;
}

static bool is_id(struct crn_text text)
{
    if (text.length == 0 || text.length > CRN_HTTP_ID_MAX) return false;
    for (size_t i = 0; i < text.length; i++) {
        const char c = text.data[i];
        const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && strchr("-_.:/+=", c) == NULL) return false;
    }
    return true;
}

void crn_http_exchange_identify(struct crn_http_exchange *exchange, uint64_t number)
{
    const struct crn_text *given = crn_http_header(&exchange->message.request, "x-request-id");

    if (given != NULL && is_id(*given)) {
        memcpy(exchange->id, given->data, given->length);
        exchange->id[given->length] = '\0';
        return;
    }
    for (int i = 0; i < 16; i++) exchange->id[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    exchange->id[16] = '\0';
}

void crn_http_answer_error(struct crn_answer *answer, unsigned status, const char *reason)
{
    answer_clear(answer);
    answer->status = status;
    crn_buf_puts(&answer->body, "{\"status\":{\"error\":");
    crn_buf_json_string(&answer->body, reason, strlen(reason));
    crn_buf_puts(&answer->body, "},\"time\":0.0}");
}

void crn_http_answer_header(struct crn_answer *answer, const char *name, const char *value)
{
    if (answer->header_count == CRN_ANSWER_HEADERS_MAX) return;
    struct crn_answer_header *header = &answer->headers[answer->header_count++];
    header->name = name;
    snprintf(header->value, sizeof header->value, "%s", value);
}

static const char *phrase_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) return phrases[i].phrase;
    }
    return "Other";
}

/* A value goes on the wire as one line, whatever a handler put there. */
static void put_line(struct crn_buf *head, const char *name, const char *value)
{
    crn_buf_puts(head, name);
    crn_buf_puts(head, ": ");
    for (const char *c = value; *c != '\0'; c++)
        crn_buf_putc(head, (unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c);
    crn_buf_puts(head, "\r\n");
}

static void put_number(struct crn_buf *head, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    crn_buf_append(head, digits + at, sizeof digits - at);
}

void crn_http_exchange_write_head(struct crn_http_exchange *exchange, const char *date, const char *extra,
                                  bool keep_alive)
{
    struct crn_answer *answer = &exchange->answer;
    struct crn_buf *head = &exchange->head;

    if (answer->body.failed != CAIRN_OK)
        crn_http_answer_error(answer, 500, "the answer needs more memory than there is for it");
    if (answer->status < 200 || answer->status > 599) answer->status = 500;
    const bool bodiless = answer->status == 204 || answer->status == 304;
    crn_buf_clear(head);
    crn_buf_puts(head, "HTTP/1.1 ");
    put_number(head, answer->status);
    crn_buf_putc(head, ' ');
    crn_buf_puts(head, phrase_of(answer->status));
    crn_buf_puts(head, "\r\ndate: ");
    crn_buf_puts(head, date);
    if (!bodiless) {
        crn_buf_puts(head, "\r\ncontent-type: ");
        crn_buf_puts(head, answer->content_type != NULL ? answer->content_type : "application/json");
        crn_buf_puts(head, "\r\ncontent-length: ");
        put_number(head, answer->has_file ? answer->file_bytes : answer->body.len);
    }
    crn_buf_puts(head, "\r\n");
    if (exchange->id[0] != '\0') put_line(head, "x-request-id", exchange->id);
    for (size_t i = 0; i < answer->header_count; i++)
        put_line(head, answer->headers[i].name, answer->headers[i].value);
    if (extra != NULL) crn_buf_puts(head, extra);
    if (!keep_alive)
        crn_buf_puts(head, "connection: close\r\n");
    else if (exchange->message.http_1_0)
        crn_buf_puts(head, "connection: keep-alive\r\n");
    crn_buf_puts(head, "\r\n");
}
