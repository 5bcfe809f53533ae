/* The database of a run: made, filled, opened anew, weighed, removed. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "cli/bench_layout.h"
#include "cli/exit.h"
#include "cli/signals.h"

#include <errno.h>
#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 1000
#define WARM_SEARCHES 1000 /* at most, until the index is in use */
#define COLLECTION "bench"

static cairn_status open_db(struct crn_cli_bench *b, bool background, cairn_error *err)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/bench.cairn", b->home);
    CRN_TRY(cairn_open(
        path,
        CAIRN_OPTIONS(cairn_open_options, .no_background = !background,
                      .index_memory = b->settings->copied ? CAIRN_INDEX_COPIED : CAIRN_INDEX_MAPPED),
        &b->store.db, err));
    cairn_collection_options options = b->settings->collection;
    options.dim = b->data.rows.columns;
    options.metric = b->data.metric;
    return cairn_collection_open(b->store.db, COLLECTION, &options, &b->store.collection, err);
}

cairn_status crn_cli_bench_create(struct crn_cli_bench *b, cairn_error *err)
{
    char path[4096];
    size_t results = (size_t)b->data.queries.rows * b->settings->k;

    b->found = crn_mem_array(results, sizeof *b->found);
    b->found_count = crn_mem_array((size_t)b->data.queries.rows, sizeof *b->found_count);
    if (b->found == NULL || b->found_count == NULL)
        return crn_error_no_memory(err, results * sizeof *b->found);

    if (b->settings->reuse != NULL) {
        b->home = crn_mem_strdup(b->settings->reuse);
        return b->home == NULL ? crn_error_no_memory(err, strlen(b->settings->reuse))
                               : open_db(b, false, err);
    }
    snprintf(path, sizeof path, "%s/cairn-bench-XXXXXX", b->settings->folder);
    if (mkdtemp(path) == NULL) {
        return crn_error_errno(err, errno, "cannot make a folder in", b->settings->folder);
    }
    b->home = crn_mem_strdup(path);
    if (b->home == NULL) {
        rmdir(path);
        return crn_error_no_memory(err, strlen(path));
    }
    return open_db(b, false, err);
}

cairn_status crn_cli_bench_insert(struct crn_cli_bench *b, const uint32_t *ids, uint64_t first,
                                  uint64_t count, const char *phase, cairn_error *err)
{
    cairn_pattern *patterns = crn_mem_array(BATCH, sizeof *patterns);
    char(*payloads)[64] = crn_mem_array(BATCH, sizeof *payloads);
    cairn_status status = CAIRN_OK;

    if (patterns == NULL || payloads == NULL) status = crn_error_no_memory(err, BATCH * sizeof *patterns);
    for (uint64_t done = 0; status == CAIRN_OK && done < count;) {
        size_t batch = count - done < BATCH ? (size_t)(count - done) : BATCH;
        for (size_t i = 0; i < batch; i++) {
            uint64_t row = ids != NULL ? ids[done + i] : first + done + i;
            patterns[i] = (cairn_pattern){.size = sizeof patterns[i],
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = row,
                                          .vector = b->data.rows.floats + row * b->data.rows.columns,
                                          .dim = b->data.rows.columns};
            if (b->layout == NULL) continue;
            crn_cli_bench_layout_payload(b->layout, row, payloads[i], sizeof payloads[i]);
            patterns[i].payload = payloads[i];
        }
        status = cairn_insert(b->store.collection, patterns, batch, err);
        done += batch;
        if (status == CAIRN_OK && !crn_cli_progress_call(&b->progress, phase, done, count))
            status = crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    crn_mem_free(patterns);
    crn_mem_free(payloads);
    return status;
}

/* Linux, proc(5): the sums over all mappings, in KiB. Zeros where it is not there. */
static struct crn_cli_bench_memory memory_now(void)
{
    struct crn_cli_bench_memory memory = {0};
    unsigned long long resident = 0, value;
    char line[200];

    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    if (file == NULL) return memory;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %llu", &value) == 1) resident = value;
        if (sscanf(line, "Anonymous: %llu", &value) == 1) memory.anonymous_bytes = value * 1024;
    }
    fclose(file);
    resident *= 1024;
    memory.file_bytes = resident > memory.anonymous_bytes ? resident - memory.anonymous_bytes : 0;
    return memory;
}

static uint64_t above(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

/* A number of the collection's only space, as docs/STATS.md names it. */
static uint64_t space_number(struct crn_json space, const char *key)
{
    struct crn_json value;

    return crn_json_get(space, key, &value) ? crn_json_u64(value) : 0;
}

static void space_text(struct crn_json space, const char *key, char *out, size_t size)
{
    struct crn_json value;
    size_t len;

    snprintf(out, size, "%s", crn_json_get(space, key, &value) ? crn_json_string(value, &len) : "");
}

static cairn_status read_stats(struct crn_cli_bench *b, struct crn_cli_bench_build *out, cairn_error *err)
{
    struct crn_json root, spaces, space;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;
    char *text = NULL;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    cairn_status status = cairn_collection_stats(b->store.collection, &text, err);
    if (status == CAIRN_OK) status = crn_json_parse(parser, text, strlen(text), &root, err);
    if (status == CAIRN_OK && crn_json_get(root, "spaces", &spaces)) {
        crn_json_iter_init(&it, spaces);
        if (crn_json_iter_next(&it, &space, &key, &key_len)) {
            out->index_memory_bytes = space_number(space, "index_memory_bytes");
            out->disk_bytes = space_number(space, "file_bytes");
            out->indexed_rows = space_number(space, "indexed_rows");
            out->scanned_bytes_per_vector = space_number(space, "scanned_bytes_per_vector");
            space_text(space, "index", out->index, sizeof out->index);
            space_text(space, "quantization", out->quantization, sizeof out->quantization);
        }
    }
    cairn_free(text);
    crn_json_parser_free(parser);
    return status;
}

cairn_status crn_cli_bench_measure(struct crn_cli_bench *b, struct crn_cli_bench_build *out, cairn_error *err)
{
    struct crn_cli_bench_memory now = memory_now();

    out->searching.anonymous_bytes = above(now.anonymous_bytes, b->before.anonymous_bytes);
    out->searching.file_bytes = above(now.file_bytes, b->before.file_bytes);
    return read_stats(b, out, err);
}

/* An index file is opened only when scans have read several times its size; a benchmark is of what comes
 * then. */
static cairn_status warm(struct crn_cli_bench *b, cairn_error *err)
{
    struct crn_cli_bench_build build = {0};

    CRN_TRY(read_stats(b, &build, err));
    for (uint64_t i = 0; build.indexed_rows > 0 && i < WARM_SEARCHES; i++) {
        const float *vector = b->data.queries.floats + i % b->data.queries.rows * b->data.queries.columns;
        cairn_search_info info = {.size = sizeof info};
        cairn_results *results;
        CRN_TRY(cairn_search(
            b->store.collection,
            CAIRN_OPTIONS(cairn_query, .vector = vector, .dim = b->data.queries.columns, .k = b->settings->k),
            &results, err));
        cairn_results_info(results, &info);
        cairn_results_free(results);
        if (strcmp(info.plan, "index") == 0) return CAIRN_OK;
        if (!crn_cli_progress_call(&b->progress, "opening the index", 0, 0))
            return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    return CAIRN_OK;
}

cairn_status crn_cli_bench_reopen(struct crn_cli_bench *b, bool background, cairn_error *err)
{
    crn_cli_store_close(&b->store);
    malloc_trim(0); /* so that what follows does not hide in memory that was given back to the allocator */
    b->before = memory_now();
    CRN_TRY(open_db(b, background, err));
    return warm(b, err);
}

static cairn_status check_reused(struct crn_cli_bench *b, cairn_error *err)
{
    uint64_t rows;

    CRN_TRY(cairn_count(b->store.collection, NULL, &rows, err));
    if (rows == b->data.rows.rows) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--reuse %s: it holds %llu rows, not %llu", b->home,
                         (unsigned long long)rows, (unsigned long long)b->data.rows.rows);
}

cairn_status crn_cli_bench_fill(struct crn_cli_bench *b, cairn_error *err)
{
    uint64_t started_ns = crn_clock_ns();

    if (b->settings->reuse != NULL) {
        CRN_TRY(check_reused(b, err));
        return crn_cli_bench_reopen(b, false, err);
    }
    CRN_TRY(crn_cli_bench_insert(b, NULL, 0, b->data.rows.rows, "insert", err));
    b->build.insert_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;

    started_ns = crn_clock_ns();
    CRN_TRY(cairn_optimize(b->store.collection, crn_cli_progress_call, &b->progress, err));
    b->build.optimize_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    return crn_cli_bench_reopen(b, false, err);
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

void crn_cli_bench_close(struct crn_cli_bench *b)
{
    crn_cli_store_close(&b->store);
    if (b->home != NULL && !b->settings->keep) nftw(b->home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (b->home != NULL && b->settings->keep) {
        crn_cli_note("the database is %s/bench.cairn, its collection %s", b->home, COLLECTION);
    }
    crn_mem_free(b->home);
    crn_mem_free(b->found);
    crn_mem_free(b->found_count);
    crn_cli_bench_layout_free(b->layout);
    crn_mem_free(b->points);
    crn_mem_free(b->filtered);
    crn_mem_free(b->churned);
    crn_cli_bench_truth_release(&b->truth);
    crn_cli_bench_data_release(&b->data);
}

double crn_cli_bench_bytes_per_vector(const struct crn_cli_bench *b)
{
    return (double)(b->build.searching.anonymous_bytes + b->build.searching.file_bytes) /
           (double)b->data.rows.rows;
}

void crn_cli_bench_name(const struct crn_cli_bench *b, char *out, size_t size)
{
    bool quantized = b->build.quantization[0] != '\0' && strcmp(b->build.quantization, "none") != 0;

    snprintf(out, size, "%s%s%s", b->build.index[0] != '\0' ? b->build.index : "auto", quantized ? " " : "",
             quantized ? b->build.quantization : "");
}
