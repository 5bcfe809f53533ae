/*
 * Any bytes as a sequence of calls of the public API on one small collection, through one or two handles of one file:
 * writes of all kinds, deletes, searches, scrolls, counts, maintenance, reopening. The model in memory says what must
 * come out; whatever disagrees with it aborts.
 *
 * The first bytes choose the collection's settings. Ids, vectors, words and payloads come from small ranges, so that
 * rows meet again and again.
 */
#include "tests/fuzz/operations_model.h"

#include <ftw.h>
#include <unistd.h>

#define STEPS_MAX 200u /* an input is not to take long */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) abort();
}

#define expect(status, call)                                                          \
    do {                                                                              \
        cairn_error expect_error_ = {0}, *err = &expect_error_;                       \
        const cairn_status expect_status_ = (call);                                   \
        if (expect_status_ != (status)) {                                             \
            fprintf(stderr, "%s: %s: %s\n", #call, cairn_status_name(expect_status_), \
                    expect_error_.message);                                           \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* ---- the database ---- */

static void open_handle(struct run *run, int i)
{
    if (run->dbs[i] != NULL) return;
    expect(CAIRN_OK, cairn_open(run->path, &run->options, &run->dbs[i], err));
    expect(CAIRN_OK, cairn_collection_open(run->dbs[i], "notes", &run->settings, &run->handles[i], err));
}

static void close_handle(struct run *run, int i)
{
    if (run->dbs[i] == NULL) return;
    cairn_collection_close(run->handles[i]);
    cairn_close(run->dbs[i]);
    run->dbs[i] = NULL;
}

static void create(struct run *run)
{
    const char *parent = getenv("TMPDIR");

    if (parent == NULL) parent = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(run->folder, sizeof run->folder, "%s/cairn-fuzz-XXXXXX", parent);
    require(mkdtemp(run->folder) != NULL);
    snprintf(run->path, sizeof run->path, "%s/memory.cairn", run->folder);
    const uint8_t settings = take(run);
    run->options = (cairn_open_options){.size = sizeof run->options,
                                        .durability = CAIRN_LAZY,
                                        .no_background = true,
                                        .threads = 1,
                                        .tail_rows_max = 1 + take_below(run, 8)};
    run->settings = (cairn_collection_options){
        .size = sizeof run->settings,
        .dim = 1 + settings % DIM_MAX,
        .metric = (cairn_metric)(CAIRN_METRIC_COSINE + settings / 4 % 4),
        .quantization = settings & 64 ? CAIRN_QUANTIZATION_SCALAR : CAIRN_QUANTIZATION_NONE,
        .lexical = settings & 128,
    };
    open_handle(run, 0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void destroy(struct run *run)
{
    uint64_t findings = 1;

    open_handle(run, 0);
    expect(CAIRN_OK, cairn_verify(run->dbs[0], NULL, NULL, NULL, &findings, err));
    require(findings == 0);
    close_handle(run, 0);
    close_handle(run, 1);
    nftw(run->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- writing ---- */

/* All of a call happen or none: the first that cannot be decides. */
static void write_some(struct run *run, cairn_write_mode mode, unsigned count)
{
    struct draft drafts[BATCH_MAX];
    cairn_pattern patterns[BATCH_MAX];
    cairn_written written[BATCH_MAX];
    struct row before[IDS];
    const uint64_t inserted = run->inserted;
    const uint8_t condition = take(run);
    cairn_status answer = CAIRN_OK;

    for (unsigned i = 0; i < count; i++) {
        take_draft(run, &drafts[i], mode != CAIRN_UPDATE);
        if (condition > 200)
            drafts[i].pattern.if_version = condition > 230 ? CAIRN_VERSION_NONE : condition - 200u;
        patterns[i] = drafts[i].pattern;
        const bool cosine = run->settings.metric == CAIRN_METRIC_COSINE;
        if (answer == CAIRN_OK && cosine && patterns[i].vector != NULL && is_zero(run, patterns[i].vector))
            answer = CAIRN_ZERO_VECTOR;
    }
    memcpy(before, run->rows, sizeof before);
    for (unsigned i = 0; i < count && answer == CAIRN_OK; i++) {
        answer = judge(run, mode, &drafts[i]);
        if (answer == CAIRN_OK) apply(run, mode, &drafts[i]);
        if (answer == CAIRN_OK) drafts[i].row.version = run->rows[drafts[i].n].version;
    }
    expect(answer, cairn_write(run->notes, mode, patterns, count, written, err));
    if (answer != CAIRN_OK) {
        memcpy(run->rows, before, sizeof before);
        run->inserted = inserted;
        return;
    }
    for (unsigned i = 0; i < count; i++) require(written[i].version == drafts[i].row.version);
}

static void delete_one(struct run *run)
{
    const unsigned n = take_below(run, IDS);
    char text[40];
    const cairn_id id = id_of(n, text);
    uint64_t deleted;

    expect(CAIRN_OK, cairn_delete(run->notes, &id, 1, &deleted, err));
    require(deleted == run->rows[n].present);
    run->rows[n].present = false;
}

static void delete_scope(struct run *run)
{
    struct scope scope;
    uint64_t deleted, expected = 0;

    take_scope(run, &scope);
    if (scope.domain == 3 && scope.kind == 0) {
        expect(CAIRN_INVALID_ARGUMENT, cairn_delete_where(run->notes, &scope.scope, &deleted, err));
        return;
    }
    for (unsigned n = 0; n < IDS; n++) {
        if (!matches(&run->rows[n], &scope)) continue;
        run->rows[n].present = false;
        expected++;
    }
    expect(CAIRN_OK, cairn_delete_where(run->notes, &scope.scope, &deleted, err));
    require(deleted == expected);
}

/* ---- reading ---- */

static void check_pattern(const struct run *run, const cairn_pattern *pattern)
{
    const unsigned n = number_of(pattern->id_type, pattern->id, pattern->id_u64);
    char payload[40];

    require(n < IDS && run->rows[n].present);
    const struct row *row = &run->rows[n];
    snprintf(payload, sizeof payload, "{\"n\":%u,\"list\":[%u,7]}", row->number, row->number + 1u);
    require(pattern->version == row->version);
    require(strcmp(pattern->domain, domains[row->domain]) == 0);
    require(strcmp(pattern->payload, payload) == 0);
    require(strcmp(pattern->text, words[row->word]) == 0);
    require((pattern->vector != NULL) == row->has_vector);
    if (row->has_vector)
        require(memcmp(pattern->vector, row->vector, run->settings.dim * sizeof(float)) == 0);
}

static void get_one(struct run *run)
{
    const unsigned n = take_below(run, IDS);
    char text[40];
    const cairn_id id = id_of(n, text);
    cairn_patterns *patterns;

    expect(CAIRN_OK, cairn_get(run->notes, &id, 1, true, &patterns, err));
    const cairn_pattern *pattern = cairn_patterns_at(patterns, 0);
    require((pattern->id != NULL) == run->rows[n].present);
    if (pattern->id != NULL) check_pattern(run, pattern);
    cairn_patterns_free(patterns);
}

/* All pages: each matching row once, in the order of insertion; and as many as counting says. */
static void scroll_all(struct run *run)
{
    const size_t limit = 1 + take_below(run, 5);
    uint64_t cursor = 0, last = 0, seen = 0, expected = 0, counted;
    struct scope scope;
    cairn_patterns *patterns;

    take_scope(run, &scope);
    for (unsigned n = 0; n < IDS; n++) expected += matches(&run->rows[n], &scope);
    expect(CAIRN_OK, cairn_count(run->notes, &scope.scope, &counted, err));
    require(counted == expected);
    do {
        expect(CAIRN_OK, cairn_scroll(run->notes, &scope.scope, &cursor, limit, true, &patterns, err));
        for (size_t i = 0; i < cairn_patterns_count(patterns); i++) {
            const cairn_pattern *pattern = cairn_patterns_at(patterns, i);
            check_pattern(run, pattern);
            const struct row *row = &run->rows[number_of(pattern->id_type, pattern->id, pattern->id_u64)];
            require(matches(row, &scope) && row->order > last);
            last = row->order;
            seen++;
        }
        cairn_patterns_free(patterns);
    } while (cursor != 0 && seen <= IDS);
    require(seen == expected);
}

/* ---- searching ---- */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void check_hits(const struct run *run, const cairn_results *results, const float *query,
                       const double *distances, const struct scope *scope)
{
    bool seen[IDS] = {false};

    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        const unsigned n = number_of(hit->id.type, hit->id.text, hit->id.u64);
        require(n < IDS && !seen[n] && matches(&run->rows[n], scope));
        seen[n] = true;
        check_pattern(run, hit->pattern);
        if (query == NULL) continue;
        require(fabs(hit->distance - distance(run, query, run->rows[n].vector)) < 1e-5);
        require(fabs(hit->distance - distances[i]) < 1e-5);
    }
}

static void search_vector(struct run *run)
{
    const uint32_t k = 1 + take_below(run, 15);
    const bool exact = take(run) & 1;
    double distances[IDS];
    float query[DIM_MAX];
    struct scope scope;
    size_t count = 0;
    cairn_results *results;

    take_vector(run, query);
    take_scope(run, &scope);
    const cairn_query asked = {.size = sizeof asked,
                               .vector = query,
                               .k = k,
                               .exact = exact,
                               .oversampling = 100,
                               .domain = scope.scope.domain,
                               .filter = scope.scope.filter,
                               .with_pattern = true,
                               .with_vectors = true};
    if (run->settings.metric == CAIRN_METRIC_COSINE && is_zero(run, query)) {
        expect(CAIRN_ZERO_VECTOR, cairn_search(run->notes, &asked, &results, err));
        return;
    }
    for (unsigned n = 0; n < IDS; n++) {
        if (!matches(&run->rows[n], &scope) || !run->rows[n].has_vector) continue;
        distances[count++] = distance(run, query, run->rows[n].vector);
    }
    qsort(distances, count, sizeof *distances, compare_doubles);
    expect(CAIRN_OK, cairn_search(run->notes, &asked, &results, err));
    require(cairn_results_count(results) == (count < k ? count : k));
    check_hits(run, results, query, distances, &scope);
    cairn_results_free(results);
}

static void search_words(struct run *run)
{
    const uint32_t k = 1 + take_below(run, 15);
    const unsigned word = take_below(run, 3);
    struct scope scope;
    size_t count = 0;
    cairn_results *results;

    take_scope(run, &scope);
    const cairn_query asked = {.size = sizeof asked,
                               .text = words[word],
                               .k = k,
                               .domain = scope.scope.domain,
                               .filter = scope.scope.filter,
                               .with_pattern = true,
                               .with_vectors = true};
    if (!run->settings.lexical) {
        expect(CAIRN_UNSUPPORTED, cairn_search(run->notes, &asked, &results, err));
        return;
    }
    for (unsigned n = 0; n < IDS; n++) count += matches(&run->rows[n], &scope) && run->rows[n].word == word;
    expect(CAIRN_OK, cairn_search(run->notes, &asked, &results, err));
    require(cairn_results_count(results) == (count < k ? count : k));
    check_hits(run, results, NULL, NULL, &scope);
    cairn_results_free(results);
}

/* ---- the whole ---- */

static void step(struct run *run)
{
    const uint8_t byte = take(run);
    const int handle = byte >> 7;

    open_handle(run, handle);
    run->notes = run->handles[handle];
    switch (byte % 16) {
    case 0:
        write_some(run, CAIRN_INSERT, 1);
        break;
    case 1:
        write_some(run, CAIRN_INSERT, 1 + take_below(run, BATCH_MAX));
        break;
    case 2:
    case 3:
        write_some(run, CAIRN_UPSERT, 1 + take_below(run, BATCH_MAX));
        break;
    case 4:
        write_some(run, CAIRN_UPDATE, 1 + take_below(run, BATCH_MAX));
        break;
    case 5:
        delete_one(run);
        break;
    case 6:
        delete_scope(run);
        break;
    case 7:
        expect(CAIRN_OK, cairn_optimize(run->notes, NULL, NULL, err));
        break;
    case 8:
        close_handle(run, handle);
        break;
    case 9:
        get_one(run);
        break;
    case 10:
        scroll_all(run);
        break;
    case 11:
        search_words(run);
        break;
    case 12:
        expect(CAIRN_OK, cairn_payload_index_create(run->notes, byte & 64 ? "n" : "list", err));
        break;
    case 13:
        expect(CAIRN_OK, cairn_payload_index_drop(run->notes, byte & 64 ? "n" : "list", err));
        break;
    case 14:
        if ((byte & 112) == 112) expect(CAIRN_OK, cairn_rebuild(run->dbs[handle], NULL, NULL, err));
        /* fall through */
    default:
        search_vector(run);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *run = calloc(1, sizeof *run);

    require(run != NULL);
    run->data = data;
    run->size = size;
    create(run);
    for (unsigned i = 0; run->at < run->size && i < STEPS_MAX; i++) step(run);
    destroy(run);
    free(run);
    return 0;
}
