/* The memory of a request that was read, and looking into it. */
#include "server/http_parser.h"

#include <string.h>
#include <strings.h>

void crn_http_message_init(struct crn_http_message *message, const struct crn_http_limits *limits)
{
    crn_buf_init(&message->head, 2 * limits->request_line_bytes + limits->header_bytes + 16);
    crn_buf_init(&message->body, limits->body_bytes);
    crn_http_message_clear(message, SIZE_MAX);
}

void crn_http_message_release(struct crn_http_message *message)
{
    crn_buf_release(&message->head);
    crn_buf_release(&message->body);
}

static void clear(struct crn_buf *buf, size_t keep_bytes)
{
    if (buf->cap > keep_bytes) crn_buf_release(buf);
    crn_buf_clear(buf);
}

void crn_http_message_clear(struct crn_http_message *message, size_t keep_bytes)
{
    clear(&message->head, keep_bytes);
    clear(&message->body, keep_bytes);
    message->target = message->path = (struct crn_text){"", 0};
    message->keep_alive = message->expects_continue = message->http_1_0 = false;
    message->request = (struct crn_request){
        .segments = message->segments,
        .parameters = message->parameters,
        .headers = message->headers,
        .body = {"", 0},
    };
}

bool crn_http_text_is(struct crn_text text, const char *word)
{
    return strlen(word) == text.length && strncasecmp(text.data, word, text.length) == 0;
}

const struct crn_text *crn_http_header(const struct crn_request *request, const char *name)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < request->header_count; i++) {
        const struct crn_field *field = &request->headers[i];
        if (field->name.length == len && memcmp(field->name.data, name, len) == 0) return &field->value;
    }
    return NULL;
}
