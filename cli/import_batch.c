/* Writing batches, and finding the bad record in one. */
#include "cli/import_batch.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

cairn_status crn_cli_batch_init(struct crn_cli_batch *batch, size_t max, cairn_error *err)
{
    *batch = (struct crn_cli_batch){.max = max};
    batch->patterns = crn_mem_array(max, sizeof *batch->patterns);
    batch->lines = crn_mem_array(max, sizeof *batch->lines);
    batch->written = crn_mem_array(max, sizeof *batch->written);
    if (batch->patterns != NULL && batch->lines != NULL && batch->written != NULL) return CAIRN_OK;
    crn_cli_batch_release(batch);
    return crn_error_no_memory(err, max * sizeof *batch->patterns);
}

void crn_cli_batch_release(struct crn_cli_batch *batch)
{
    crn_mem_free(batch->patterns);
    crn_mem_free(batch->lines);
    crn_mem_free(batch->written);
    crn_arena_release(&batch->arena);
    *batch = (struct crn_cli_batch){0};
}

void crn_cli_batch_take(struct crn_cli_batch *batch, uint64_t line)
{
    batch->lines[batch->count++] = line;
}

bool crn_cli_batch_is_full(const struct crn_cli_batch *batch)
{
    return batch->count == batch->max || batch->arena.used_bytes >= CRN_CLI_BATCH_BYTES;
}

/* The reason without the place in the batch, which says nothing to people: "pattern 0 ('a'): the reason". */
static const char *reason_of(const char *message)
{
    const char *end = strncmp(message, "pattern 0 (", 11) == 0 ? strstr(message, "')") : NULL;

    if (end == NULL) return message;
    end += 2;
    return end + strspn(end, ": ");
}

void crn_cli_sink_bad(struct crn_cli_sink *sink, uint64_t line, const cairn_error *err)
{
    sink->bad++;
    sink->stopped = sink->stop_at_first;
    crn_cli_note("%s %llu: %s (%s)", sink->unit, (unsigned long long)line, reason_of(err->message),
                 cairn_status_name(err->status));
}

/* Whether another record in its place might be stored: else there is no point in looking for it. */
static bool is_about_record(cairn_status status)
{
    switch (status) {
    case CAIRN_INVALID_ARGUMENT:
    case CAIRN_INVALID_VECTOR:
    case CAIRN_ZERO_VECTOR:
    case CAIRN_DIM_MISMATCH:
    case CAIRN_MODEL_MISMATCH:
    case CAIRN_INVALID_UTF8:
    case CAIRN_INVALID_JSON:
    case CAIRN_INVALID_ID:
    case CAIRN_UNSUPPORTED:
    case CAIRN_LIMIT:
        return true;
    default:
        return false;
    }
}

/* One id a line. Control characters cannot be told apart from the line's end, so an id with some is
 * written as a JSON string. */
static void put_ack(struct crn_buf *buf, const cairn_pattern *pattern, const cairn_written *written)
{
    const char *id = written->id[0] != '\0' ? written->id : pattern->id;
    bool plain = true;

    if (pattern->id_type == CAIRN_ID_U64) {
        crn_buf_printf(buf, "%llu\n", (unsigned long long)pattern->id_u64);
        return;
    }
    for (const char *c = id; *c != '\0'; c++) plain = plain && (unsigned char)*c >= 0x20;
    if (plain) {
        crn_buf_puts(buf, id);
    } else {
        crn_buf_json_string(buf, id, strlen(id));
    }
    crn_buf_putc(buf, '\n');
}

/* Acknowledges what is durable, at once. */
static cairn_status put_acks(const struct crn_cli_batch *batch, size_t from, size_t to, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    for (size_t i = from; i < to; i++) put_ack(&buf, &batch->patterns[i], &batch->written[i]);
    cairn_status status = buf.failed;
    if (status == CAIRN_OK) {
        fwrite(buf.data, 1, buf.len, stdout);
        if (fflush(stdout) != 0) status = CAIRN_IO;
    }
    crn_buf_release(&buf);
    return status == CAIRN_OK ? CAIRN_OK
                              : crn_error_set(err, status, "the ids cannot be written to standard output");
}

static cairn_status write_range(struct crn_cli_batch *batch, size_t from, size_t to,
                                struct crn_cli_sink *sink, cairn_error *err)
{
    if (sink->stopped || from == to) return CAIRN_OK;

    cairn_status status = cairn_write(sink->collection, CAIRN_UPSERT, batch->patterns + from, to - from,
                                      batch->written + from, err);
    if (status == CAIRN_OK) {
        sink->stored += to - from;
        return sink->acks ? put_acks(batch, from, to, err) : CAIRN_OK;
    }
    if (!is_about_record(status)) return status;
    if (to - from == 1) {
        crn_cli_sink_bad(sink, batch->lines[from], err);
        return CAIRN_OK;
    }
    size_t middle = from + (to - from) / 2;
    CRN_TRY(write_range(batch, from, middle, sink, err));
    return write_range(batch, middle, to, sink, err);
}

cairn_status crn_cli_batch_write(struct crn_cli_batch *batch, struct crn_cli_sink *sink, cairn_error *err)
{
    cairn_status status = write_range(batch, 0, batch->count, sink, err);

    batch->count = 0;
    crn_arena_clear(&batch->arena);
    return status;
}
