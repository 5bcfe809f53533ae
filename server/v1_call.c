/* One call: its memory, its failure, and what the engine's statuses mean over HTTP. */
#include "server/v1_internal.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- failures ---- */

static void note(struct crn_v1_call *call, unsigned http, const char *name, const char *format,
                 va_list arguments)
{
    if (call->http != 0) return; /* the first failure is told */
    call->http = http;
    call->name = name;
    vsnprintf(call->message, sizeof call->message, format, arguments);
}

bool crn_v1_fail(struct crn_v1_call *call, unsigned http, const char *name, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    note(call, http, name, format, arguments);
    va_end(arguments);
    return false;
}

static unsigned http_of(cairn_status status)
{
    switch (status) {
    case CAIRN_INVALID_ARGUMENT:
    case CAIRN_INVALID_OPTION:
    case CAIRN_INVALID_VECTOR:
    case CAIRN_ZERO_VECTOR:
    case CAIRN_DIM_MISMATCH:
    case CAIRN_MODEL_MISMATCH:
    case CAIRN_INVALID_UTF8:
    case CAIRN_INVALID_JSON:
    case CAIRN_INVALID_FILTER:
    case CAIRN_INVALID_ID:
    case CAIRN_UNSUPPORTED:
    case CAIRN_LIMIT:
        return 400;
    case CAIRN_READ_ONLY:
        return 403;
    case CAIRN_NOT_FOUND:
    case CAIRN_NO_COLLECTION:
        return 404;
    case CAIRN_EXISTS:
    case CAIRN_CONFLICT:
        return 409;
    case CAIRN_EMBEDDER:
        return 502;
    case CAIRN_BUSY:
        return 503;
    case CAIRN_TIMEOUT:
    case CAIRN_CANCELLED:
        return 504;
    case CAIRN_NO_SPACE:
        return 507;
    default:
        return 500;
    }
}

bool crn_v1_refuse(struct crn_v1_call *call, cairn_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    note(call, http_of(status), cairn_status_name(status), format, arguments);
    va_end(arguments);
    return false;
}

bool crn_v1_ok(struct crn_v1_call *call, cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return true;
    return crn_v1_refuse(call, status, "%s", err->message);
}

/* ---- memory ---- */

void *crn_v1_take(struct crn_v1_call *call, size_t count, size_t size_bytes)
{
    size_t size;
    void *memory = crn_mem_mul(count, size_bytes, &size) ? crn_arena_alloc(&call->memory, size) : NULL;

    if (memory != NULL) return memset(memory, 0, size);
    crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for %zu things of %zu bytes", count, size_bytes);
    return NULL;
}

char *crn_v1_take_text(struct crn_v1_call *call, const char *text, size_t length)
{
    char *copy = crn_arena_text(&call->memory, text, length);

    if (copy == NULL) crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for %zu bytes", length);
    return copy;
}

bool crn_v1_parse(struct crn_v1_call *call, const char *text, size_t length)
{
    cairn_error err = {0};

    if (call->parser == NULL) call->parser = crn_parsers_borrow(&call->v1->parsers);
    if (call->parser == NULL) return crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for a parser");
    if (!crn_v1_ok(call, crn_json_parse(call->parser, text, length, &call->body, &err), &err)) return false;
    if (crn_json_type(call->body) == CRN_JSON_OBJECT) return true;
    return crn_v1_wrong(call, "the body", "an object", call->body);
}

void crn_v1_release(struct crn_v1_call *call)
{
    crn_v1_return_lease(call);
    crn_buf_release(&call->details);
    if (call->parser != NULL) crn_parsers_give_back(&call->v1->parsers, call->parser);
    call->parser = NULL;
    crn_arena_release(&call->memory);
}

/* ---- who asks ---- */

bool crn_v1_wanted(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    const struct crn_request *request = ((struct crn_v1_call *)ctx)->request;

    (void)phase;
    (void)done;
    (void)total;
    return request->cancelled == NULL || !request->cancelled(request->cancelled_ctx);
}
