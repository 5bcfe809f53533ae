/*
 * The query's device, on a simulated GPU (gpu/simulate/): a collection of any kind is searched there when a query asks for it, by the
 * processor when it cannot be, and when the query leaves it open where it was measured quicker.
 */
#include "engine/card.h"
#include "engine/segment_card.h"
#include "gpu/simulate/driver_simulated.h"
#include "tests/engine/database.h"

#include <pthread.h>

#define COUNT 700
#define DIM 16
#define K 5

struct fixture {
    struct database database;
    cairn_collection *collection;
    float *vectors;
};

static void open_collection(struct fixture *fixture, const char *index, cairn_metric metric)
{
    struct crn_rng rng = test_rng();
    const cairn_open_options options = {
        .size = sizeof options, .no_background = true, .tail_rows_max = 100000, .durability = CAIRN_LAZY};
    const cairn_collection_options kind = {.size = sizeof kind, .dim = DIM, .metric = metric, .index = index};
    cairn_pattern *patterns = calloc(COUNT, sizeof *patterns);

    crn_gpu_simulated_reset();
    crn_card_use(crn_gpu_driver_simulated());
    fixture->vectors = malloc((size_t)COUNT * DIM * sizeof *fixture->vectors);
    for (size_t i = 0; i < (size_t)COUNT * DIM; i++) fixture->vectors[i] = (float)crn_rng_normal(&rng);
    for (uint64_t i = 0; i < COUNT; i++) {
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .id_type = CAIRN_ID_U64,
                                      .id_u64 = i,
                                      .vector = fixture->vectors + i * DIM,
                                      .domain = i % 3 == 0 ? "third" : "other"};
    }
    database_create(&fixture->database, &options);
    ok(cairn_collection_open(fixture->database.db, "notes", &kind, &fixture->collection, err));
    ok(cairn_upsert(fixture->collection, patterns, COUNT, err));
    ok(cairn_optimize(fixture->collection, NULL, NULL, err));
    free(patterns);
}

static void close_collection(struct fixture *fixture)
{
    cairn_collection_close(fixture->collection);
    database_remove(&fixture->database);
    free(fixture->vectors);
    crn_gpu_simulated_reset();
    crn_card_use(NULL); /* closes the device, which checks that all of its memory was freed */
}

static cairn_query query_of(const struct fixture *fixture, uint64_t row, cairn_device device)
{
    return (cairn_query){
        .size = sizeof(cairn_query), .vector = fixture->vectors + row * DIM, .k = K, .device = device};
}

/* What answered; the hits are those of an exact search by the processor. */
static cairn_search_info search(const struct fixture *fixture, cairn_query query)
{
    cairn_query plain = query;
    cairn_results *results, *expected;
    cairn_search_info info = {.size = sizeof info};

    plain.exact = true;
    plain.device = CAIRN_DEVICE_CPU;
    ok(cairn_search(fixture->collection, &query, &results, err));
    ok(cairn_search(fixture->collection, &plain, &expected, err));
    assert_int_equal(cairn_results_count(results), cairn_results_count(expected));
    for (size_t i = 0; i < cairn_results_count(results); i++)
        assert_int_equal(cairn_results_at(results, i)->id.u64, cairn_results_at(expected, i)->id.u64);
    cairn_results_info(expected, &info);
    assert_string_equal(info.device, "cpu");
    cairn_results_info(results, &info);
    cairn_results_free(results);
    cairn_results_free(expected);
    return info;
}

static void any_collection_is_searched_on_the_gpu_that_is_asked_for(void **state)
{
    static const char *const kinds[] = {"flat", "graph", "faiss:IVF4,Flat", "gpu:f16"};
    static const cairn_metric metrics[] = {CAIRN_METRIC_COSINE, CAIRN_METRIC_L2, CAIRN_METRIC_DOT};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct fixture fixture;
        open_collection(&fixture, kinds[i], metrics[i % 3]);
        cairn_query query = query_of(&fixture, 17, CAIRN_DEVICE_GPU);
        cairn_search_info info = search(&fixture, query);
        assert_string_equal(info.device, "gpu");
        assert_string_equal(info.plan, i == 3 ? "index" : "flat");
        query.domain = "third";
        info = search(&fixture, query);
        assert_string_equal(info.device, "gpu");
        assert_int_equal(info.rows_matched, (COUNT + 2) / 3);
        query.exact = true; /* at full precision */
        assert_string_equal(search(&fixture, query).device, "gpu");
        query.k = 2048; /* more than match */
        assert_string_equal(search(&fixture, query).device, "gpu");
        /* Rows that came later are in the tail. */
        ok(cairn_upsert(fixture.collection,
                        CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = 5000,
                                      .vector = fixture.vectors + 17 * DIM),
                        1, err));
        ok(cairn_delete(fixture.collection, &(cairn_id){CAIRN_ID_U64, NULL, 17}, 1, NULL, err));
        info = search(&fixture, query_of(&fixture, 17, CAIRN_DEVICE_GPU));
        assert_string_equal(info.device, "gpu");
        assert_int_equal(info.rows, COUNT);
        assert_string_equal(fixture.database.log, "");
        close_collection(&fixture);
    }
}

static void the_processor_is_asked_for(void **state)
{
    struct fixture fixture;
    struct crn_card_state is;

    (void)state;
    open_collection(&fixture, "gpu:f16", CAIRN_METRIC_L2);
    assert_string_equal(search(&fixture, query_of(&fixture, 3, CAIRN_DEVICE_GPU)).device, "gpu");
    crn_card_get_state(&is);
    const uint64_t before = is.searches;
    const cairn_search_info info = search(&fixture, query_of(&fixture, 3, CAIRN_DEVICE_CPU));
    assert_string_equal(info.device, "cpu");
    assert_string_equal(info.plan, "flat");
    crn_card_get_state(&is);
    assert_int_equal(is.searches, before);
    close_collection(&fixture);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) count++;
    return count;
}

/* What cannot be had: the collection's own way answers, the results say so, and the log says why, once. */
static void what_cannot_be_had_is_told_once(void **state)
{
    static const struct {
        cairn_metric metric;
        unsigned devices;
        size_t memory_bytes;
        unsigned long fail_at;
        const char *why;
    } cases[] = {
        {CAIRN_METRIC_L2, 0, 1 << 28, 0, "no GPU: the simulation has none"},
        {CAIRN_METRIC_L2, 1, 1000, 0, "do not fit"},
        {CAIRN_METRIC_MANHATTAN, 1, 1 << 28, 0, "manhattan"},
        {CAIRN_METRIC_L2, 1, 1 << 28, 1, "as it was told to"},
        {CAIRN_METRIC_L2, 1, 1 << 28, 9, "as it was told to"},
        {CAIRN_METRIC_L2, 1, 1 << 28, 30, "as it was told to"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture fixture;
        open_collection(&fixture, "flat", cases[i].metric);
        crn_gpu_simulated()->devices = cases[i].devices;
        crn_gpu_simulated()->memory_bytes = cases[i].memory_bytes;
        crn_gpu_simulated()->fail_at = cases[i].fail_at;
        for (uint64_t q = 0; q < 4; q++)
            assert_string_equal(search(&fixture, query_of(&fixture, q, CAIRN_DEVICE_GPU)).device, "cpu");
        assert_int_equal(count_of(fixture.database.log, cases[i].why), 1);
        close_collection(&fixture);
    }
}

static void k_beyond_the_card_is_searched_by_the_processor(void **state)
{
    struct fixture fixture;

    (void)state;
    open_collection(&fixture, "flat", CAIRN_METRIC_DOT);
    cairn_query query = query_of(&fixture, 3, CAIRN_DEVICE_GPU);
    query.k = 2049;
    assert_string_equal(search(&fixture, query).device, "gpu"); /* there are fewer rows */
    query.device = (cairn_device)3;
    cairn_results *results;
    refused(CAIRN_INVALID_OPTION, "3 is not a device",
            cairn_search(fixture.collection, &query, &results, err));
    close_collection(&fixture);
}

/* The planner: no device is opened on its account; once one is open, rows that were often compared are uploaded and a few searches
 * tried there. The simulation is slower than any processor, which is then asked again. */
static void the_planner_takes_the_quicker_one(void **state)
{
    struct fixture fixture;
    struct crn_card_state is;
    unsigned on_card = 0;

    (void)state;
    open_collection(&fixture, "flat", CAIRN_METRIC_COSINE);
    for (uint64_t i = 0; i < 2 * CRN_CARD_SCANS; i++)
        assert_string_equal(search(&fixture, query_of(&fixture, i, CAIRN_DEVICE_DEFAULT)).device, "cpu");
    crn_card_get_state(&is);
    assert_string_equal(is.info.name, "");
    struct crn_gpu *gpu;
    ok(crn_card_take(&gpu, err)); /* as a gpu index does */
    for (uint64_t i = 0; i < CRN_CARD_SCANS; i++)
        assert_string_equal(search(&fixture, query_of(&fixture, i, CAIRN_DEVICE_DEFAULT)).device, "cpu");
    for (uint64_t i = 0; i < 60; i++)
        on_card += strcmp(search(&fixture, query_of(&fixture, i, CAIRN_DEVICE_DEFAULT)).device, "gpu") == 0;
    assert_int_equal(on_card, CRN_CARD_TRIES);
    close_collection(&fixture);
}

/* Several threads at once, each with queries for every device; the first ones find the rows not uploaded yet. */
struct asker {
    const struct fixture *fixture;
    unsigned number;
    size_t wrong;
};

static void *ask(void *ctx)
{
    struct asker *asker = ctx;

    for (unsigned i = 0; i < 24; i++) {
        const uint64_t row = (asker->number * 100 + i) % COUNT;
        const cairn_query query = query_of(asker->fixture, row, (cairn_device)(i % 3));
        cairn_results *results;
        if (cairn_search(asker->fixture->collection, &query, &results, NULL) != CAIRN_OK) {
            asker->wrong++;
            continue;
        }
        asker->wrong += cairn_results_count(results) != K || cairn_results_at(results, 0)->id.u64 != row;
        cairn_results_free(results);
    }
    return NULL;
}

static void threads_ask_at_once(void **state)
{
    struct fixture fixture;
    struct asker askers[4];
    pthread_t threads[4];

    (void)state;
    open_collection(&fixture, "flat", CAIRN_METRIC_COSINE);
    for (unsigned i = 0; i < 4; i++) {
        askers[i] = (struct asker){.fixture = &fixture, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].wrong, 0);
    }
    struct crn_card_state is;
    crn_card_get_state(&is);
    assert_int_equal(is.indexes, 1);
    assert_int_equal(is.fallbacks, 0);
    close_collection(&fixture);
}

static void the_quicker_one_is_told_by_what_was_measured(void **state)
{
    struct crn_segment_card card = {.tries = CRN_CARD_TRIES, .row_ps = 50000, .search_ns = 100000};

    (void)state;
    assert_true(crn_segment_card_is_quicker(&card, 2001)); /* 100.05 us by the processor */
    assert_false(crn_segment_card_is_quicker(&card, 1999));
    card.tries--;
    assert_true(crn_segment_card_is_quicker(&card, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_collection_is_searched_on_the_gpu_that_is_asked_for),
        cmocka_unit_test(the_processor_is_asked_for),
        cmocka_unit_test(what_cannot_be_had_is_told_once),
        cmocka_unit_test(k_beyond_the_card_is_searched_by_the_processor),
        cmocka_unit_test(the_planner_takes_the_quicker_one),
        cmocka_unit_test(threads_ask_at_once),
        cmocka_unit_test(the_quicker_one_is_told_by_what_was_measured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
