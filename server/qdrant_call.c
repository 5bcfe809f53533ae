/* One call: its memory, its failure, and what the engine's failures mean in the dialect. */
#include "server/access.h"
#include "server/qdrant_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES (64u << 10)

struct crn_qd_block {
    struct crn_qd_block *next;
    size_t used, size;
    _Alignas(64) char bytes[];
};

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
        /* Another process has dropped it: what is open of it leads nowhere, and the next request looks anew. */
        for (size_t i = 0; i < call->lease_count; i++) crn_qd_forget(call->qdrant, call->leases[i]->name);
        return crn_qd_fail(call, 404, "Not found: Collection `%s` doesn't exist!", call->lease_count > 0 ? call->leases[0]->name : "");
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
    return crn_qd_fail(call, 403, "Forbidden: Access to collection %.*s is required", (int)(length > 300 ? 300 : length), name);
}

bool crn_qd_go_on(struct crn_qd_call *call)
{
    const struct crn_request *request = call->request;

    if (call->out->failed != CAIRN_OK) return crn_qd_fail(call, 500, "Service internal error: the answer is too long or memory ran out");
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
    struct crn_qd_block *block = call->blocks;
    size_t size;

    if (!crn_mem_mul(count, size_bytes, &size) || size > SIZE_MAX / 2) {
        crn_qd_fail(call, 500, "Service internal error: no memory for %zu things of %zu bytes", count, size_bytes);
        return NULL;
    }
    size = (size + 63) & ~(size_t)63;
    if (block == NULL || block->size - block->used < size) {
        const size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = crn_mem_aligned(sizeof *block + room);
        if (block == NULL) {
            crn_qd_fail(call, 500, "Service internal error: no memory for %zu bytes", room);
            return NULL;
        }
        block->size = room;
        block->used = 0;
        block->next = call->blocks;
        call->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += size;
    memset(memory, 0, size);
    return memory;
}

char *crn_qd_take_text(struct crn_qd_call *call, const char *text, size_t length)
{
    char *copy = crn_qd_take(call, length + 1, 1);

    if (copy != NULL) memcpy(copy, text, length);
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

/* ---- parsers: made once, used again ---- */

static struct crn_json_parser *borrow_parser(struct crn_qdrant *qdrant)
{
    struct crn_json_parser *parser = NULL;

    pthread_mutex_lock(&qdrant->mutex);
    if (qdrant->parsers.count > 0) parser = qdrant->parsers.free[--qdrant->parsers.count];
    pthread_mutex_unlock(&qdrant->mutex);
    return parser != NULL ? parser : crn_json_parser_create();
}

static void return_parser(struct crn_qdrant *qdrant, struct crn_json_parser *parser)
{
    pthread_mutex_lock(&qdrant->mutex);
    if (qdrant->parsers.count < sizeof qdrant->parsers.free / sizeof qdrant->parsers.free[0]) {
        qdrant->parsers.free[qdrant->parsers.count++] = parser;
        parser = NULL;
    }
    pthread_mutex_unlock(&qdrant->mutex);
    crn_json_parser_free(parser);
}

bool crn_qd_parse(struct crn_qd_call *call, const char *text, size_t length, struct crn_json *out)
{
    cairn_error err;

    if (call->parser_count == QD_CALL_PARSERS) return crn_qd_fail(call, 500, "Service internal error: too many texts parsed at once");
    struct crn_json_parser *parser = borrow_parser(call->qdrant);
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

    if (call->scratch == NULL) call->scratch = borrow_parser(call->qdrant);
    if (call->scratch == NULL) return crn_qd_fail(call, 500, "Service internal error: no memory for a parser");
    return crn_qd_ok(call, crn_json_parse(call->scratch, text, length, out, &err), &err);
}

void crn_qd_release(struct crn_qd_call *call)
{
    struct crn_qdrant *qdrant = call->qdrant;

    if (call->scratch != NULL) return_parser(qdrant, call->scratch);
    for (size_t i = 0; i < call->parser_count; i++) return_parser(qdrant, call->parsers[i]);
    while (call->blocks != NULL) {
        struct crn_qd_block *block = call->blocks;
        call->blocks = block->next;
        crn_mem_free(block);
    }
}
