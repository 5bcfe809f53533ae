/* Opening segments; see segment_write.c for making them. */
#include "engine/segment.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/id.h"

#include <string.h>

#define OPEN_COST \
    6u /* scanned bytes that cost about as much as reading, hashing and checking one byte of an index */
#define OPEN_COST_PATIENT 60u /* where maintenance opens indexes, unless it is kept busy for long */

static cairn_status damaged(const struct crn_segment *segment, const char *what, cairn_error *err)
{
    return crn_error_set(err, CAIRN_CORRUPT, "segment %s: %s", segment->entry.file, what);
}

/* A section of exactly `size` bytes; NULL is left when size is 0. */
static cairn_status section(const struct crn_segment *segment, const char tag[4], size_t size,
                            const void **out_data, cairn_error *err)
{
    size_t found = 0;
    const void *data = crn_derived_get(segment->file, tag, &found);

    if (found != size) {
        return crn_error_set(err, CAIRN_CORRUPT, "segment %s: section %.4s has %zu bytes, not %zu",
                             segment->entry.file, tag, found, size);
    }
    *out_data = size == 0 ? NULL : data;
    return CAIRN_OK;
}

static cairn_status verified_section(struct crn_segment *segment, const char tag[4], size_t size,
                                     const void **out_data, cairn_error *err)
{
    CRN_TRY(section(segment, tag, size, out_data, err));
    return size == 0 ? CAIRN_OK : crn_derived_verify(segment->file, *out_data, size, err);
}

static bool ascending(const uint32_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (values[i - 1] >= values[i]) return false;
    }
    return count == 0 || values[0] > 0;
}

static cairn_status read_head(struct crn_segment *segment, cairn_error *err)
{
    const void *data;
    uint32_t head[4];

    CRN_TRY(verified_section(segment, "HEAD", sizeof head, &data, err));
    memcpy(head, data, sizeof head);
    segment->count = head[0];
    segment->kill_count = head[1];
    segment->dim = head[2];
    segment->mark = head[3];
    return CAIRN_OK;
}

static cairn_status read_ids(struct crn_segment *segment, cairn_error *err)
{
    const void *data;

    CRN_TRY(verified_section(segment, "IDOF", ((size_t)segment->count + 1) * sizeof(uint64_t), &data, err));
    segment->id_offsets = data;
    segment->id_bytes = crn_derived_get(segment->file, "IDBY", &segment->id_size);
    for (uint32_t i = 0; i < segment->count; i++) {
        if (segment->id_offsets[i] > segment->id_offsets[i + 1])
            return damaged(segment, "id offsets go back", err);
    }
    if (segment->id_offsets[0] != 0 || segment->id_offsets[segment->count] != segment->id_size) {
        return damaged(segment, "id offsets and ids disagree", err);
    }
    return CAIRN_OK;
}

static cairn_status read_vectors(struct crn_segment *segment, cairn_error *err)
{
    const size_t count = segment->count;
    const void *data = NULL;

    CRN_TRY(section(segment, "VECT", count * segment->dim * sizeof(float), &data, err));
    segment->vectors = data;
    return CAIRN_OK;
}

static cairn_status begin_codec(struct crn_segment *segment, const struct crn_segment_context *context,
                                const void *model, cairn_error *err)
{
    const struct crn_codec *codec = segment->codec;
    const size_t size = codec->state_bytes(segment->dim);

    segment->codec_state = crn_mem_aligned(size);
    if (segment->codec_state == NULL) return crn_error_no_memory(err, size);
    if (codec->begin(context->op, segment->dim, model, segment->codec_state)) return CAIRN_OK;
    return damaged(segment, "its quantization's model makes no sense", err);
}

static cairn_status read_codes(struct crn_segment *segment, const struct crn_segment_context *context,
                               cairn_error *err)
{
    const struct crn_codec *codec = crn_codec_of(context->space->quantization);
    const uint32_t mark = codec == NULL ? 0 : codec->mark;
    const void *data, *model;

    /* Segments without quantization and with scalar codes are told apart by their sections alone: they are older than the mark. */
    if (segment->mark > 1 && segment->mark != mark)
        return damaged(segment, "its quantization is not the space's", err);
    if (codec == NULL) return CAIRN_OK;
    CRN_TRY(section(segment, "CODE", crn_codec_bytes(codec, segment->dim, segment->count), &data, err));
    segment->codes = data;
    for (uint32_t i = 0; i < codec->factor_count; i++) {
        CRN_TRY(verified_section(segment, codec->factor_tags[i], segment->count * sizeof(float), &data, err));
        segment->factors[i] = data;
    }
    CRN_TRY(verified_section(segment, "MODL", codec->model_bytes(segment->dim), &model, err));
    segment->codec = codec;
    return begin_codec(segment, context, model, err);
}

static cairn_status read_sections(struct crn_segment *segment, const struct crn_segment_context *context,
                                  cairn_error *err)
{
    const void *data;

    CRN_TRY(read_head(segment, err));
    if (segment->dim != context->space->dim) return damaged(segment, "its dim is not the space's", err);
    if (segment->count != segment->entry.rows)
        return damaged(segment, "its row count is not the catalog's", err);
    CRN_TRY(verified_section(segment, "LOCL", (size_t)segment->count * sizeof(uint32_t), &data, err));
    segment->locals = data;
    CRN_TRY(verified_section(segment, "KILL", (size_t)segment->kill_count * sizeof(uint32_t), &data, err));
    segment->kills = data;
    if (!ascending(segment->locals, segment->count) || !ascending(segment->kills, segment->kill_count)) {
        return damaged(segment, "its rows are not in order", err);
    }
    CRN_TRY(read_ids(segment, err));
    CRN_TRY(read_vectors(segment, err));
    return read_codes(segment, context, err);
}

static void attach_index(struct crn_segment *segment, const struct crn_segment_context *context)
{
    struct crn_derived_header expect = {.space = context->space->id};
    cairn_error err;

    segment->op = context->op;
    segment->log = context->log;
    segment->copy = context->copy;
    segment->open_cost = context->patient ? OPEN_COST_PATIENT : OPEN_COST;
    if (segment->entry.index_file[0] == '\0') return;
    /* The file's kind names its backend, so that an "auto" space can change its default and still open old files. */
    const struct crn_index_ops *ops;
    memcpy(expect.uuid, context->uuid, sizeof expect.uuid);
    for (size_t i = 0; (ops = crn_index_backend_at(i)) != NULL; i++) {
        memset(expect.kind, 0, sizeof expect.kind); /* of the name before it, which may be longer */
        memcpy(expect.kind, ops->name, strlen(ops->name));
        if (crn_derived_open(context->folder, segment->entry.index_file, &expect, &segment->index_file,
                             &err) == CAIRN_OK) {
            segment->index_ops = ops;
            return;
        }
    }
    crn_log(context->log, CAIRN_LOG_WARN, "index %s cannot be used and will be built anew: %s",
            segment->entry.index_file, err.message);
    atomic_store_explicit(&segment->index_failed, true, memory_order_relaxed);
}

cairn_status crn_segment_open(const struct crn_segment_context *context,
                              const struct crn_segment_entry *entry, struct crn_segment **out_segment,
                              cairn_error *err)
{
    struct crn_derived_header expect = {.kind = "segment", .space = context->space->id};
    struct crn_segment *segment = crn_mem_calloc(1, sizeof *segment);

    if (segment == NULL) return crn_error_no_memory(err, sizeof *segment);
    atomic_init(&segment->references, 1);
    pthread_mutex_init(&segment->index_mutex, NULL);
    segment->entry = *entry;
    memcpy(expect.uuid, context->uuid, sizeof expect.uuid);
    cairn_status status = crn_derived_open(context->folder, entry->file, &expect, &segment->file, err);
    if (status == CAIRN_OK) status = read_sections(segment, context, err);
    if (status != CAIRN_OK) {
        crn_segment_release(segment);
        return status;
    }
    attach_index(segment, context);
    *out_segment = segment;
    return CAIRN_OK;
}

cairn_status crn_segment_reopen(const struct crn_segment_context *context, struct crn_segment *lender,
                                const struct crn_segment_entry *entry, struct crn_segment **out_segment,
                                cairn_error *err)
{
    struct crn_segment *segment = crn_mem_calloc(1, sizeof *segment);

    if (segment == NULL) return crn_error_no_memory(err, sizeof *segment);
    atomic_init(&segment->references, 1);
    pthread_mutex_init(&segment->index_mutex, NULL);
    segment->entry = *entry;
    segment->lender = lender->lender == NULL ? lender : lender->lender;
    crn_segment_retain(segment->lender);
    segment->file = lender->file;
    segment->count = lender->count;
    segment->dim = lender->dim;
    segment->kill_count = lender->kill_count;
    segment->locals = lender->locals;
    segment->kills = lender->kills;
    segment->id_offsets = lender->id_offsets;
    segment->id_bytes = lender->id_bytes;
    segment->id_size = lender->id_size;
    segment->vectors = lender->vectors;
    segment->mark = lender->mark;
    segment->codec = lender->codec;
    segment->codes = lender->codes;
    memcpy(segment->factors, lender->factors, sizeof segment->factors);
    segment->codec_state = lender->codec_state;
    attach_index(segment, context);
    *out_segment = segment;
    return CAIRN_OK;
}

void crn_segment_retain(struct crn_segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
}

void crn_segment_release(struct crn_segment *segment)
{
    if (segment == NULL) return;
    /* Acquire and release: the last holder must see what the others did. */
    if (atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) != 1) return;
    struct crn_index *index = atomic_load_explicit(&segment->index, memory_order_relaxed);
    if (index != NULL) segment->index_ops->close(index);
    crn_segment_card_release(segment);
    crn_derived_close(segment->index_file);
    if (segment->lender == NULL) {
        crn_derived_close(segment->file);
        crn_mem_free(segment->codec_state);
    }
    crn_segment_release(segment->lender);
    pthread_mutex_destroy(&segment->index_mutex);
    crn_mem_free(segment);
}

int64_t crn_segment_find(const struct crn_segment *segment, uint32_t local)
{
    const uint32_t *locals = segment->locals;
    size_t low = 0, high = segment->count;

    if (high == 0 || local < locals[0] || local > locals[high - 1]) return -1;
    /* Most segments are gapless runs, where the position is a subtraction away. */
    const size_t guess = local - locals[0];
    if (guess < high && locals[guess] == local) return (int64_t)guess;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (locals[middle] < local) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < segment->count && locals[low] == local ? (int64_t)low : -1;
}

cairn_status crn_segment_id(const struct crn_segment *segment, uint32_t position, const char **out_id,
                            cairn_error *err)
{
    const uint64_t begin = segment->id_offsets[position];
    const size_t size = (size_t)(segment->id_offsets[position + 1] - begin);
    const char *id = segment->id_bytes + begin;

    if (size == 0) return damaged(segment, "an id is empty", err);
    CRN_TRY(crn_derived_verify(segment->file, id, size, err));
    if (crn_id_encoded_size(id, size) != size) return damaged(segment, "an id is malformed", err);
    *out_id = id;
    return CAIRN_OK;
}

static void open_index(struct crn_segment *segment)
{
    const struct crn_index_rows rows = {.vectors = segment->vectors,
                                        .count = segment->count,
                                        .dim = segment->dim,
                                        .op = segment->op,
                                        .copy = segment->copy,
                                        .log = segment->log,
                                        .file = segment->file};
    struct crn_index *index = NULL;
    cairn_status status = CAIRN_OK;
    cairn_error err;

    if (!segment->index_ops->opens_at_once) {
        status = crn_derived_verify(segment->file, segment->vectors,
                                    (size_t)segment->count * segment->dim * sizeof(float), &err);
    }
    if (status == CAIRN_OK) status = segment->index_ops->open("", &rows, segment->index_file, &index, &err);
    if (status != CAIRN_OK) {
        crn_log(segment->log, CAIRN_LOG_WARN, "index %s cannot be opened and will be built anew: %s",
                segment->entry.index_file, err.message);
        /* Scans go on meanwhile. */
        atomic_store_explicit(&segment->index_failed, true, memory_order_relaxed);
        return;
    }
    /* Release: readers that see the pointer see the index. */
    atomic_store_explicit(&segment->index, index, memory_order_release);
}

/* index_mutex held. */
static void open_index_once(struct crn_segment *segment)
{
    if (atomic_load_explicit(&segment->index, memory_order_relaxed) != NULL) return;
    if (!atomic_load_explicit(&segment->index_failed, memory_order_relaxed)) open_index(segment);
}

struct crn_index *crn_segment_index(struct crn_segment *segment, uint64_t about_to_scan)
{
    struct crn_index *index = atomic_load_explicit(&segment->index, memory_order_acquire);

    if (segment->index_ops == NULL || atomic_load_explicit(&segment->index_failed, memory_order_relaxed))
        return NULL;
    if (index != NULL) return index;
    const uint64_t scanned =
        atomic_fetch_add_explicit(&segment->scanned_bytes, about_to_scan, memory_order_relaxed) +
        about_to_scan;
    const bool costly = !segment->index_ops->opens_at_once || segment->copy;
    if (costly && scanned < segment->open_cost * crn_derived_size(segment->index_file)) return NULL;
    /* One thread opens; the others go on scanning meanwhile. */
    if (pthread_mutex_trylock(&segment->index_mutex) != 0) return NULL;
    open_index_once(segment);
    pthread_mutex_unlock(&segment->index_mutex);
    return atomic_load_explicit(&segment->index, memory_order_acquire);
}

void crn_segment_distrust_index(struct crn_segment *segment, const char *why)
{
    if (atomic_exchange_explicit(&segment->index_failed, true, memory_order_relaxed)) return;
    crn_log(segment->log, CAIRN_LOG_WARN, "index %s cannot be used and will be built anew: %s",
            segment->entry.index_file, why);
}

void crn_segment_open_index(struct crn_segment *segment)
{
    if (segment->index_ops == NULL) return;
    pthread_mutex_lock(&segment->index_mutex);
    open_index_once(segment);
    pthread_mutex_unlock(&segment->index_mutex);
}

cairn_status crn_segment_warm(struct crn_segment *segment, cairn_error *err)
{
    const size_t rows = segment->count;

    if (rows == 0) return CAIRN_OK;
    if (segment->codec != NULL) {
        CRN_TRY(crn_derived_verify(segment->file, segment->codes,
                                   crn_codec_bytes(segment->codec, segment->dim, rows), err));
    }
    CRN_TRY(crn_derived_verify(segment->file, segment->vectors, rows * segment->dim * sizeof(float), err));
    return crn_derived_verify(segment->file, segment->id_bytes, segment->id_size, err);
}
