#include "server/collection_copy.h"

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

#define PAGE_BYTES (8u << 20) /* of vectors, about */
#define PAGE_ROWS 1000u

/* The paths are told by the statistics alone. */
static cairn_status copy_indexes(cairn_collection *from, cairn_collection *to, cairn_error *err)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root, paths, path;
    struct crn_json_iter it;
    const char *key;
    size_t length;
    char *stats = NULL;

    cairn_status status =
        parser != NULL ? cairn_collection_stats(from, &stats, err) : crn_error_no_memory(err, 0);
    if (status == CAIRN_OK) status = crn_json_parse(parser, stats, strlen(stats), &root, err);
    if (status == CAIRN_OK && crn_json_get(root, "payloadIndexes", &paths)) {
        crn_json_iter_init(&it, paths);
        while (status == CAIRN_OK && crn_json_iter_next(&it, &path, &key, &length)) {
            status = cairn_payload_index_create(to, crn_json_string(path, &length), err);
        }
    }
    cairn_free(stats);
    crn_json_parser_free(parser);
    return status;
}

static size_t rows_of_page(const cairn_collection_options *options)
{
    size_t bytes = 1024;

    for (uint32_t i = 0; i < options->space_count; i++) bytes += options->spaces[i].dim * sizeof(float);
    const size_t rows = PAGE_BYTES / bytes;
    return rows == 0 ? 1 : rows < PAGE_ROWS ? rows : PAGE_ROWS;
}

static cairn_status write_page(cairn_collection *to, const cairn_patterns *page, cairn_pattern *rows,
                               cairn_error *err)
{
    const size_t count = cairn_patterns_count(page);

    for (size_t i = 0; i < count; i++) {
        rows[i] = *cairn_patterns_at(page, i);
        rows[i].vector = NULL; /* it is among the named ones too */
        rows[i].dim = 0;
        rows[i].model = NULL;
        rows[i].version = 0;
        if (rows[i].vector_count == 0) rows[i].fields |= CAIRN_FIELD_NO_VECTOR;
    }
    return count == 0 ? CAIRN_OK : cairn_insert(to, rows, count, err);
}

static cairn_status copy_patterns(cairn_collection *from, cairn_collection *to, cairn_progress_fn progress,
                                  void *ctx, cairn_error *err)
{
    cairn_collection_options options;
    uint64_t cursor = 0, done = 0;
    cairn_status status = CAIRN_OK;

    cairn_collection_get_options(from, &options);
    const size_t most = rows_of_page(&options);
    cairn_pattern *rows = crn_mem_array(most, sizeof *rows);
    if (rows == NULL) return crn_error_no_memory(err, most * sizeof *rows);
    do {
        cairn_patterns *page;
        if (progress != NULL && !progress(ctx, "copy", done, 0)) {
            status =
                crn_error_set(err, CAIRN_CANCELLED, "stopped after %llu patterns", (unsigned long long)done);
            break;
        }
        status = cairn_scroll(from, NULL, &cursor, most, true, &page, err);
        if (status != CAIRN_OK) break;
        done += cairn_patterns_count(page);
        status = write_page(to, page, rows, err);
        cairn_patterns_free(page);
    } while (status == CAIRN_OK && cursor != 0);
    crn_mem_free(rows);
    return status;
}

cairn_status crn_collection_copy(cairn_db *from, const char *from_name, cairn_db *to, const char *to_name,
                                 cairn_progress_fn progress, void *ctx, cairn_error *err)
{
    cairn_collection *source = NULL, *target = NULL;
    cairn_collection_options options;
    bool made = false;

    cairn_status status = cairn_collection_open(from, from_name, NULL, &source, err);
    if (status == CAIRN_OK) {
        cairn_collection_get_options(source, &options);
        status = cairn_collection_create(to, to_name, &options, err);
        made = status == CAIRN_OK;
    }
    if (status == CAIRN_OK) status = cairn_collection_open(to, to_name, NULL, &target, err);
    if (status == CAIRN_OK) status = copy_indexes(source, target, err);
    if (status == CAIRN_OK) status = copy_patterns(source, target, progress, ctx, err);
    cairn_collection_close(target);
    cairn_collection_close(source);
    if (status != CAIRN_OK && made) (void)!cairn_collection_drop(to, to_name, NULL);
    return status;
}
