/* One call: its memory, its failure, and what the engine's failures mean in the dialect. */
#include "server/access.h"
#include "server/qdrant_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool crn_qd_fail(struct crn_qd_call *call, unsigned status, const char *format, ...)
{
    va_list arguments;

    if (call->status != 0) return false; /* the first failure is told */
    call->status = status;
    va_start(arguments, format);
    vsnprintf(call->error, sizeof call->error, format, arguments);
    va_end(arguments);
    return false;
}

bool crn_qd_ok(struct crn_qd_call *call, cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return true;
    switch (status) {
    case CAIRN_NO_COLLECTION:
        /* It was dropped, perhaps by another process: what is open of it leads nowhere, and the next try looks anew. */
        call->gone = call->lease_count > 0;
        for (size_t i = 0; i < call->lease_count; i++) crn_qd_forget(call->qdrant, call->leases[i]->name);
        return crn_qd_fail(call, 404, "Not found: Collection `%s` doesn't exist!",
                           call->lease_count > 0 ? call->leases[0]->name : "");
    case CAIRN_NOT_FOUND:
        return crn_qd_fail(call, 404, "Not found: %s", err->message);
    case CAIRN_INVALID_FILTER:
    case CAIRN_INVALID_ARGUMENT:
    case CAIRN_INVALID_OPTION:
    case CAIRN_INVALID_VECTOR:
    case CAIRN_ZERO_VECTOR:
    case CAIRN_INVALID_UTF8:
    case CAIRN_INVALID_JSON:
    case CAIRN_INVALID_ID:
    case CAIRN_DIM_MISMATCH:
    case CAIRN_MODEL_MISMATCH:
    case CAIRN_UNSUPPORTED:
    case CAIRN_LIMIT:
        return crn_qd_fail(call, 400, "Wrong input: %s", err->message);
    case CAIRN_EXISTS:
    case CAIRN_CONFLICT:
        return crn_qd_fail(call, 409, "Conflict: %s", err->message);
    case CAIRN_TIMEOUT:
        return crn_qd_fail(call, 408, "Timeout: %s", err->message);
    case CAIRN_READ_ONLY:
        return crn_qd_fail(call, 403, "Forbidden: %s", err->message);
    case CAIRN_BUSY:
        return crn_qd_fail(call, 503, "Service internal error: %s", err->message);
    case CAIRN_NO_SPACE:
        return crn_qd_fail(call, 507, "Service internal error: %s", err->message);
    default:
        return crn_qd_fail(call, 500, "Service internal error: %s", err->message);
    }
}

/* ---- whether it may, and whether it should go on ---- */

bool crn_qd_may_use(struct crn_qd_call *call, const char *name, size_t length)
{
    if (crn_access_covers(&call->request->principal, name, length)) return true;
    return crn_qd_fail(call, 403, "Forbidden: Access to collection %.*s is required",
                       (int)(length > 300 ? 300 : length), name);
}

bool crn_qd_go_on(struct crn_qd_call *call)
{
    const struct crn_request *request = call->request;

    if (call->out->failed != CAIRN_OK)
        return crn_qd_fail(call, 500, "Service internal error: the answer is too long or memory ran out");
    if (request->cancelled != NULL && request->cancelled(request->cancelled_ctx)) {
        return crn_qd_fail(call, 408, "Timeout: nobody waits for the answer any more");
    }
    if (call->deadline_ns == 0 || crn_clock_ns() < call->deadline_ns) return true;
    return crn_qd_fail(call, 408, "Timeout: the answer was not ready in time");
}

uint32_t crn_qd_left_ms(const struct crn_qd_call *call)
{
    const uint64_t now_ns = crn_clock_ns();

    if (call->deadline_ns == 0) return 0;
    if (call->deadline_ns <= now_ns) return 1;
    const uint64_t left_ms = (call->deadline_ns - now_ns) / 1000000u + 1;
    return left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
}

/* ---- memory ---- */

void *crn_qd_take(struct crn_qd_call *call, size_t count, size_t size_bytes)
{
    size_t size;
    void *memory = crn_mem_mul(count, size_bytes, &size) ? crn_arena_alloc(&call->memory, size) : NULL;

    if (memory != NULL) return memset(memory, 0, size);
    crn_qd_fail(call, 500, "Service internal error: no memory for %zu things of %zu bytes", count,
                size_bytes);
    return NULL;
}

char *crn_qd_take_text(struct crn_qd_call *call, const char *text, size_t length)
{
    char *copy = crn_arena_text(&call->memory, text, length);

    if (copy == NULL) crn_qd_fail(call, 500, "Service internal error: no memory for %zu bytes", length);
    return copy;
}

char *crn_qd_keep(struct crn_qd_call *call, struct crn_buf *text)
{
    char *kept = NULL;

    if (text->failed != CAIRN_OK) {
        crn_qd_fail(call, 500, "Service internal error: no memory for %zu bytes of text", text->len);
    } else {
        kept = crn_qd_take_text(call, text->data == NULL ? "" : text->data, text->len);
    }
    crn_buf_release(text);
    return kept;
}

/* ---- parsers ---- */

bool crn_qd_parse(struct crn_qd_call *call, const char *text, size_t length, struct crn_json *out)
{
    cairn_error err;

    if (call->parser_count == QD_CALL_PARSERS)
        return crn_qd_fail(call, 500, "Service internal error: too many texts parsed at once");
    struct crn_json_parser *parser = crn_parsers_borrow(&call->qdrant->parsers);
    if (parser == NULL) return crn_qd_fail(call, 500, "Service internal error: no memory for a parser");
    call->parsers[call->parser_count++] = parser;
    const cairn_status status = crn_json_parse(parser, text, length, out, &err);
    if (status == CAIRN_OK) return true;
    if (status == CAIRN_NO_MEMORY) return crn_qd_ok(call, status, &err);
    return crn_qd_fail(call, 400, "Format error in JSON body: %s", err.message);
}

bool crn_qd_parse_scratch(struct crn_qd_call *call, const char *text, size_t length, struct crn_json *out)
{
    cairn_error err;

    if (call->scratch == NULL) call->scratch = crn_parsers_borrow(&call->qdrant->parsers);
    if (call->scratch == NULL)
        return crn_qd_fail(call, 500, "Service internal error: no memory for a parser");
    return crn_qd_ok(call, crn_json_parse(call->scratch, text, length, out, &err), &err);
}

void crn_qd_release(struct crn_qd_call *call)
{
    struct crn_parsers *parsers = &call->qdrant->parsers;

    if (call->scratch != NULL) crn_parsers_give_back(parsers, call->scratch);
    for (size_t i = 0; i < call->parser_count; i++) crn_parsers_give_back(parsers, call->parsers[i]);
    crn_arena_release(&call->memory);
}
