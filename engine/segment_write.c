/* Writing segment files and the index files over them. */
#include "engine/segment.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Names never repeat, so that a reader can tell an open segment by its name alone. */
static void file_name(const char *suffix, uint32_t space, uint64_t sequence, char out_name[64])
{
    unsigned char random[16];
    uint32_t salt;

    crn_rng_entropy(random);
    memcpy(&salt, random, sizeof salt);
    snprintf(out_name, 64, "%" PRIu32 "-%" PRIu64 "-%08" PRIx32 ".%s", space, sequence, salt, suffix);
}

struct writing {
    const struct crn_segment_context *context;
    const struct crn_segment_source *source;
    const struct crn_segment_row *rows;
    uint32_t count;
    struct crn_derived_writer *file;
};

static cairn_status write_locals(const struct writing *w, const uint32_t *kills, uint32_t kill_count,
                                 cairn_error *err)
{
    CRN_TRY(crn_derived_section(w->file, "LOCL", err));
    for (uint32_t i = 0; i < w->count; i++) {
        CRN_TRY(crn_derived_write(w->file, &w->rows[i].local, sizeof w->rows[i].local, err));
    }
    CRN_TRY(crn_derived_section(w->file, "KILL", err));
    return crn_derived_write(w->file, kills, kill_count * sizeof *kills, err);
}

static cairn_status write_ids(const struct writing *w, cairn_error *err)
{
    uint64_t offset = 0;
    const char *id;

    CRN_TRY(crn_derived_section(w->file, "IDOF", err));
    CRN_TRY(crn_derived_write(w->file, &offset, sizeof offset, err));
    for (uint32_t i = 0; i < w->count; i++) {
        CRN_TRY(w->source->id(w->source->ctx, &w->rows[i], &id, err));
        offset += crn_id_encoded_size(id, CRN_ID_BYTES_MAX);
        CRN_TRY(crn_derived_write(w->file, &offset, sizeof offset, err));
    }
    CRN_TRY(crn_derived_section(w->file, "IDBY", err));
    for (uint32_t i = 0; i < w->count; i++) {
        CRN_TRY(w->source->id(w->source->ctx, &w->rows[i], &id, err));
        CRN_TRY(crn_derived_write(w->file, id, crn_id_encoded_size(id, CRN_ID_BYTES_MAX), err));
    }
    return CAIRN_OK;
}

static cairn_status write_vectors(const struct writing *w, cairn_error *err)
{
    const size_t size = w->context->space->dim * sizeof(float);
    const float *vector;

    CRN_TRY(crn_derived_section(w->file, "VECT", err));
    for (uint32_t i = 0; i < w->count; i++) {
        CRN_TRY(w->source->vector(w->source->ctx, &w->rows[i], &vector, err));
        CRN_TRY(crn_derived_write(w->file, vector, size, err));
    }
    return CAIRN_OK;
}

/* ---- codes ---- */

struct coding {
    const struct writing *w;
    const struct crn_codec *codec;
    void *model, *state, *scratch;
    uint8_t *unit;
    float *factors; /* [factor_count][count] */
};

static cairn_status coded_row(const void *ctx, uint32_t i, const float **out_vector, cairn_error *err)
{
    const struct writing *w = ctx;

    return w->source->vector(w->source->ctx, &w->rows[i], out_vector, err);
}

static cairn_status make_state(const struct coding *coding, cairn_error *err)
{
    const struct writing *w = coding->w;
    const struct crn_codec_rows rows = {.ctx = w,
                                        .count = w->count,
                                        .dim = w->context->space->dim,
                                        .op = w->context->op,
                                        .vector = coded_row};

    if (coding->codec->train != NULL) CRN_TRY(coding->codec->train(&rows, coding->model, err));
    if (coding->codec->begin(rows.op, rows.dim, coding->model, coding->state)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INTERNAL, "no %s codes can be made of the rows", coding->codec->name);
}

static cairn_status write_units(const struct coding *coding, cairn_error *err)
{
    const struct crn_codec *codec = coding->codec;
    const struct writing *w = coding->w;
    const size_t unit_bytes = codec->unit_bytes(w->context->space->dim);
    const float *vector;

    CRN_TRY(crn_derived_section(w->file, "CODE", err));
    for (uint32_t i = 0; i < w->count; i++) {
        const uint32_t at = i % codec->unit_rows;
        float factors[CRN_CODEC_FACTORS_MAX] = {0};

        CRN_TRY(coded_row(w, i, &vector, err));
        if (at == 0) memset(coding->unit, 0, unit_bytes);
        codec->encode(coding->state, vector, at, coding->scratch, coding->unit, factors);
        for (uint32_t f = 0; f < codec->factor_count; f++)
            coding->factors[(size_t)f * w->count + i] = factors[f];
        if (at + 1 == codec->unit_rows || i + 1 == w->count)
            CRN_TRY(crn_derived_write(w->file, coding->unit, unit_bytes, err));
    }
    return CAIRN_OK;
}

static cairn_status write_coding(const struct coding *coding, cairn_error *err)
{
    const struct crn_codec *codec = coding->codec;
    const struct writing *w = coding->w;
    const size_t model_bytes = codec->model_bytes(w->context->space->dim);

    CRN_TRY(make_state(coding, err));
    CRN_TRY(write_units(coding, err));
    for (uint32_t f = 0; f < codec->factor_count; f++) {
        CRN_TRY(crn_derived_section(w->file, codec->factor_tags[f], err));
        CRN_TRY(crn_derived_write(w->file, coding->factors + (size_t)f * w->count, w->count * sizeof(float),
                                  err));
    }
    if (model_bytes == 0) return CAIRN_OK;
    CRN_TRY(crn_derived_section(w->file, "MODL", err));
    return crn_derived_write(w->file, coding->model, model_bytes, err);
}

static cairn_status write_quantized(const struct writing *w, const struct crn_codec *codec, cairn_error *err)
{
    const uint32_t dim = w->context->space->dim;
    struct coding coding = {
        .w = w,
        .codec = codec,
        .model = crn_mem_aligned(codec->model_bytes(dim)),
        .state = crn_mem_aligned(codec->state_bytes(dim)),
        .scratch = crn_mem_aligned(codec->scratch_bytes(dim)),
        .unit = crn_mem_aligned(codec->unit_bytes(dim)),
        .factors = crn_mem_array((size_t)w->count * codec->factor_count, sizeof *coding.factors),
    };
    cairn_status status;

    if (coding.model == NULL || coding.state == NULL || coding.scratch == NULL || coding.unit == NULL ||
        coding.factors == NULL) {
        status = crn_error_no_memory(err, codec->state_bytes(dim) +
                                              (size_t)w->count * codec->factor_count * sizeof(float));
    } else {
        status = write_coding(&coding, err);
    }
    crn_mem_free(coding.model);
    crn_mem_free(coding.state);
    crn_mem_free(coding.scratch);
    crn_mem_free(coding.unit);
    crn_mem_free(coding.factors);
    return status;
}

static cairn_status write_sections(const struct writing *w, const uint32_t *kills, uint32_t kill_count,
                                   cairn_error *err)
{
    const struct crn_codec *codec = crn_codec_of(w->context->space->quantization);
    const uint32_t head[4] = {w->count, kill_count, w->context->space->dim, codec == NULL ? 0 : codec->mark};

    CRN_TRY(crn_derived_section(w->file, "HEAD", err));
    CRN_TRY(crn_derived_write(w->file, head, sizeof head, err));
    CRN_TRY(write_locals(w, kills, kill_count, err));
    CRN_TRY(write_ids(w, err));
    CRN_TRY(write_vectors(w, err));
    return codec != NULL ? write_quantized(w, codec, err) : CAIRN_OK;
}

static void make_header(const struct crn_segment_context *context, const char *kind, uint64_t sequence,
                        struct crn_derived_header *out_header)
{
    memset(out_header, 0, sizeof *out_header);
    memcpy(out_header->kind, kind, strlen(kind) + 1);
    memcpy(out_header->uuid, context->uuid, sizeof out_header->uuid);
    out_header->space = context->space->id;
    out_header->sequence = sequence;
}

cairn_status crn_segment_write(const struct crn_segment_context *context,
                               const struct crn_segment_source *source, const struct crn_segment_row *rows,
                               uint32_t count, const uint32_t *kills, uint32_t kill_count, uint64_t sequence,
                               struct crn_segment_entry *out_entry, cairn_error *err)
{
    struct writing w = {.context = context, .source = source, .rows = rows, .count = count};
    struct crn_derived_header header;

    memset(out_entry, 0, sizeof *out_entry);
    file_name("segment", context->space->id, sequence, out_entry->file);
    out_entry->sequence = sequence;
    out_entry->rows = count;
    make_header(context, "segment", sequence, &header);
    CRN_TRY(crn_derived_create(context->folder, out_entry->file, &header, &w.file, err));
    cairn_status status = write_sections(&w, kills, kill_count, err);
    if (status != CAIRN_OK) {
        crn_derived_abort(w.file);
        return status;
    }
    return crn_derived_commit(w.file, err);
}

cairn_status crn_segment_write_index(const struct crn_segment_context *context,
                                     const struct crn_segment *segment, const struct crn_index_ops *ops,
                                     const struct crn_segment_index_source *source, char out_file[64],
                                     cairn_error *err)
{
    const struct crn_index_rows rows = {
        .vectors = segment->vectors, .count = segment->count, .dim = segment->dim, .op = context->op};
    struct crn_derived_header header;
    struct crn_derived_writer *file;

    CRN_TRY(crn_derived_verify(segment->file, segment->vectors,
                               (size_t)segment->count * segment->dim * sizeof(float), err));
    file_name(ops->name, context->space->id, segment->entry.sequence, out_file);
    make_header(context, ops->name, segment->entry.sequence, &header);
    CRN_TRY(crn_derived_create(context->folder, out_file, &header, &file, err));
    cairn_status status = source->fill(source->ctx, &rows, file, err);
    if (status != CAIRN_OK) {
        crn_derived_abort(file);
        return status;
    }
    return crn_derived_commit(file, err);
}

struct building {
    const struct crn_index_ops *ops;
    const char *spec;
    unsigned threads;
    bool (*cancelled)(void *ctx);
    void *ctx;
};

static cairn_status build_sections(const void *ctx, const struct crn_index_rows *rows,
                                   struct crn_derived_writer *writer, cairn_error *err)
{
    const struct building *building = ctx;
    return building->ops->build(building->spec, rows, building->threads, building->cancelled, building->ctx,
                                writer, err);
}

cairn_status crn_segment_build_index(const struct crn_segment_context *context,
                                     const struct crn_segment *segment, const struct crn_index_ops *ops,
                                     const char *spec, unsigned threads, bool (*cancelled)(void *ctx),
                                     void *ctx, char out_file[64], cairn_error *err)
{
    const struct building building = {
        .ops = ops, .spec = spec, .threads = threads, .cancelled = cancelled, .ctx = ctx};
    const struct crn_segment_index_source source = {.ctx = &building, .fill = build_sections};

    return crn_segment_write_index(context, segment, ops, &source, out_file, err);
}
