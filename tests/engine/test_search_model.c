/*
 * Searches against a naive model in memory, over random writes, deletes, expiries, flushes, merges and reopenings: exact search
 * must give what sorting all distances gives, for every metric, with and without quantization and filters.
 */
#include "tests/engine/database.h"

#include <math.h>

#define ROWS 700
#define DIM 24

struct model_row {
    bool present;
    float vector[DIM];
    int size; /* payload */
    int domain;
    uint64_t version;
};

struct model {
    struct crn_rng rng;
    struct model_row rows[ROWS];
    cairn_metric metric;
    cairn_collection *collection;
    struct database database;
    cairn_open_options options;
    cairn_collection_options settings;
};

static double distance(cairn_metric metric, const float *a, const float *b)
{
    double dot = 0, l2 = 0, l1 = 0, na = 0, nb = 0;

    for (int i = 0; i < DIM; i++) {
        dot += (double)a[i] * b[i];
        l2 += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        l1 += fabs((double)a[i] - b[i]);
        na += (double)a[i] * a[i];
        nb += (double)b[i] * b[i];
    }
    switch (metric) {
    case CAIRN_METRIC_L2:
        return sqrt(l2);
    case CAIRN_METRIC_DOT:
        return -dot;
    case CAIRN_METRIC_MANHATTAN:
        return l1;
    default:
        return 1 - dot / sqrt(na * nb);
    }
}

static void random_vector(struct model *model, float *out)
{
    for (int i = 0; i < DIM; i++) out[i] = (float)crn_rng_normal(&model->rng);
}

/* Ids of all three kinds, by number. */
static void set_id(int n, cairn_pattern *pattern, char text[64])
{
    if (n % 3 == 0) {
        snprintf(text, 64, "row %d", n);
        pattern->id = text;
    } else if (n % 3 == 1) {
        pattern->id_type = CAIRN_ID_U64;
        pattern->id_u64 = UINT64_MAX - (uint64_t)n;
    } else {
        snprintf(text, 64, "0190a6c0-0000-7000-8000-%012x", (unsigned)n);
        pattern->id = text;
        pattern->id_type = CAIRN_ID_UUID;
    }
}

static int number_of(const cairn_id *id)
{
    unsigned n = 0;

    if (id->type == CAIRN_ID_U64) return (int)(UINT64_MAX - id->u64);
    if (id->type == CAIRN_ID_UUID) {
        assert_int_equal(sscanf(id->text + 24, "%x", &n), 1);
        return (int)n;
    }
    assert_int_equal(sscanf(id->text, "row %u", &n), 1);
    return (int)n;
}

static void write_some(struct model *model)
{
    static const char *const domains[] = {"", "build", "test"};
    const size_t count = 1 + crn_rng_below(&model->rng, 60);
    cairn_pattern patterns[60] = {0};
    cairn_written written[60];
    char ids[60][64], payloads[60][64];

    for (size_t i = 0; i < count; i++) {
        const int n = (int)crn_rng_below(&model->rng, ROWS);
        struct model_row *row = &model->rows[n];
        random_vector(model, row->vector);
        row->size = (int)crn_rng_below(&model->rng, 100);
        row->domain = (int)crn_rng_below(&model->rng, 3);
        row->version = row->present ? row->version + 1 : 1;
        row->present = true;
        snprintf(payloads[i], sizeof payloads[i], "{\"size\": %d, \"n\": %d}", row->size, n);
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .vector = row->vector,
                                      .dim = DIM,
                                      .domain = domains[row->domain],
                                      .payload = payloads[i]};
        set_id(n, &patterns[i], ids[i]);
        ok(cairn_write(model->collection, CAIRN_UPSERT, &patterns[i], 1, &written[i], err));
        assert_int_equal(written[i].version, row->version);
    }
}

static void delete_some(struct model *model)
{
    const size_t count = crn_rng_below(&model->rng, 40);
    char text[64];
    uint64_t deleted;

    for (size_t i = 0; i < count; i++) {
        const int n = (int)crn_rng_below(&model->rng, ROWS);
        cairn_pattern pattern = {0};
        set_id(n, &pattern, text);
        const cairn_id id = {pattern.id_type, pattern.id, pattern.id_u64};
        ok(cairn_delete(model->collection, &id, 1, &deleted, err));
        assert_int_equal(deleted, model->rows[n].present);
        model->rows[n].present = false;
    }
}

static void delete_by_filter(struct model *model)
{
    const int least = 80 + (int)crn_rng_below(&model->rng, 20);
    uint64_t deleted, expected = 0;
    char filter[64];

    snprintf(filter, sizeof filter, "{\"size\": {\"$gte\": %d}}", least);
    for (int n = 0; n < ROWS; n++) {
        if (!model->rows[n].present || model->rows[n].size < least || model->rows[n].domain != 1) continue;
        model->rows[n].present = false;
        expected++;
    }
    ok(cairn_delete_where(model->collection, CAIRN_OPTIONS(cairn_scope, .domain = "build", .filter = filter),
                          &deleted, err));
    assert_int_equal(deleted, expected);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* filtered: only domain "test" with size < 50. */
static void check_search(struct model *model, uint32_t k, bool filtered, bool exact)
{
    double distances[ROWS];
    size_t matching = 0;
    float query[DIM];
    cairn_results *results;

    random_vector(model, query);
    for (int n = 0; n < ROWS; n++) {
        const struct model_row *row = &model->rows[n];
        if (!row->present || (filtered && (row->domain != 2 || row->size >= 50))) continue;
        distances[matching++] = distance(model->metric, query, row->vector);
    }
    qsort(distances, matching, sizeof *distances, compare_doubles);
    ok(cairn_search(model->collection,
                    CAIRN_OPTIONS(cairn_query, .vector = query, .dim = DIM, .k = k, .exact = exact,
                                  .oversampling = 20, .domain = filtered ? "test" : NULL,
                                  .filter = filtered ? "{\"size\": {\"$lt\": 50}}" : NULL,
                                  .with_pattern = true),
                    &results, err));
    assert_int_equal(cairn_results_count(results), matching < k ? matching : k);
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        const int n = number_of(&hit->id);
        assert_true(model->rows[n].present);
        assert_true(!filtered || (model->rows[n].domain == 2 && model->rows[n].size < 50));
        const double own = distance(model->metric, query, model->rows[n].vector);
        const double slack = 1e-5 * (1 + fabs(own));
        assert_true(fabs(hit->distance - own) < slack);
        assert_true(fabs(distances[i] - own) < slack);
        assert_int_equal(hit->pattern->version, model->rows[n].version);
    }
    cairn_results_free(results);
}

static void check_all(struct model *model)
{
    uint64_t count, expected = 0;

    check_search(model, 10, false, true);
    check_search(model, 10, true, true);
    check_search(model, 1 + (uint32_t)crn_rng_below(&model->rng, 2 * ROWS), crn_rng_below(&model->rng, 2),
                 true);
    /* With twenty times k rescored the codes lose nothing on data this small. */
    check_search(model, 10, crn_rng_below(&model->rng, 2), false);
    for (int n = 0; n < ROWS; n++) expected += model->rows[n].present;
    ok(cairn_count(model->collection, NULL, &count, err));
    assert_int_equal(count, expected);
}

static void open_collection(struct model *model)
{
    ok(cairn_collection_open(model->database.db, "notes", &model->settings, &model->collection, err));
}

static void step(struct model *model)
{
    switch (crn_rng_below(&model->rng, 12)) {
    case 0:
        ok(cairn_optimize(model->collection, NULL, NULL, err));
        break;
    case 1:
        cairn_collection_close(model->collection);
        database_reopen(&model->database, &model->options);
        open_collection(model);
        break;
    case 2:
        delete_by_filter(model);
        break;
    case 3:
    case 4:
        delete_some(model);
        break;
    case 5:
        ok(cairn_payload_index_create(model->collection, "size", err));
        break;
    case 6:
        ok(cairn_payload_index_drop(model->collection, "size", err));
        break;
    default:
        write_some(model);
        break;
    }
}

static void run(cairn_metric metric, cairn_quantization quantization, bool background)
{
    struct model *model = calloc(1, sizeof *model);

    model->rng = test_rng();
    model->metric = metric;
    model->options = (cairn_open_options){.size = sizeof model->options,
                                          .tail_rows_max = 50,
                                          .durability = CAIRN_LAZY,
                                          .no_background = !background};
    model->settings = (cairn_collection_options){
        .size = sizeof model->settings, .dim = DIM, .metric = metric, .quantization = quantization};
    database_create(&model->database, &model->options);
    open_collection(model);
    for (int i = 0; i < 60; i++) {
        step(model);
        check_all(model);
    }
    database_verify_clean(&model->database);
    cairn_collection_close(model->collection);
    database_remove(&model->database);
    free(model);
}

static void cosine_search_is_exact(void **state)
{
    (void)state;
    run(CAIRN_METRIC_COSINE, CAIRN_QUANTIZATION_NONE, true);
}

static void l2_search_is_exact(void **state)
{
    (void)state;
    run(CAIRN_METRIC_L2, CAIRN_QUANTIZATION_NONE, false);
}

static void dot_search_is_exact_with_codes(void **state)
{
    (void)state;
    run(CAIRN_METRIC_DOT, CAIRN_QUANTIZATION_SCALAR, false);
}

static void manhattan_search_is_exact_with_codes(void **state)
{
    (void)state;
    run(CAIRN_METRIC_MANHATTAN, CAIRN_QUANTIZATION_SCALAR, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine_search_is_exact),
        cmocka_unit_test(l2_search_is_exact),
        cmocka_unit_test(dot_search_is_exact_with_codes),
        cmocka_unit_test(manhattan_search_is_exact_with_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
