/*
 * Sets of rows over a real store: random writes, payload indexes coming and going, the log trimmed, old
 * snapshots kept, and after each step random scopes from a small pool, so that the cache has to follow. What
 * is expected comes from filter_model.h and a list of the rows kept beside.
 */
#include "base/error.h"
#include "base/mem.h"
#include "engine/filter.h"
#include "tests/engine/filter_model.h"
#include "tests/engine/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define ROWS_MAX 600u
#define SCOPES 14u

struct model_row {
    uint32_t local; /* 0: deleted or not there yet */
    char domain[4], agent[4], type[4];
    double confidence;
    char *payload; /* NULL: none */
};

struct model {
    struct model_row rows[ROWS_MAX];
    size_t count;
};

struct scope_text {
    char domain[4], agent[4], type[4];
    char *filter;
    cairn_scope scope;
};

struct fixture {
    char folder[64], path[96];
    struct crn_store *store;
    struct crn_catalog catalog;
    struct crn_rng rng;
    struct model model;
    struct crn_json_parser *payloads, *filters;
    struct scope_text scopes[SCOPES];
};

/* ---- the store ---- */

static void write_job(struct fixture *fixture, cairn_status (*run)(struct crn_txn *, void *, cairn_error *),
                      void *ctx)
{
    const struct crn_write_job job = {.run = run, .ctx = ctx};
    cairn_error err;

    if (crn_store_write(fixture->store, &job, &err) != CAIRN_OK) fail_msg("%s", err.message);
}

static cairn_status create_collection(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

static void reload_catalog(struct fixture *fixture)
{
    struct crn_reader *reader;
    cairn_error err;

    crn_catalog_release(&fixture->catalog);
    assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
    assert_int_equal(crn_read_collection(reader, "c", &fixture->catalog, &err), CAIRN_OK);
    crn_store_read_end(reader);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct crn_space space = {
        .name = (char *)"", .dim = 4, .metric = CAIRN_METRIC_COSINE, .index = (char *)"auto"};
    struct crn_catalog created = {.name = (char *)"c", .spaces = &space, .space_count = 1};
    const struct crn_store_options options = {.lazy = true};
    cairn_error err;

    snprintf(fixture->folder, sizeof fixture->folder, "%s/cairn-filter-XXXXXX",
             getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 40 ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/a.cairn", fixture->folder);
    if (crn_store_open(fixture->path, &options, &fixture->store, &err) != CAIRN_OK)
        fail_msg("%s", err.message);
    write_job(fixture, create_collection, &created);
    reload_catalog(fixture);
    fixture->payloads = crn_json_parser_create();
    fixture->filters = crn_json_parser_create();
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    for (size_t i = 0; i < fixture->model.count; i++) free(fixture->model.rows[i].payload);
    for (size_t i = 0; i < SCOPES; i++) free(fixture->scopes[i].filter);
    crn_json_parser_free(fixture->payloads);
    crn_json_parser_free(fixture->filters);
    crn_catalog_release(&fixture->catalog);
    crn_store_close(fixture->store);
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->folder);
    const int removed = system(command);
    free(fixture);
    return removed;
}

/* ---- random writes ---- */

static void pick_name(struct crn_rng *rng, char out[4])
{
    static const char *const names[] = {"", "a", "b"};
    snprintf(out, 4, "%s", names[crn_rng_below(rng, 3)]);
}

static void fill_row(struct fixture *fixture, struct model_row *row)
{
    struct crn_buf payload;

    pick_name(&fixture->rng, row->domain);
    pick_name(&fixture->rng, row->agent);
    pick_name(&fixture->rng, row->type);
    row->confidence = (double)crn_rng_below(&fixture->rng, 5) / 4;
    free(row->payload);
    row->payload = NULL;
    if (crn_rng_below(&fixture->rng, 10) == 0) return;
    crn_buf_init(&payload, 1u << 16);
    model_put_payload(&fixture->rng, &payload);
    row->payload = strdup(payload.data);
    crn_buf_release(&payload);
}

static cairn_status put_row(struct fixture *fixture, struct crn_txn *txn, size_t i, bool set_only,
                            cairn_error *err)
{
    struct model_row *row = &fixture->model.rows[i];
    char id[16];
    snprintf(id, sizeof id, "row%zu", i);
    struct crn_record record = {
        .local = row->local,
        .id = id,
        .id_len = strlen(id),
        .domain = row->domain,
        .agent = row->agent,
        .type = row->type,
        .payload = row->payload,
        .confidence = row->confidence,
        .created_at_ms = 1,
        .version = 1,
    };

    CRN_TRY(crn_txn_put(txn, &fixture->catalog, &record, set_only, err));
    row->local = record.local;
    return CAIRN_OK;
}

/* Inserts, replaces and deletes. The model changes with it, so a failing job is not repeated. */
static cairn_status random_writes(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *fixture = ctx;
    struct crn_rng *rng = &fixture->rng;
    struct model *model = &fixture->model;

    for (size_t n = 1 + crn_rng_below(rng, 12); n > 0; n--) {
        const bool insert = model->count < ROWS_MAX && (model->count == 0 || crn_rng_below(rng, 2) == 0);
        const size_t i = insert ? model->count++ : crn_rng_below(rng, model->count);
        struct model_row *row = &model->rows[i];

        if (!insert && row->local != 0 && crn_rng_below(rng, 4) == 0) {
            CRN_TRY(crn_txn_delete(txn, &fixture->catalog, row->local, err));
            row->local = 0;
            continue;
        }
        const bool present = row->local != 0;
        fill_row(fixture, row);
        CRN_TRY(put_row(fixture, txn, i, present && crn_rng_below(rng, 2) == 0, err));
    }
    return CAIRN_OK;
}

static cairn_status toggle_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    static const char *const paths[] = {"a", "b", "a.b", "x\\.y", "tags"};
    struct fixture *fixture = ctx;
    const char *path = paths[crn_rng_below(&fixture->rng, 5)];

    for (uint32_t i = 0; i < fixture->catalog.index_count; i++) {
        if (strcmp(fixture->catalog.indexes[i].path, path) == 0) {
            return crn_txn_payload_index_drop(txn, &fixture->catalog, path, err);
        }
    }
    return crn_txn_payload_index_create(txn, &fixture->catalog, path, err);
}

static cairn_status trim_log(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    (void)ctx;
    return crn_txn_log_trim(txn, err);
}

/* ---- scopes ---- */

static void new_scope(struct fixture *fixture, struct scope_text *text)
{
    struct crn_rng *rng = &fixture->rng;
    struct crn_buf filter;

    free(text->filter);
    memset(text, 0, sizeof *text);
    text->scope.size = sizeof text->scope;
    pick_name(rng, text->domain);
    pick_name(rng, text->agent);
    pick_name(rng, text->type);
    if (crn_rng_below(rng, 4) == 0) text->scope.domain = text->domain;
    if (crn_rng_below(rng, 6) == 0) text->scope.agent = text->agent;
    if (crn_rng_below(rng, 6) == 0) text->scope.type = text->type;
    if (crn_rng_below(rng, 6) == 0) text->scope.min_confidence = 0.5;
    if (crn_rng_below(rng, 8) == 0) return;
    crn_buf_init(&filter, 1u << 16);
    model_put_filter(rng, &filter);
    text->filter = strdup(filter.data);
    text->scope.filter = text->filter;
    crn_buf_release(&filter);
}

static bool row_matches(struct fixture *fixture, const struct model_row *row, const cairn_scope *scope,
                        const struct crn_json *filter)
{
    struct crn_json payload;
    cairn_error err;

    if (row->local == 0 || row->confidence < scope->min_confidence) return false;
    if (scope->domain != NULL && strcmp(scope->domain, row->domain) != 0) return false;
    if (scope->agent != NULL && strcmp(scope->agent, row->agent) != 0) return false;
    if (scope->type != NULL && strcmp(scope->type, row->type) != 0) return false;
    if (filter == NULL) return true;
    if (row->payload == NULL) return model_matches(*filter, NULL);
    assert_int_equal(crn_json_parse(fixture->payloads, row->payload, strlen(row->payload), &payload, &err),
                     CAIRN_OK);
    return model_matches(*filter, &payload);
}

static void check_scope(struct fixture *fixture, const struct model *model, struct crn_scope_cache *cache,
                        struct crn_reader *reader, const struct crn_catalog *catalog,
                        const cairn_scope *scope)
{
    struct crn_json filter;
    struct crn_rows *rows;
    cairn_error err;
    size_t expected = 0;

    if (scope->filter != NULL) {
        assert_int_equal(
            crn_json_parse(fixture->filters, scope->filter, strlen(scope->filter), &filter, &err), CAIRN_OK);
    }
    if (crn_scope_rows(cache, reader, catalog, scope, &rows, &err) != CAIRN_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < model->count; i++) {
        const struct model_row *row = &model->rows[i];
        const bool matches = row_matches(fixture, row, scope, scope->filter != NULL ? &filter : NULL);
        expected += matches;
        if (row->local != 0 && roaring_bitmap_contains(rows->locals, row->local) != matches) {
            fail_msg("row %u %s (%u indexes) %s: %s", row->local,
                     matches ? "is missing" : "should not be there", catalog->index_count,
                     scope->filter != NULL ? scope->filter : "(no filter)",
                     row->payload != NULL ? row->payload : "(no payload)");
        }
    }
    assert_int_equal(roaring_bitmap_get_cardinality(rows->locals),
                     expected); /* no row that is not in the model */
    crn_rows_release(rows);
}

static void copy_model(struct model *to, const struct model *from)
{
    for (size_t i = 0; i < to->count; i++) free(to->rows[i].payload);
    *to = *from;
    for (size_t i = 0; i < to->count; i++) {
        if (to->rows[i].payload != NULL) to->rows[i].payload = strdup(to->rows[i].payload);
    }
}

/* ---- tests ---- */

static void test_random(void **state)
{
    struct fixture *fixture = *state;
    struct crn_scope_cache *cache = crn_scope_cache_create(1u << 20);
    struct crn_scope_cache *tiny = crn_scope_cache_create(700); /* holds an entry or two */
    struct model *old = calloc(1, sizeof *old);
    struct crn_catalog old_catalog = {0};
    struct crn_reader *old_reader = NULL;
    struct crn_reader *reader;
    cairn_error err;

    fixture->rng = test_rng();
    for (size_t i = 0; i < SCOPES; i++) new_scope(fixture, &fixture->scopes[i]);
    for (int round = 0; round < 250; round++) {
        const uint64_t event = crn_rng_below(&fixture->rng, 20);

        write_job(fixture, random_writes, fixture);
        if (event < 3) write_job(fixture, toggle_index, fixture);
        if (event == 3) write_job(fixture, trim_log, NULL);
        if (event == 4) crn_scope_cache_clear(cache);
        reload_catalog(fixture);
        new_scope(fixture, &fixture->scopes[crn_rng_below(&fixture->rng, SCOPES)]);

        assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
        for (int n = 0; n < 4; n++) {
            const cairn_scope *scope = &fixture->scopes[crn_rng_below(&fixture->rng, SCOPES)].scope;
            check_scope(fixture, &fixture->model, cache, reader, &fixture->catalog, scope);
            check_scope(fixture, &fixture->model, n % 2 ? tiny : NULL, reader, &fixture->catalog, scope);
            if (old_reader != NULL) check_scope(fixture, old, cache, old_reader, &old_catalog, scope);
        }
        if (event < 16) { /* keep the older one */
            crn_store_read_end(reader);
            continue;
        }
        if (old_reader != NULL) crn_store_read_end(old_reader);
        old_reader = reader;
        crn_catalog_release(&old_catalog);
        old_catalog = fixture->catalog;
        fixture->catalog = (struct crn_catalog){0};
        reload_catalog(fixture);
        copy_model(old, &fixture->model);
    }
    if (old_reader != NULL) crn_store_read_end(old_reader);
    crn_catalog_release(&old_catalog);
    for (size_t i = 0; i < old->count; i++) free(old->rows[i].payload);
    free(old);
    crn_scope_cache_free(cache);
    crn_scope_cache_free(tiny);
}

/* A set in use stays as it was while the cache goes on. */
static void test_shared_sets(void **state)
{
    struct fixture *fixture = *state;
    struct crn_scope_cache *cache = crn_scope_cache_create(1u << 20);
    const cairn_scope scope = {.size = sizeof scope};
    struct crn_rows *before, *again, *after;
    struct crn_reader *reader;
    cairn_error err;

    crn_rng_init(&fixture->rng, 1);
    write_job(fixture, random_writes, fixture);
    assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
    assert_int_equal(crn_scope_rows(cache, reader, &fixture->catalog, &scope, &before, &err), CAIRN_OK);
    assert_int_equal(crn_scope_rows(cache, reader, &fixture->catalog, NULL, &again, &err), CAIRN_OK);
    assert_ptr_equal(before, again);
    crn_store_read_end(reader);
    const uint64_t count = roaring_bitmap_get_cardinality(before->locals);

    while (fixture->model.count < 50) write_job(fixture, random_writes, fixture);
    assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
    assert_int_equal(crn_scope_rows(cache, reader, &fixture->catalog, &scope, &after, &err), CAIRN_OK);
    crn_store_read_end(reader);
    assert_ptr_not_equal(before, after);
    assert_int_equal(roaring_bitmap_get_cardinality(before->locals), count);
    assert_true(after->sequence > before->sequence);
    crn_scope_cache_free(cache);
    crn_rows_release(before);
    crn_rows_release(again);
    crn_rows_release(after);
    crn_rows_release(NULL);
}

static void test_errors(void **state)
{
    struct fixture *fixture = *state;
    struct crn_reader *reader;
    struct crn_rows *rows;
    cairn_error err;

    assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
    assert_int_equal(crn_scope_rows(NULL, reader, &fixture->catalog,
                                    CAIRN_OPTIONS(cairn_scope, .filter = "{\"a\":[]}"), &rows, &err),
                     CAIRN_INVALID_FILTER);
    assert_null(rows);
    crn_store_read_end(reader);
}

/* Each allocation fails in turn: NO_MEMORY and nothing left behind, or the right rows. */
static void test_no_memory(void **state)
{
    struct fixture *fixture = *state;
    const cairn_scope scope = {
        .size = sizeof scope,
        .domain = "a",
        .filter = "{\"a\":{\"$ne\":1},\"b\":{\"$exists\":true}}",
    };
    struct crn_rows *expected, *rows;
    struct crn_reader *reader;
    cairn_status status;
    cairn_error err;
    uint64_t nth = 1;

    crn_rng_init(&fixture->rng, 7);
    write_job(fixture, toggle_index, fixture);
    reload_catalog(fixture);
    while (fixture->model.count < 60) write_job(fixture, random_writes, fixture);
    assert_int_equal(crn_store_read_begin(fixture->store, &reader, &err), CAIRN_OK);
    assert_int_equal(crn_scope_rows(NULL, reader, &fixture->catalog, &scope, &expected, &err), CAIRN_OK);
    do {
        struct crn_scope_cache *cache = crn_scope_cache_create(1u << 20);
        crn_mem_fail_at(nth++, false);
        status = crn_scope_rows(cache, reader, &fixture->catalog, &scope, &rows, &err);
        const bool reached = crn_mem_count() >= nth - 1;
        crn_mem_fail_at(0, false);
        assert_true(status == CAIRN_OK || status == CAIRN_NO_MEMORY);
        if (status == CAIRN_OK) assert_true(roaring_bitmap_equals(rows->locals, expected->locals));
        crn_rows_release(rows);
        crn_scope_cache_free(cache);
        if (!reached) break;
    } while (nth < 1000);
    assert_true(nth > 10 && nth < 1000);
    crn_rows_release(expected);
    crn_store_read_end(reader);
}

/* ---- many threads on one cache ---- */

struct asking {
    struct fixture *fixture;
    struct crn_scope_cache *cache;
    uint64_t seed;
    _Atomic bool *stop;
    _Atomic uint32_t *wrong;
};

/* What the cache says must be what the same snapshot says without it. */
static void *ask(void *ctx)
{
    struct asking *asking = ctx;
    struct crn_rng rng;

    crn_rng_init(&rng, asking->seed);
    while (!atomic_load(asking->stop)) {
        const cairn_scope *scope = &asking->fixture->scopes[crn_rng_below(&rng, SCOPES)].scope;
        struct crn_rows *cached = NULL, *plain = NULL;
        struct crn_reader *reader;
        cairn_error err;

        if (crn_store_read_begin(asking->fixture->store, &reader, &err) != CAIRN_OK) break;
        const bool answered =
            crn_scope_rows(asking->cache, reader, &asking->fixture->catalog, scope, &cached, &err) ==
                CAIRN_OK &&
            crn_scope_rows(NULL, reader, &asking->fixture->catalog, scope, &plain, &err) == CAIRN_OK;
        if (!answered || !roaring_bitmap_equals(cached->locals, plain->locals))
            atomic_fetch_add(asking->wrong, 1);
        crn_rows_release(cached);
        crn_rows_release(plain);
        crn_store_read_end(reader);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct fixture *fixture = *state;
    struct crn_scope_cache *cache = crn_scope_cache_create(4000); /* small, so that entries come and go */
    struct asking asking[3];
    pthread_t threads[3];
    _Atomic bool stop = false;
    _Atomic uint32_t wrong = 0;

    fixture->rng = test_rng();
    for (size_t i = 0; i < SCOPES; i++) new_scope(fixture, &fixture->scopes[i]);
    write_job(fixture, toggle_index, fixture);
    reload_catalog(fixture);
    for (size_t i = 0; i < 3; i++) {
        asking[i] = (struct asking){fixture, cache, i, &stop, &wrong};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
    }
    for (int round = 0; round < 60; round++) write_job(fixture, random_writes, fixture);
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    crn_scope_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shared_sets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
