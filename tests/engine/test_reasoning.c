/* Retrieval with reasoning: ranking, diversity, other metrics, expiry, use counts, refusals. */
#include "tests/engine/reasoning_fixture.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/mmr.h"

/* ---- ranking ---- */

static void test_classic(void **state)
{
    struct fixture *fixture = *state;
    struct crn_rng rng = test_rng();
    float query[DIM];

    random_vector(&rng, query);
    for (int i = 0; i < 200; i++) {
        float vector[DIM];
        random_vector(&rng, vector);
        PUT(fixture, .domain = i % 2 ? "odd" : "even", .vector = vector,
            .confidence = 0.01 + crn_rng_unit(&rng) * 0.99,
            .created_at_ms = NOW - (int64_t)crn_rng_below(&rng, 100) * DAY_MS);
    }
    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = query, .k = 17, .domain = "odd");
    assert_int_equal(cairn_reasoning_count(reasoning), 17);
    double last = INFINITY;
    for (size_t i = 0; i < 17; i++) {
        const cairn_memory *memory = cairn_reasoning_at(reasoning, i);
        const double days = (double)(NOW - memory->pattern->created_at_ms) / DAY_MS;
        assert_string_equal(memory->pattern->domain, "odd");
        assert_float_equal(
            memory->score,
            0.65 * memory->similarity + 0.15 * exp(-days / 45) + 0.20 * memory->pattern->confidence, 1e-6);
        assert_true(memory->score <= last);
        assert_true(memory->similarity >= -1.0001 && memory->similarity <= 1.0001);
        last = memory->score;
    }
    assert_null(cairn_reasoning_at(reasoning, 17));
    assert_null(cairn_reasoning_context(reasoning));
    assert_null(cairn_reasoning_narrative(reasoning));
    assert_null(cairn_reasoning_report(reasoning));
    cairn_reasoning_free(reasoning);
    cairn_reasoning_free(NULL);

    reasoning = RETRIEVE(fixture, .vector = query);
    assert_int_equal(cairn_reasoning_count(reasoning), 10); /* the default */
    cairn_reasoning_free(reasoning);
    reasoning = RETRIEVE(fixture, .vector = query, .k = 5000);
    assert_int_equal(cairn_reasoning_count(reasoning), 200);
    cairn_reasoning_free(reasoning);
}

/* Freshness and confidence decide between equals; a little likeness does not outweigh them. */
static void test_age_and_confidence(void **state)
{
    struct fixture *fixture = *state;
    float near[DIM];

    at_angle(0.1, 1, near);
    PUT(fixture, .id = "old", .vector = first_axis, .confidence = 0.5, .created_at_ms = NOW - 90 * DAY_MS);
    PUT(fixture, .id = "new", .vector = first_axis, .confidence = 0.5, .created_at_ms = NOW);
    PUT(fixture, .id = "sure", .vector = near, .confidence = 1, .created_at_ms = NOW);
    PUT(fixture, .id = "later", .vector = first_axis, .confidence = 0.5, .created_at_ms = NOW + 90 * DAY_MS);
    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = first_axis, .k = 4);
    assert_string_equal(id_at(reasoning, 0), "sure");
    assert_string_equal(id_at(reasoning, 1), "new"); /* equal scores: the older row first */
    assert_string_equal(id_at(reasoning, 2), "later");
    assert_string_equal(id_at(reasoning, 3), "old");
    cairn_reasoning_free(reasoning);
}

static void test_hybrid(void **state)
{
    struct fixture *fixture = *state;
    float near[DIM];
    const char *filter = "{\"$or\":[{\"a\":1},{\"b\":2},{\"$not\":{\"c\":3}}]}";

    at_angle(0.6, 1, near);
    PUT(fixture, .id = "one", .vector = first_axis, .payload = "{\"a\":1,\"b\":0,\"c\":3}", .confidence = 0.5,
        .created_at_ms = NOW);
    PUT(fixture, .id = "three", .vector = near, .payload = "{\"a\":1,\"b\":2}", .confidence = 0.5,
        .created_at_ms = NOW);
    PUT(fixture, .id = "none", .vector = first_axis, .payload = "{\"c\":3}", .confidence = 0.5,
        .created_at_ms = NOW);

    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = first_axis, .k = 3, .filter = filter,
                                          .vector_weight = 0.2, .metadata_weight = 0.8);
    assert_int_equal(cairn_reasoning_count(reasoning), 2);
    assert_string_equal(id_at(reasoning, 0), "three");
    assert_float_equal(cairn_reasoning_at(reasoning, 0)->score, 0.2 * cos(0.6) + 0.8 * (3 + 1 + 0.5) / 5,
                       1e-6);
    assert_float_equal(cairn_reasoning_at(reasoning, 1)->score, 0.2 * 1 + 0.8 * (1 + 1 + 0.5) / 5, 1e-6);
    cairn_reasoning_free(reasoning);

    reasoning = RETRIEVE(fixture, .vector = first_axis, .k = 3, .filter = filter, .vector_weight = 1);
    assert_string_equal(id_at(reasoning, 0), "one");
    assert_float_equal(cairn_reasoning_at(reasoning, 0)->score, 1, 1e-6);
    cairn_reasoning_free(reasoning);
}

/* ---- MMR ---- */

static size_t mmr_by_the_book(const double *relevance, const float (*vectors)[DIM], size_t count,
                              double lambda, const bool *picked)
{
    size_t best = count;
    double best_value = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        double likeness = -INFINITY;
        if (picked[i]) continue;
        for (size_t j = 0; j < count; j++) {
            if (picked[j]) likeness = fmax(likeness, cosine(vectors[i], vectors[j]));
        }
        const double value = lambda * relevance[i] - (1 - lambda) * likeness;
        if (value > best_value) {
            best_value = value;
            best = i;
        }
    }
    return best;
}

static void test_mmr_pick(void **state)
{
    struct crn_rng rng = test_rng();
    static float vectors[40][DIM], unit[40][DIM];
    double relevance[40];
    size_t picked[40];

    (void)state;
    for (int round = 0; round < 50; round++) {
        const double lambda = round < 2 ? round : crn_rng_unit(&rng);
        bool taken[40] = {false};
        for (size_t i = 0; i < 40; i++) {
            random_vector(&rng, vectors[i]);
            const double length = sqrt(dot(vectors[i], vectors[i]));
            for (uint32_t d = 0; d < DIM; d++) unit[i][d] = (float)(vectors[i][d] / length);
            relevance[i] = (i > 0 ? relevance[i - 1] : 1) - crn_rng_unit(&rng) * 0.02;
        }
        const struct crn_mmr mmr = {relevance, unit[0], 40, DIM, lambda};
        ok(crn_mmr_pick(&mmr, 25, picked, err));
        assert_int_equal(picked[0], 0);
        for (size_t n = 0; n < 25; n++) {
            assert_false(taken[picked[n]]);
            if (n > 0) assert_int_equal(picked[n], mmr_by_the_book(relevance, vectors, 40, lambda, taken));
            taken[picked[n]] = true;
        }
        if (lambda == 1) {
            for (size_t n = 0; n < 25; n++) assert_int_equal(picked[n], n);
        }
    }
}

static void test_mmr_retrieve(void **state)
{
    struct fixture *fixture = *state;
    float vectors[5][DIM];

    at_angle(0.0, 1, vectors[0]);
    at_angle(0.01, 1, vectors[1]);
    at_angle(0.02, 1, vectors[2]);
    at_angle(0.5, 2, vectors[3]);
    at_angle(1.2, 3, vectors[4]);
    for (int i = 0; i < 5; i++) {
        PUT(fixture, .id = (const char *[]){"a", "b", "c", "d", "e"}[i], .vector = vectors[i],
            .created_at_ms = NOW);
    }
    cairn_reasoning *plain = RETRIEVE(fixture, .vector = first_axis, .k = 3, .no_touch = true);
    cairn_reasoning *relevant =
        RETRIEVE(fixture, .vector = first_axis, .k = 3, .use_mmr = true, .mmr_lambda = 1, .no_touch = true);
    for (size_t i = 0; i < 3; i++) assert_string_equal(id_at(plain, i), id_at(relevant, i));
    assert_string_equal(id_at(plain, 2), "c");
    cairn_reasoning *diverse =
        RETRIEVE(fixture, .vector = first_axis, .k = 3, .use_mmr = true, .mmr_lambda = 0, .no_touch = true);
    assert_string_equal(id_at(diverse, 0), "a");
    assert_string_equal(id_at(diverse, 1), "e");
    assert_string_equal(id_at(diverse, 2), "d");
    cairn_reasoning_free(plain);
    cairn_reasoning_free(relevant);
    cairn_reasoning_free(diverse);
}

/* ---- other metrics ---- */

static double similarity_by(cairn_metric metric, const float *a, const float *b)
{
    double sum = 0;

    for (uint32_t i = 0; i < DIM; i++) {
        const double difference = (double)a[i] - (double)b[i];
        sum += metric == CAIRN_METRIC_L2 ? difference * difference : fabs(difference);
    }
    switch (metric) {
    case CAIRN_METRIC_COSINE:
        return cosine(a, b);
    case CAIRN_METRIC_DOT:
        return dot(a, b);
    case CAIRN_METRIC_L2:
        return 1 / (1 + sqrt(sum));
    default:
        return 1 / (1 + sum);
    }
}

/* Each third row is in a domain of its own. */
static void check_metric(struct fixture *fixture, cairn_metric metric, const float *query,
                         const float (*vectors)[DIM], bool third)
{
    double best[150];
    int count = 0;

    for (int i = 0; i < 150; i++) {
        if ((i % 3 == 0) != third) continue;
        int at = count++;
        const double similarity = similarity_by(metric, query, vectors[i]);
        for (; at > 0 && similarity > best[at - 1]; at--) best[at] = best[at - 1];
        best[at] = similarity;
    }
    cairn_reasoning *reasoning =
        RETRIEVE(fixture, .vector = query, .k = 20, .domain = third ? "third" : "others", .metric = metric);
    assert_int_equal(cairn_reasoning_count(reasoning), 20);
    for (size_t i = 0; i < 20; i++) {
        const cairn_memory *memory = cairn_reasoning_at(reasoning, i);
        const double expected = similarity_by(metric, query, vectors[strtol(memory->pattern->id, NULL, 10)]);
        assert_float_equal(memory->similarity, expected, 1e-4);
        assert_float_equal(memory->similarity, best[i], 1e-4); /* ages and confidences are equal */
    }
    cairn_reasoning_free(reasoning);
}

/* In a scope of few rows, which are read one by one, and in one of many. */
static void check_metrics(struct fixture *fixture)
{
    struct crn_rng rng = test_rng();
    static float vectors[150][DIM];
    float query[DIM];

    random_vector(&rng, query);
    for (int i = 0; i < 150; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        random_vector(&rng, vectors[i]);
        for (uint32_t d = 0; d < DIM; d++) vectors[i][d] *= (float)(1 + i % 7);
        PUT(fixture, .id = id, .domain = i % 3 == 0 ? "third" : "others", .vector = vectors[i],
            .created_at_ms = NOW);
    }
    for (cairn_metric metric = CAIRN_METRIC_COSINE; metric <= CAIRN_METRIC_MANHATTAN; metric++) {
        check_metric(fixture, metric, query, vectors, true);
        check_metric(fixture, metric, query, vectors, false);
    }
}

static void test_metrics_of_cosine_space(void **state)
{
    check_metrics(*state);
}

static void test_metrics_of_l2_space(void **state)
{
    struct fixture *fixture = *state;
    const float zero[DIM] = {0};

    cairn_collection_close(fixture->collection);
    ok(cairn_collection_drop(fixture->database.db, "c", err));
    open_collection(fixture, CAIRN_METRIC_L2);
    check_metrics(fixture);

    /* A zero vector has no direction: as a row it is like nothing, as a query it is refused. */
    PUT(fixture, .id = "zero", .domain = "z", .vector = zero, .created_at_ms = NOW);
    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = first_axis, .domain = "z",
                                          .metric = CAIRN_METRIC_COSINE, .use_mmr = true);
    assert_float_equal(cairn_reasoning_at(reasoning, 0)->similarity, 0, 1e-6);
    cairn_reasoning_free(reasoning);
    const cairn_retrieve_options options = {
        .size = sizeof options, .vector = zero, .metric = CAIRN_METRIC_COSINE};
    refused(CAIRN_ZERO_VECTOR, "cosine", cairn_retrieve(fixture->collection, &options, &reasoning, err));
}

/* ---- expiry, use ---- */

static void test_expiry(void **state)
{
    struct fixture *fixture = *state;
    const int64_t now = crn_clock_ms();
    float vector[DIM];

    for (int i = 0; i < 300; i++) { /* the nearest 290 will have expired by then */
        at_angle(0.001 * i, 1, vector);
        PUT(fixture, .vector = vector, .expires_at_ms = i < 290 ? now + DAY_MS : 0);
    }
    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = first_axis, .k = 10, .now_ms = now + 2 * DAY_MS);
    assert_int_equal(cairn_reasoning_count(reasoning), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(cairn_reasoning_at(reasoning, i)->pattern->expires_at_ms, 0);
    cairn_reasoning_free(reasoning);
}

static int64_t usage_of(struct fixture *fixture, const char *id)
{
    const cairn_id wanted = {.text = id};
    cairn_patterns *patterns;

    ok(cairn_get(fixture->collection, &wanted, 1, false, &patterns, err));
    const int64_t usage = cairn_patterns_at(patterns, 0)->usage_count;
    cairn_patterns_free(patterns);
    return usage;
}

static void test_touch(void **state)
{
    struct fixture *fixture = *state;
    float far[DIM];

    at_angle(1, 1, far);
    PUT(fixture, .id = "near", .vector = first_axis, .usage_count = 5);
    PUT(fixture, .id = "far", .vector = far);
    for (int i = 0; i < 3; i++) cairn_reasoning_free(RETRIEVE(fixture, .vector = first_axis, .k = 1));
    cairn_reasoning_free(RETRIEVE(fixture, .vector = first_axis, .k = 2, .no_touch = true));
    cairn_collection_close(fixture->collection); /* what has gathered is written */
    database_reopen(&fixture->database, &lazy);
    open_collection(fixture, CAIRN_METRIC_COSINE);
    assert_int_equal(usage_of(fixture, "near"), 8);
    assert_int_equal(usage_of(fixture, "far"), 0);
}

/* ---- text ---- */

static cairn_status embed(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                          cairn_error *err)
{
    (void)ctx;
    (void)err;
    for (size_t i = 0; i < count; i++) at_angle((double)strlen(texts[i]) / 10, 1, out_vectors + i * DIM);
    return CAIRN_OK;
}

static void test_text(void **state)
{
    struct fixture *fixture = *state;
    const cairn_embedder embedder = {.size = sizeof embedder, .model = "length", .dim = DIM, .embed = embed};
    const cairn_retrieve_options options = {.size = sizeof options, .text = "xxxx", .k = 1};
    cairn_reasoning *reasoning;

    refused(CAIRN_INVALID_ARGUMENT, "embedder",
            cairn_retrieve(fixture->collection, &options, &reasoning, err));
    ok(cairn_collection_attach(fixture->collection, &embedder, err));
    PUT(fixture, .id = "4", .text = "abcd");
    PUT(fixture, .id = "9", .text = "abcdefghi");
    for (cairn_metric metric = CAIRN_METRIC_DEFAULT; metric <= CAIRN_METRIC_MANHATTAN; metric++) {
        reasoning = RETRIEVE(fixture, .text = "xxxx", .k = 1, .metric = metric);
        assert_string_equal(id_at(reasoning, 0), "4");
        cairn_reasoning_free(reasoning);
    }
    ok(cairn_collection_attach(fixture->collection, NULL, err));
}

/* ---- errors ---- */

static void test_errors(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *c = fixture->collection;
    const float infinite[DIM] = {INFINITY}, zero[DIM] = {0};
    cairn_reasoning *r;

#define OPTIONS(...) CAIRN_OPTIONS(cairn_retrieve_options, __VA_ARGS__)
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_retrieve(NULL, OPTIONS(.vector = first_axis), &r, err));
    refused(CAIRN_INVALID_OPTION, "size",
            cairn_retrieve(c, &(cairn_retrieve_options){.vector = first_axis}, &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "neither", cairn_retrieve(c, OPTIONS(.k = 1), &r, err));
    refused(CAIRN_DIM_MISMATCH, "9", cairn_retrieve(c, OPTIONS(.vector = first_axis, .dim = 9), &r, err));
    refused(CAIRN_INVALID_VECTOR, "", cairn_retrieve(c, OPTIONS(.vector = infinite), &r, err));
    refused(CAIRN_ZERO_VECTOR, "", cairn_retrieve(c, OPTIONS(.vector = zero), &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "k is",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .k = CAIRN_K_MAX + 1), &r, err));
    refused(CAIRN_LIMIT, "5000",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .k = 5000, .use_mmr = true), &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "mmr_lambda",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .use_mmr = true, .mmr_lambda = 1.5), &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "metadata_weight",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .metadata_weight = -1), &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "vector_weight",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .vector_weight = NAN), &r, err));
    refused(CAIRN_INVALID_OPTION, "metric",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .metric = (cairn_metric)9), &r, err));
    refused(CAIRN_INVALID_FILTER, "$x",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .filter = "{\"a\":{\"$x\":1}}"), &r, err));
    refused(CAIRN_INVALID_ARGUMENT, "min_confidence",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .min_confidence = 2), &r, err));
    refused(CAIRN_INVALID_UTF8, "domain",
            cairn_retrieve(c, OPTIONS(.vector = first_axis, .domain = "\xff"), &r, err));
    assert_null(r);
#undef OPTIONS

    const cairn_space_options sparse = {.size = sizeof sparse, .kind = CAIRN_SPACE_SPARSE};
    ok(cairn_collection_create(fixture->database.db, "sparse",
                               CAIRN_OPTIONS(cairn_collection_options, .spaces = &sparse, .space_count = 1),
                               err));
    ok(cairn_collection_open(fixture->database.db, "sparse", NULL, &c, err));
    refused(CAIRN_UNSUPPORTED, "dense",
            cairn_retrieve(c, CAIRN_OPTIONS(cairn_retrieve_options, .vector = first_axis), &r, err));
    cairn_collection_close(c);
}

/* Each allocation fails in turn: NO_MEMORY and nothing left behind, or the whole answer. */
static void test_no_memory(void **state)
{
    struct fixture *fixture = *state;
    const cairn_retrieve_options options = {.size = sizeof options,
                                            .vector = first_axis,
                                            .filter = "{\"a\":1}",
                                            .metric = CAIRN_METRIC_L2,
                                            .metadata_weight = 1,
                                            .use_mmr = true,
                                            .mmr_lambda = 0.5,
                                            .synthesize_context = true,
                                            .no_touch = true,
                                            .now_ms = NOW};
    uint64_t nth = 1;
    bool reached;

    for (int i = 0; i < 3; i++) {
        float vector[DIM];
        at_angle(0.1 * i, 1, vector);
        PUT(fixture, .vector = vector, .text = "some words", .payload = "{\"a\":1,\"b\":\"other words\"}");
    }
    do {
        cairn_reasoning *reasoning;
        cairn_error err;
        crn_mem_fail_at(nth++, false);
        const cairn_status status = cairn_retrieve(fixture->collection, &options, &reasoning, &err);
        reached = crn_mem_count() >= nth - 1;
        crn_mem_fail_at(0, false);
        assert_true(status == CAIRN_OK || status == CAIRN_NO_MEMORY);
        if (status == CAIRN_OK) {
            assert_int_equal(cairn_reasoning_count(reasoning), 3);
            assert_non_null(cairn_reasoning_context(reasoning));
        } else {
            assert_int_equal(err.status, CAIRN_NO_MEMORY);
            assert_null(reasoning);
        }
        cairn_reasoning_free(reasoning);
    } while (reached && nth < 1000);
    assert_true(nth > 30 && nth < 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_classic),
        TEST(test_age_and_confidence),
        TEST(test_hybrid),
        TEST(test_mmr_retrieve),
        TEST(test_metrics_of_cosine_space),
        TEST(test_metrics_of_l2_space),
        TEST(test_expiry),
        TEST(test_touch),
        TEST(test_text),
        TEST(test_errors),
        TEST(test_no_memory),
        cmocka_unit_test(test_mmr_pick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
