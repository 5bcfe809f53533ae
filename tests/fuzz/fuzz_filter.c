/*
 * Any bytes as a filter, up to a first newline, and what follows as a payload. A filter that is accepted must
 * decide on any payload, and its negation must decide the opposite.
 */
#include "engine/filter.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(const char *text, size_t len, struct crn_filter **out_filter)
{
    cairn_error err = {.status = CAIRN_OK};
    const cairn_status status = crn_filter_parse(text, len, out_filter, &err);

    if (status == CAIRN_OK) return true;
    if (err.status != status || err.message[0] == '\0') abort();
    if (status != CAIRN_INVALID_FILTER && status != CAIRN_INVALID_JSON && status != CAIRN_INVALID_UTF8 &&
        status != CAIRN_LIMIT && status != CAIRN_NO_MEMORY) {
        abort();
    }
    return false;
}

/* {"$not": filter}, or NULL when the filter cannot stand there: a list, or one without a condition. */
static struct crn_filter *negation(const char *text, size_t len)
{
    struct crn_filter *filter = NULL;
    struct crn_buf buf;

    crn_buf_init(&buf, 1u << 20);
    crn_buf_puts(&buf, "{\"$not\":");
    crn_buf_append(&buf, text, len);
    crn_buf_putc(&buf, '}');
    if (buf.failed == CAIRN_OK) parse(buf.data, buf.len, &filter);
    crn_buf_release(&buf);
    return filter;
}

static void match(const struct crn_filter *filter, const struct crn_filter *opposite, const char *text,
                  size_t len)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json payload;

    if (parser == NULL) return;
    const bool present = crn_json_parse(parser, text, len, &payload, NULL) == CAIRN_OK;
    const bool matches = crn_filter_match(filter, present ? &payload : NULL);
    if (opposite != NULL && crn_filter_match(opposite, present ? &payload : NULL) == matches) abort();
    crn_json_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    const size_t filter_len = newline != NULL ? (size_t)(newline - text) : size;
    struct crn_filter *filter, *opposite;

    if (!parse(text, filter_len, &filter)) return 0;
    opposite = negation(text, filter_len);
    match(filter, opposite, newline != NULL ? newline + 1 : text,
          newline != NULL ? size - filter_len - 1 : 0);
    crn_filter_free(opposite);
    crn_filter_free(filter);
    return 0;
}
