/* A collection with the gpu index, on a simulated device (gpu/simulate/), through the public API; and with no device. */
#include "engine/card.h"
#include "gpu/simulate/driver_simulated.h"
#include "tests/engine/database.h"

#define COUNT 900
#define DIM 24

static void collections_use_it(void **state)
{
    struct crn_rng rng = test_rng();
    float *vectors = malloc((size_t)COUNT * DIM * sizeof *vectors);
    const cairn_open_options options = {
        .size = sizeof options, .no_background = true, .tail_rows_max = 100000, .durability = CAIRN_LAZY};
    const cairn_collection_options kind = {
        .size = sizeof kind, .dim = DIM, .metric = CAIRN_METRIC_COSINE, .index = "gpu:f16"};
    cairn_pattern *patterns = calloc(COUNT, sizeof *patterns);
    struct database database;
    cairn_collection *collection;
    char *json;

    (void)state;
    crn_gpu_simulated_reset();
    crn_card_use(crn_gpu_driver_simulated());
    for (size_t i = 0; i < (size_t)COUNT * DIM; i++) vectors[i] = (float)crn_rng_normal(&rng);
    for (uint64_t i = 0; i < COUNT; i++) {
        patterns[i] = (cairn_pattern){
            .size = sizeof *patterns, .id_type = CAIRN_ID_U64, .id_u64 = i, .vector = vectors + i * DIM};
    }
    database_create(&database, &options);
    ok(cairn_collection_open(database.db, "notes", &kind, &collection, err));
    ok(cairn_upsert(collection, patterns, COUNT, err));
    ok(cairn_optimize(collection, NULL, NULL, err));
    for (uint64_t i = 0; i < COUNT; i += 180) {
        cairn_results *results;
        cairn_search_info info = {.size = sizeof info};
        ok(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = vectors + i * DIM, .k = 3), &results,
                        err));
        assert_int_equal(cairn_results_at(results, 0)->id.u64, i);
        cairn_results_info(results, &info);
        assert_string_equal(info.plan, "index");
        cairn_results_free(results);
    }
    ok(cairn_stats(database.db, &json, err));
    assert_non_null(strstr(
        json, "\"driver\":\"simulated\",\"devices\":2,\"device\":\"simulated\",\"why\":null,\"indexes\":1"));
    assert_non_null(strstr(json, "\"searches\":5,\"fallbacks\":0"));
    cairn_free(json);
    cairn_collection_close(collection);
    database_remove(&database);
    free(patterns);
    free(vectors);
    crn_card_use(NULL); /* closes the device, which checks that all of its memory was freed */
}

/* The index is listed and of no use: a scan answers, and the log and the statistics say why. */
static void without_a_device_a_scan_answers(void **state)
{
    const cairn_open_options options = {
        .size = sizeof options, .no_background = true, .tail_rows_max = 100000, .durability = CAIRN_LAZY};
    const cairn_collection_options kind = {
        .size = sizeof kind, .dim = 2, .metric = CAIRN_METRIC_L2, .index = "gpu"};
    cairn_pattern patterns[300];
    float vectors[300][2];
    struct database database;
    cairn_collection *collection;
    cairn_results *results;
    char *json;

    (void)state;
    crn_gpu_simulated_reset();
    crn_gpu_simulated()->devices = 0;
    crn_card_use(crn_gpu_driver_simulated());
    for (uint64_t i = 0; i < 300; i++) {
        vectors[i][0] = (float)i;
        vectors[i][1] = 1;
        patterns[i] = (cairn_pattern){
            .size = sizeof *patterns, .id_type = CAIRN_ID_U64, .id_u64 = i, .vector = vectors[i]};
    }
    database_create(&database, &options);
    ok(cairn_collection_open(database.db, "notes", &kind, &collection, err));
    ok(cairn_upsert(collection, patterns, 300, err));
    ok(cairn_optimize(collection, NULL, NULL, err));
    for (int i = 0; i < 60; i++) { /* an index is opened once scans have cost as much as opening it would */
        ok(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = vectors[77], .k = 1), &results,
                        err));
        assert_int_equal(cairn_results_at(results, 0)->id.u64, 77);
        cairn_results_free(results);
    }
    assert_non_null(strstr(
        database.log, "index gpu: 300 rows are searched by the processor: no GPU: the simulation has none"));
    ok(cairn_stats(database.db, &json, err));
    assert_non_null(strstr(
        json, "\"devices\":0,\"device\":null,\"why\":\"no GPU: the simulation has none\",\"indexes\":0"));
    cairn_free(json);
    cairn_collection_close(collection);
    database_remove(&database);
    crn_gpu_simulated_reset();
    crn_card_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections_use_it),
        cmocka_unit_test(without_a_device_a_scan_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
