/*
 * Vector spaces: named ones of all kinds round trip bit by bit, sparse search against a naive one, the smallest and
 * the largest dim, and numbers at the edges of float.
 */
#include "tests/engine/rows.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- spaces of one collection ---- */

static const float dense[3] = {1, -0.0f, FLT_MIN / 4}, shape[2] = {FLT_MAX, -FLT_MAX},
                   other_shape[2] = {1, 2};
static const float parts[2][2] = {{FLT_TRUE_MIN, 0}, {-1.1f, 3.4e38f}};
static const float words[3] = {0, -2.5f, 1e-30f};
static const uint32_t word_indices[3] = {0, 77, UINT32_MAX};

static cairn_collection *open_spaces(cairn_db *db)
{
    const cairn_space_options spaces[] = {
        {.size = sizeof *spaces, .dim = 3},
        {.size = sizeof *spaces, .name = "shape", .dim = 2, .metric = CAIRN_METRIC_MANHATTAN},
        {.size = sizeof *spaces, .name = "words", .kind = CAIRN_SPACE_SPARSE},
        {.size = sizeof *spaces, .name = "parts", .kind = CAIRN_SPACE_MULTI, .dim = 2},
    };
    cairn_collection *collection;

    ok(cairn_collection_open(db, "all",
                             CAIRN_OPTIONS(cairn_collection_options, .spaces = spaces, .space_count = 4),
                             &collection, err));
    return collection;
}

static const cairn_vector *vector_of(const cairn_pattern *row, const char *space)
{
    for (uint32_t i = 0; i < row->vector_count; i++) {
        if (strcmp(row->vectors[i].space, space) == 0) return &row->vectors[i];
    }
    return NULL;
}

static void expect_all_vectors(cairn_collection *collection, const float *expected_shape)
{
    cairn_patterns *patterns;
    const cairn_pattern *row = read_row(collection, string_id("a"), &patterns);

    assert_int_equal(row->vector_count, 4);
    assert_int_equal(row->dim, 3);
    assert_memory_equal(row->vector, dense, sizeof dense);
    assert_ptr_equal(vector_of(row, "")->values, row->vector);
    assert_int_equal(vector_of(row, "shape")->dim, 2);
    assert_memory_equal(vector_of(row, "shape")->values, expected_shape, sizeof shape);
    assert_int_equal(vector_of(row, "words")->count, 3);
    assert_memory_equal(vector_of(row, "words")->values, words, sizeof words);
    assert_memory_equal(vector_of(row, "words")->indices, word_indices, sizeof word_indices);
    assert_int_equal(vector_of(row, "parts")->rows, 2);
    assert_int_equal(vector_of(row, "parts")->dim, 2);
    assert_memory_equal(vector_of(row, "parts")->values, parts, sizeof parts);
    cairn_patterns_free(patterns);
}

static void vectors_of_all_kinds_come_back_bit_by_bit(void **state)
{
    const cairn_vector vectors[] = {
        {.space = "parts", .values = parts[0], .rows = 2, .dim = 2},
        {.values = dense},
        {.space = "words", .values = words, .indices = word_indices, .count = 3},
        {.space = "shape", .values = shape},
    };
    struct database database;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    ok(cairn_insert(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = "a", .vectors = vectors, .vector_count = 4), 1, err));
    expect_all_vectors(collection, shape);
    ok(cairn_optimize(collection, NULL, NULL, err));
    cairn_collection_close(collection);
    database_reopen(&database, CAIRN_OPTIONS(cairn_open_options, .no_background = true));
    collection = open_spaces(database.db);
    expect_all_vectors(collection, shape);

    /* An update names one vector and keeps the others; an upsert keeps none that it does not bring. */
    const cairn_vector changed = {.space = "shape", .values = other_shape};
    ok(cairn_update(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = "a", .vectors = &changed, .vector_count = 1), 1, err));
    expect_all_vectors(collection, other_shape);
    expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = dense, .k = 1), "a");
    expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = other_shape, .space = "shape", .k = 1),
                  "a");
    ok(cairn_upsert(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = "a", .vectors = &changed, .vector_count = 1), 1, err));
    expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = dense, .k = 1), "");
    expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = other_shape, .space = "shape", .k = 1),
                  "a");
    database_verify_clean(&database);
    cairn_collection_close(collection);
    database_remove(&database);
}

static void rows_without_a_vector_are_in_no_space(void **state)
{
    const cairn_vector empty = {.space = "words"}, shaped = {.space = "shape", .values = other_shape};
    struct database database;
    cairn_patterns *patterns;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    ok(cairn_insert(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = "wordless", .vectors = &empty, .vector_count = 1), 1,
                    err));
    ok(cairn_insert(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = "shaped", .vectors = &shaped, .vector_count = 1), 1,
                    err));
    ok(cairn_insert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "dense", .vector = dense), 1, err));
    assert_int_equal(count_of(collection, NULL), 3);
    for (int round = 0; round < 2; round++) {
        expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = dense, .k = 9), "dense");
        expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = shape, .space = "shape", .k = 9),
                      "shaped");
        expect_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = words, .indices = word_indices, .dim = 3,
                                    .space = "words", .k = 9),
                      "");
        ok(cairn_optimize(collection, NULL, NULL, err));
    }
    const cairn_pattern *row = read_row(collection, string_id("wordless"), &patterns);
    assert_int_equal(row->vector_count, 1);
    assert_int_equal(row->vectors[0].count, 0);
    assert_null(row->vector);
    cairn_patterns_free(patterns);
    database_verify_clean(&database);
    cairn_collection_close(collection);
    database_remove(&database);
}

/* ---- models ---- */

static void each_space_records_its_own_model(void **state)
{
    const cairn_vector shaped = {.space = "shape", .values = other_shape};
    const cairn_pattern by_clip = {
        .size = sizeof by_clip, .id = "a", .vectors = &shaped, .vector_count = 1, .model = "clip"};
    const cairn_pattern by_gte = {.size = sizeof by_gte, .id = "b", .vector = dense, .model = "gte"};
    const cairn_pattern disagreeing[] = {
        {.size = sizeof *disagreeing, .id = "c", .vector = dense, .model = "x"},
        {.size = sizeof *disagreeing, .id = "d", .vector = dense, .model = "y"}};
    struct database database;
    cairn_collection_options options;
    cairn_results *results;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    ok(cairn_insert(collection, &by_clip, 1, err));
    assert_int_equal(count_of(collection, NULL), 1); /* whoever reads learns of new settings */
    cairn_collection_get_options(collection, &options);
    assert_null(options.model);
    refused(CAIRN_MODEL_MISMATCH, "'y'", cairn_insert(collection, disagreeing, 2, err));
    ok(cairn_insert(collection, &by_gte, 1, err));
    assert_int_equal(count_of(collection, NULL), 2);
    cairn_collection_get_options(collection, &options);
    assert_string_equal(options.model, "gte");
    refused(CAIRN_MODEL_MISMATCH, "'x'", cairn_insert(collection, disagreeing, 1, err));
    refused(
        CAIRN_MODEL_MISMATCH, "'gte', the space 'shape' holds vectors of 'clip'",
        cairn_search(collection,
                     CAIRN_OPTIONS(cairn_query, .vector = shape, .space = "shape", .k = 1, .model = "gte"),
                     &results, err));
    assert_int_equal(count_of(collection, NULL), 2);
    cairn_collection_close(collection);
    database_remove(&database);
}

/* ---- telling, adding, dropping ---- */

static void options_tell_all_spaces(void **state)
{
    static const char *const names[] = {"", "shape", "words", "parts"};
    struct database database;
    cairn_collection_options options;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    cairn_collection_get_options(collection, &options);
    assert_int_equal(options.space_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        bool found = false;
        for (uint32_t s = 0; s < 4; s++) found |= strcmp(options.spaces[s].name, names[i]) == 0;
        assert_true(found);
    }
    assert_int_equal(options.spaces[0].size, sizeof options.spaces[0]);
    assert_int_equal(options.spaces[0].dim, options.dim);
    cairn_collection *same;
    ok(cairn_collection_open(database.db, "all", &options, &same, err));
    cairn_collection_close(same);
    ok(cairn_collection_create(database.db, "copy", &options, err));
    cairn_collection_close(collection);
    database_remove(&database);
}

static const float far_shape[2] = {-7, 3};

static void shaped_row(cairn_collection *collection, const char *id, const float *values)
{
    const cairn_vector vector = {.space = "late", .values = values};

    ok(cairn_upsert(
        collection,
        CAIRN_OPTIONS(cairn_pattern, .id = id, .vector = dense, .vectors = &vector, .vector_count = 1), 1,
        err));
}

static void a_space_can_be_added_and_dropped(void **state)
{
    const cairn_query near = {.size = sizeof near, .vector = other_shape, .dim = 2, .space = "late", .k = 9};
    const cairn_query by_dense = {.size = sizeof by_dense, .vector = dense, .k = 9};
    const cairn_space_options late = {
        .size = sizeof late, .name = "late", .dim = 2, .metric = CAIRN_METRIC_L2};
    struct database database;
    cairn_patterns *patterns;
    cairn_results *results;
    cairn_db *other_db;
    cairn_collection *other;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    ok(cairn_insert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "old", .vector = dense), 1, err));
    ok(cairn_optimize(collection, NULL, NULL, err));
    /* As another process has it open. */
    ok(cairn_open(database.path, CAIRN_OPTIONS(cairn_open_options, .no_background = true), &other_db, err));
    ok(cairn_collection_open(other_db, "all", NULL, &other, err));
    refused(CAIRN_INVALID_ARGUMENT, "no space 'late'", cairn_search(other, &near, &results, err));

    ok(cairn_collection_add_space(collection, &late, err));
    refused(CAIRN_EXISTS, "\"late\"", cairn_collection_add_space(collection, &late, err));
    refused(CAIRN_INVALID_ARGUMENT, "needs a name",
            cairn_collection_add_space(collection, CAIRN_OPTIONS(cairn_space_options, .dim = 2), err));
    refused(CAIRN_INVALID_ARGUMENT, "dim 0",
            cairn_collection_add_space(collection, CAIRN_OPTIONS(cairn_space_options, .name = "x"), err));
    expect_search(other, &near, "");
    shaped_row(other, "by-other", far_shape);
    shaped_row(collection, "new", other_shape);
    for (int round = 0; round < 2; round++) {
        expect_search(collection, &near, "new by-other");
        expect_search(other, &near, "new by-other");
        ok(cairn_optimize(collection, NULL, NULL, err));
    }
    database_verify_clean(&database);

    const cairn_pattern *row = read_row(collection, string_id("new"), &patterns);
    const uint64_t version = row->version;
    assert_int_equal(row->vector_count, 2);
    cairn_patterns_free(patterns);
    refused(CAIRN_INVALID_ARGUMENT, "no space 'later'",
            cairn_collection_drop_space(collection, "later", err));
    ok(cairn_collection_drop_space(other, "late", err));
    database_verify_clean(&database);
    refused(CAIRN_INVALID_ARGUMENT, "no space 'late'", cairn_search(collection, &near, &results, err));
    refused(CAIRN_INVALID_ARGUMENT, "no space 'late'", cairn_search(other, &near, &results, err));
    row = read_row(collection, string_id("new"), &patterns);
    assert_int_equal(row->vector_count, 1);
    assert_int_equal(row->version, version);
    cairn_patterns_free(patterns);
    assert_int_equal(count_of(collection, NULL), 3);
    expect_search(collection, &by_dense, "old by-other new");

    /* The same name again is another space, without the vectors of the first. */
    ok(cairn_collection_add_space(collection, CAIRN_OPTIONS(cairn_space_options, .name = "late", .dim = 1),
                                  err));
    refused(CAIRN_DIM_MISMATCH, "", cairn_search(collection, &near, &results, err));
    ok(cairn_optimize(collection, NULL, NULL, err));
    database_verify_clean(&database);
    cairn_collection_close(other);
    cairn_close(other_db);
    cairn_collection_close(collection);
    database_reopen(&database, NULL);
    ok(cairn_collection_open(database.db, "all", NULL, &collection, err));
    expect_search(collection, &by_dense, "old by-other new");
    cairn_collection_close(collection);
    database_remove(&database);
}

struct at_once {
    cairn_collection *collection;
    atomic_bool stop;
};

static void *search_all_the_time(void *ctx)
{
    struct at_once *at_once = ctx;
    const cairn_query of_default = {.size = sizeof of_default, .vector = dense, .k = 3};
    const cairn_query of_late = {
        .size = sizeof of_late, .vector = other_shape, .dim = 2, .space = "late", .k = 3};
    cairn_results *results;
    cairn_error err = {0};

    while (!atomic_load(&at_once->stop)) {
        if (cairn_search(at_once->collection, &of_default, &results, &err) != CAIRN_OK)
            return "a search of another space failed";
        cairn_results_free(results);
        const cairn_status status = cairn_search(at_once->collection, &of_late, &results, &err);
        if (status == CAIRN_OK)
            cairn_results_free(results);
        else if (status != CAIRN_INVALID_ARGUMENT)
            return "a search of a space that goes failed otherwise";
    }
    return NULL;
}

static void *write_all_the_time(void *ctx)
{
    struct at_once *at_once = ctx;
    const cairn_vector late = {.space = "late", .values = far_shape, .dim = 2};
    cairn_error err = {0};
    char id[16];

    for (unsigned i = 0; !atomic_load(&at_once->stop); i++) {
        snprintf(id, sizeof id, "w%u", i % 50);
        const cairn_pattern row = {
            .size = sizeof row, .id = id, .vector = dense, .vectors = &late, .vector_count = i % 2};
        const cairn_status status = cairn_upsert(at_once->collection, &row, 1, &err);
        if (status != CAIRN_OK && status != CAIRN_INVALID_ARGUMENT)
            return "a write failed otherwise than for its space";
    }
    return NULL;
}

static void spaces_come_and_go_beside_searches_and_writes(void **state)
{
    const cairn_space_options late = {
        .size = sizeof late, .name = "late", .dim = 2, .metric = CAIRN_METRIC_L2};
    void *(*const work[])(void *) = {search_all_the_time, write_all_the_time};
    struct database database;
    pthread_t threads[2];
    void *failed;

    (void)state;
    database_create(&database, NULL);
    struct at_once at_once = {.collection = open_spaces(database.db)};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, work[i], &at_once), 0);
    for (int round = 0; round < 20; round++) {
        ok(cairn_collection_add_space(at_once.collection, &late, err));
        shaped_row(at_once.collection, "mine", other_shape);
        if (round % 4 == 0) ok(cairn_optimize(at_once.collection, NULL, NULL, err));
        ok(cairn_collection_drop_space(at_once.collection, "late", err));
    }
    atomic_store(&at_once.stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        if (failed != NULL) fail_msg("%s", (const char *)failed);
    }
    database_verify_clean(&database);
    cairn_collection_close(at_once.collection);
    database_remove(&database);
}

static void the_last_space_stays(void **state)
{
    struct database database;
    cairn_collection *collection;

    (void)state;
    quiet_database_create(&database);
    ok(cairn_collection_open(database.db, "one", CAIRN_OPTIONS(cairn_collection_options, .dim = 2),
                             &collection, err));
    refused(CAIRN_UNSUPPORTED, "one space at least", cairn_collection_drop_space(collection, "", err));
    char name[8];
    for (unsigned i = 1; i < CAIRN_SPACES_MAX; i++) {
        snprintf(name, sizeof name, "s%u", i);
        ok(cairn_collection_add_space(collection, CAIRN_OPTIONS(cairn_space_options, .name = name, .dim = 2),
                                      err));
    }
    refused(CAIRN_LIMIT, "64 spaces",
            cairn_collection_add_space(collection, CAIRN_OPTIONS(cairn_space_options, .name = "t", .dim = 2),
                                       err));
    ok(cairn_collection_drop_space(collection, "", err));
    database_verify_clean(&database);
    cairn_collection_close(collection);
    database_remove(&database);
}

/* ---- sparse search ---- */

#define SPARSE_ROWS 300
#define VOCABULARY 60
#define ENTRIES_MAX 12

struct sparse {
    bool present;
    uint32_t count;
    uint32_t indices[ENTRIES_MAX];
    float values[ENTRIES_MAX];
};

/* Ascending indices out of the vocabulary, small whole values, so that sums are exact and ties are common. */
static void random_sparse(struct crn_rng *rng, struct sparse *out)
{
    out->present = true;
    out->count = 0;
    for (uint32_t i = 0; i < VOCABULARY && out->count < ENTRIES_MAX; i++) {
        if (crn_rng_below(rng, 8) != 0) continue;
        out->indices[out->count] = i * 1000003u;
        out->values[out->count++] = (float)((int)crn_rng_below(rng, 7) - 2);
    }
}

static double naive_dot(const struct sparse *a, const struct sparse *b)
{
    double sum = 0;

    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++) {
            if (a->indices[i] == b->indices[j]) sum += (double)a->values[i] * b->values[j];
        }
    }
    return sum;
}

/* What must come: rows by falling score, then in the order they were inserted (their numbers); a score of 0 is no match. */
static void check_sparse(cairn_collection *collection, const struct sparse *rows, const struct sparse *query,
                         uint32_t k, bool even_only)
{
    cairn_results *results;
    size_t found = 0;

    ok(cairn_search(collection,
                    CAIRN_OPTIONS(cairn_query, .space = "words", .vector = query->values,
                                  .indices = query->indices, .dim = query->count, .k = k,
                                  .domain = even_only ? "even" : NULL),
                    &results, err));
    for (int score = 1000; score > -1000; score--) {
        for (uint64_t n = 0; n < SPARSE_ROWS && found < k; n++) {
            if (!rows[n].present || (even_only && n % 2 != 0) || score == 0 ||
                naive_dot(&rows[n], query) != score)
                continue;
            const cairn_hit *hit = cairn_results_at(results, found++);
            assert_non_null(hit);
            assert_int_equal(hit->id.u64, n);
            assert_true(hit->score == (float)score && hit->distance == (float)-score);
        }
    }
    assert_int_equal(cairn_results_count(results), found);
    cairn_results_free(results);
}

static void sparse_search_is_exact(void **state)
{
    struct sparse *rows = calloc(SPARSE_ROWS, sizeof *rows), query;
    struct crn_rng rng = test_rng();
    struct database database;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_spaces(database.db);
    for (uint64_t n = 0; n < SPARSE_ROWS; n++) {
        random_sparse(&rng, &rows[n]);
        const cairn_vector vector = {
            .space = "words", .values = rows[n].values, .indices = rows[n].indices, .count = rows[n].count};
        ok(cairn_insert(collection,
                        CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = n, .vectors = &vector,
                                      .vector_count = 1, .domain = n % 2 == 0 ? "even" : "odd"),
                        1, err));
    }
    for (int round = 0; round < 40; round++) {
        const uint64_t n = crn_rng_below(&rng, SPARSE_ROWS);
        ok(cairn_delete(collection, &(cairn_id){CAIRN_ID_U64, NULL, n}, 1, NULL, err));
        rows[n].present = false;
        do {
            random_sparse(&rng, &query);
        } while (query.count == 0);
        check_sparse(collection, rows, &query, 10, false);
        check_sparse(collection, rows, &query, 10, true);
        check_sparse(collection, rows, &query, SPARSE_ROWS, false);
    }
    cairn_collection_close(collection);
    database_remove(&database);
    free(rows);
}

/* ---- dims and numbers at the edges ---- */

static double distance(cairn_metric metric, const float *a, const float *b, uint32_t dim)
{
    double dot = 0, l2 = 0, l1 = 0, na = 0, nb = 0;

    for (uint32_t i = 0; i < dim; i++) {
        const double x = a[i], y = b[i];
        dot += x * y;
        l2 += (x - y) * (x - y);
        l1 += fabs(x - y);
        na += x * x;
        nb += y * y;
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

#define EDGE_ROWS 9

static void check_dim(cairn_db *db, struct crn_rng *rng, uint32_t dim, cairn_metric metric,
                      cairn_quantization quantization)
{
    float *values = malloc((EDGE_ROWS + 1) * (size_t)dim * sizeof *values);
    const float *query = values + EDGE_ROWS * (size_t)dim;
    cairn_collection *collection;
    cairn_results *results;

    for (size_t i = 0; i < (EDGE_ROWS + 1) * (size_t)dim; i++) values[i] = (float)crn_rng_normal(rng);
    ok(cairn_collection_open(
        db, "edge",
        CAIRN_OPTIONS(cairn_collection_options, .dim = dim, .metric = metric, .quantization = quantization),
        &collection, err));
    for (uint64_t n = 0; n < EDGE_ROWS; n++) {
        ok(cairn_insert(
            collection,
            CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = n, .vector = values + n * dim), 1,
            err));
    }
    for (int round = 0; round < 2; round++) {
        double last = -INFINITY;
        ok(cairn_search(collection,
                        CAIRN_OPTIONS(cairn_query, .vector = query, .k = EDGE_ROWS, .with_pattern = true,
                                      .with_vectors = true),
                        &results, err));
        assert_int_equal(cairn_results_count(results), EDGE_ROWS);
        for (size_t i = 0; i < EDGE_ROWS; i++) {
            const cairn_hit *hit = cairn_results_at(results, i);
            const float *own = values + hit->id.u64 * dim;
            const double right = distance(metric, query, own, dim),
                         slack = 1e-5 * (1 + fabs(right)) * sqrt(dim);
            assert_true(fabs(hit->distance - right) <= slack);
            assert_true(hit->distance >= last);
            assert_memory_equal(hit->pattern->vector, own, dim * sizeof *own);
            last = hit->distance;
        }
        cairn_results_free(results);
        ok(cairn_optimize(collection, NULL, NULL, err));
    }
    cairn_collection_close(collection);
    ok(cairn_collection_drop(db, "edge", err));
    free(values);
}

static void the_smallest_and_the_largest_dim_work(void **state)
{
    static const uint32_t dims[] = {1, 2, 63, 65, 1000, CAIRN_DIM_MAX};
    struct crn_rng rng = test_rng();
    struct database database;

    (void)state;
    quiet_database_create(&database);
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (cairn_metric metric = CAIRN_METRIC_COSINE; metric <= CAIRN_METRIC_MANHATTAN; metric++) {
            check_dim(database.db, &rng, dims[d], metric,
                      metric % 2 == 0 ? CAIRN_QUANTIZATION_SCALAR : CAIRN_QUANTIZATION_NONE);
        }
    }
    database_remove(&database);
}

/* Whatever float can hold: k results come, each with a distance that is a number. */
static void numbers_at_the_edges_of_float_are_searched(void **state)
{
    static const float rows[][2] = {{FLT_MAX, FLT_MAX},       {-FLT_MAX, FLT_MAX}, {FLT_TRUE_MIN, 0}, {1, 1},
                                    {FLT_MIN, -FLT_TRUE_MIN}, {1e20f, -1e20f}};
    struct database database;
    cairn_collection *collection;
    cairn_results *results;

    (void)state;
    quiet_database_create(&database);
    for (int kind = 0; kind < 8; kind++) {
        const cairn_metric metric = (cairn_metric)(CAIRN_METRIC_COSINE + kind % 4);
        ok(cairn_collection_open(
            database.db, "edge",
            CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .metric = metric,
                          .quantization = kind < 4 ? CAIRN_QUANTIZATION_NONE : CAIRN_QUANTIZATION_SCALAR),
            &collection, err));
        for (uint64_t n = 0; n < COUNT_OF(rows); n++) {
            ok(cairn_insert(
                collection,
                CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = n, .vector = rows[n]), 1,
                err));
        }
        for (size_t q = 0; q < 2 * COUNT_OF(rows); q++) {
            if (q == COUNT_OF(rows)) ok(cairn_optimize(collection, NULL, NULL, err));
            ok(cairn_search(collection,
                            CAIRN_OPTIONS(cairn_query, .vector = rows[q % COUNT_OF(rows)], .k = 4), &results,
                            err));
            assert_int_equal(cairn_results_count(results), 4);
            for (size_t i = 0; i < 4; i++) assert_false(isnan(cairn_results_at(results, i)->distance));
            cairn_results_free(results);
        }
        cairn_collection_close(collection);
        ok(cairn_collection_drop(database.db, "edge", err));
    }
    database_remove(&database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_all_kinds_come_back_bit_by_bit),
        cmocka_unit_test(rows_without_a_vector_are_in_no_space),
        cmocka_unit_test(each_space_records_its_own_model),
        cmocka_unit_test(options_tell_all_spaces),
        cmocka_unit_test(a_space_can_be_added_and_dropped),
        cmocka_unit_test(spaces_come_and_go_beside_searches_and_writes),
        cmocka_unit_test(the_last_space_stays),
        cmocka_unit_test(sparse_search_is_exact),
        cmocka_unit_test(the_smallest_and_the_largest_dim_work),
        cmocka_unit_test(numbers_at_the_edges_of_float_are_searched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
