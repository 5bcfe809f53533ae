/* Statistics as JSON: docs/STATS.md lists the members. */
#include "engine/card.h"
#include "engine/codec.h"
#include "engine/collection.h"
#include "engine/faiss_gpu.h"

#include "base/buf.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

static cairn_status take_text(struct crn_buf *text, char **out_json, cairn_error *err)
{
    const cairn_status status = text->failed;

    *out_json = status == CAIRN_OK ? crn_buf_take(text) : NULL;
    crn_buf_release(text);
    return *out_json != NULL ? CAIRN_OK
                             : crn_error_set(err, CAIRN_NO_MEMORY, "the statistics do not fit into memory");
}

static const char *metric_name(cairn_metric metric)
{
    static const char *const names[] = {"cosine", "cosine", "l2", "dot", "manhattan"};
    return names[metric];
}

static void add_key(struct crn_buf *text, const char *key, const char *value)
{
    crn_buf_printf(text, "\"%s\":", key);
    if (value == NULL) {
        crn_buf_puts(text, "null");
    } else {
        crn_buf_json_string(text, value, strlen(value));
    }
}

struct space_totals {
    uint64_t rows, dead, tail, tail_indexed, bytes, indexed, index_memory;
    uint32_t segments, open_indexes;
    uint64_t measured_rows; /* of the largest segment whose opened index knows its recalls */
    struct crn_index_recalls measured;
};

/* Of several indexes the largest one's recalls are told: most of a search's work is there. */
static void note_recalls(const struct crn_segment *segment, const struct crn_index *index,
                         struct space_totals *totals)
{
    struct crn_index_recalls recalls = {0};

    if (segment->index_ops->recalls == NULL || segment->count <= totals->measured_rows) return;
    segment->index_ops->recalls(index, &recalls);
    if (recalls.count == 0) return;
    totals->measured = recalls;
    totals->measured_rows = segment->count;
}

static void add_recalls(struct crn_buf *text, const struct space_totals *totals)
{
    const struct crn_index_recalls *measured = &totals->measured;

    if (measured->count == 0) {
        crn_buf_puts(text, ",\"calibration\":null");
        return;
    }
    crn_buf_printf(text, ",\"calibration\":{\"rows\":%" PRIu64 ",\"efforts\":[", totals->measured_rows);
    for (uint32_t i = 0; i < measured->count; i++)
        crn_buf_printf(text, i > 0 ? ",%" PRIu32 : "%" PRIu32, measured->efforts[i]);
    crn_buf_puts(text, "],\"recalls\":[");
    for (uint32_t i = 0; i < measured->count; i++) {
        if (i > 0) crn_buf_putc(text, ',');
        crn_buf_json_float(text, measured->recalls[i]);
    }
    crn_buf_puts(text, "]}");
}

static void count_view(const struct crn_view *view, struct space_totals *totals)
{
    totals->rows = crn_view_rows(view);
    totals->tail = crn_view_tail_rows(view);
    for (uint32_t t = 0; t < view->tail_count; t++) {
        const struct crn_view_tail *tail = &view->tails[t];
        const uint32_t inserted = crn_tail_graph_inserted(tail->tail),
                       end = inserted < tail->count ? inserted : tail->count;
        totals->tail_indexed += end;
        totals->index_memory += crn_tail_graph_bytes(tail->tail);
    }
    totals->segments = view->part_count;
    for (uint32_t i = 0; i < view->part_count; i++) {
        struct crn_segment *segment = view->parts[i].segment;
        totals->dead += segment->count - view->parts[i].live_count;
        totals->bytes += crn_derived_size(segment->file);
        if (segment->index_ops == NULL) continue;
        totals->indexed += segment->count;
        totals->bytes += crn_derived_size(segment->index_file);
        const struct crn_index *index = atomic_load_explicit(&segment->index, memory_order_acquire);
        if (index == NULL) continue;
        totals->open_indexes++;
        totals->index_memory += segment->index_ops->memory_bytes(index);
        note_recalls(segment, index, totals);
    }
}

static cairn_status add_space(struct crn_buf *text, struct crn_live_space *live,
                              const struct crn_space *space, cairn_error *err)
{
    static const char *const kinds[] = {"dense", "sparse", "multi"};
    struct space_totals totals = {0};
    struct crn_view *view;

    crn_buf_putc(text, '{');
    add_key(text, "name", space->name);
    crn_buf_printf(text, ",\"kind\":\"%s\",\"dim\":%" PRIu32 ",\"metric\":\"%s\",\"quantization\":\"%s\",",
                   kinds[space->kind], space->dim, metric_name(space->metric),
                   crn_quantization_name(space->quantization));
    add_key(text, "index", space->index);
    crn_buf_putc(text, ',');
    add_key(text, "model", space->model);
    if (space->kind == CAIRN_SPACE_DENSE) {
        CRN_TRY(crn_live_space_view(live, &view, err));
        count_view(view, &totals);
        crn_view_release(view);
        const struct crn_codec *codec = crn_codec_of(space->quantization);
        const uint64_t scanned =
            codec != NULL ? crn_codec_row_bytes(codec, space->dim) : space->dim * sizeof(float);
        crn_buf_printf(text,
                       ",\"rows\":%" PRIu64 ",\"tail_rows\":%" PRIu64 ",\"tail_indexed_rows\":%" PRIu64
                       ",\"segments\":%" PRIu32 ",\"deleted_rows\":%" PRIu64 ",\"indexed_rows\":%" PRIu64
                       ",\"file_bytes\":%" PRIu64 ",\"open_indexes\":%" PRIu32
                       ",\"index_memory_bytes\":%" PRIu64 ",\"scanned_bytes_per_vector\":%" PRIu64
                       ",\"segments_trusted\":%s",
                       totals.rows, totals.tail, totals.tail_indexed, totals.segments, totals.dead,
                       totals.indexed, totals.bytes, totals.open_indexes, totals.index_memory, scanned,
                       live->distrust_segments ? "false" : "true");
        add_recalls(text, &totals);
    }
    crn_buf_putc(text, '}');
    return CAIRN_OK;
}

static cairn_status add_collection(struct crn_buf *text, cairn_collection *collection, cairn_error *err)
{
    uint64_t rows = 0, trajectories = 0;
    double confidence = 0;
    struct crn_buf domains;
    struct crn_reader *reader;
    const struct crn_catalog *catalog;

    crn_buf_init(&domains, SIZE_MAX / 2);
    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    cairn_status status =
        crn_read_collection_stats(reader, collection->id, &rows, &trajectories, &confidence, &domains, err);
    if (status == CAIRN_OK) {
        crn_buf_putc(text, '{');
        add_key(text, "name", catalog->name);
        crn_buf_printf(
            text, ",\"totalPatterns\":%" PRIu64 ",\"totalTrajectories\":%" PRIu64 ",\"avgConfidence\":", rows,
            trajectories);
        crn_buf_json_double(text, confidence);
        crn_buf_puts(text, ",\"domains\":");
        crn_buf_append(text, domains.data, domains.len);
        crn_buf_printf(text, ",\"lexical\":%s,\"metadata\":%s,\"payloadIndexes\":[",
                       catalog->lexical ? "true" : "false",
                       catalog->metadata == NULL ? "null" : catalog->metadata);
        for (uint32_t i = 0; i < catalog->index_count; i++) {
            if (i != 0) crn_buf_putc(text, ',');
            crn_buf_json_string(text, catalog->indexes[i].path, strlen(catalog->indexes[i].path));
        }
        crn_buf_puts(text, "],\"spaces\":[");
    }
    crn_store_read_end(reader);
    if (status == CAIRN_OK) {
        const struct crn_space_list *now = crn_collection_now(collection);
        for (uint32_t i = 0; status == CAIRN_OK && i < now->count; i++) {
            if (i != 0) crn_buf_putc(text, ',');
            status = add_space(text, now->live[i], &now->spaces[i], err);
        }
        crn_buf_puts(text, "]}");
    }
    crn_buf_release(&domains);
    return status;
}

cairn_status cairn_collection_stats(cairn_collection *collection, char **out_json, cairn_error *err)
{
    struct crn_buf text;

    if (collection == NULL || out_json == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_json = NULL;
    crn_buf_init(&text, SIZE_MAX / 2);
    const cairn_status status = add_collection(&text, collection, err);
    if (status != CAIRN_OK) {
        crn_buf_release(&text);
        return status;
    }
    return take_text(&text, out_json, err);
}

cairn_status cairn_totals(cairn_db *db, uint64_t *out_collections, uint64_t *out_patterns, cairn_error *err)
{
    struct crn_reader *reader;

    if (db == NULL || out_collections == NULL || out_patterns == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    CRN_TRY(crn_store_read_begin(db->store, &reader, err));
    const cairn_status status = crn_read_totals(reader, out_collections, out_patterns, err);
    crn_store_read_end(reader);
    return status;
}

/* Which GPU this process searches with, or why none. */
static void add_gpu(struct crn_buf *text)
{
    struct crn_card_state state;

    crn_card_get_state(&state);
    crn_buf_puts(text, "\"gpu\":{");
    add_key(text, "driver", state.driver);
    crn_buf_printf(text, ",\"devices\":%u,", state.devices);
    add_key(text, "device", state.info.name[0] != '\0' ? state.info.name : NULL);
    crn_buf_putc(text, ',');
    add_key(text, "why", state.why_none[0] != '\0' ? state.why_none : NULL);
    crn_buf_printf(text,
                   ",\"indexes\":%" PRIu32 ",\"deviceBytes\":%" PRIu64 ",\"searches\":%" PRIu64
                   ",\"fallbacks\":%" PRIu64 ",\"faissGpu\":%s},",
                   state.indexes, state.device_bytes, state.searches, state.fallbacks,
                   crn_faiss_gpu_built() ? "true" : "false");
}

static cairn_status add_collections(struct crn_buf *text, cairn_db *db, cairn_error *err)
{
    char **names;
    size_t count;
    bool first = true;

    CRN_TRY(cairn_collection_list(db, &names, &count, err));
    cairn_status status = CAIRN_OK;
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        cairn_collection *collection;
        status = cairn_collection_open(db, names[i], NULL, &collection, err);
        if (status == CAIRN_NO_COLLECTION) {
            status = CAIRN_OK; /* dropped since it was listed */
            continue;
        }
        if (status != CAIRN_OK) break;
        if (!first) crn_buf_putc(text, ',');
        first = false;
        status = add_collection(text, collection, err);
        cairn_collection_close(collection);
    }
    cairn_free(names);
    return status;
}

cairn_status cairn_stats(cairn_db *db, char **out_json, cairn_error *err)
{
    struct crn_store_stats stats;
    struct crn_buf text;

    if (db == NULL || out_json == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_json = NULL;
    CRN_TRY(crn_store_get_stats(db->store, &stats, err));
    crn_buf_init(&text, SIZE_MAX / 2);
    crn_buf_putc(&text, '{');
    add_key(&text, "path", crn_store_path(db->store));
    crn_buf_printf(&text,
                   ",\"version\":\"%s\",\"cpu\":\"%s\",\"dbSize\":%" PRIu64 ",\"walBytes\":%" PRIu64
                   ",\"indexBytes\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"log\":{\"entries\":%" PRIu64
                   ",\"first\":%" PRIu64 ",\"last\":%" PRIu64 "},\"commits\":%" PRIu64 ",\"groups\":%" PRIu64
                   ",\"checkpoints\":%" PRIu64 ",",
                   cairn_version(), crn_cpu_level_name(crn_cpu_level()), stats.file_bytes, stats.wal_bytes,
                   stats.folder_bytes, crn_store_sequence(db->store), stats.log_entries, stats.log_first,
                   stats.log_last, stats.commits, stats.groups, stats.checkpoints);
    add_gpu(&text);
    crn_buf_puts(&text, "\"collections\":[");
    const cairn_status status = add_collections(&text, db, err);
    crn_buf_puts(&text, "]}");
    if (status != CAIRN_OK) {
        crn_buf_release(&text);
        return status;
    }
    return take_text(&text, out_json, err);
}
