/* Merging near-duplicates and pruning what nobody uses. */
#include "tests/engine/database.h"

#include "base/mem.h"
#include "engine/memory_plan.h"

#include <math.h>

#define DIM 40u /* more than the dims that are looked at first */
#define DAY_MS 86400000LL
#define NOW 1800000000000LL

struct fixture {
    struct database database;
    cairn_collection *collection;
};

/* Nothing here cuts the power. */
static const cairn_open_options lazy = {.size = sizeof lazy, .durability = CAIRN_LAZY};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    database_create(&fixture->database, &lazy);
    ok(cairn_collection_open(fixture->database.db, "c", CAIRN_OPTIONS(cairn_collection_options, .dim = DIM),
                             &fixture->collection, err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    cairn_collection_close(fixture->collection);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

/* A vector at this angle to the first axis, in the plane of the first and the given one; its length is no
 * matter. */
static void at_angle(double degrees, uint32_t axis, float out[DIM])
{
    memset(out, 0, DIM * sizeof *out);
    out[0] = (float)(3 * cos(degrees * M_PI / 180));
    out[axis] = (float)(3 * sin(degrees * M_PI / 180));
}

struct memory {
    const char *id, *domain, *agent, *type;
    double degrees;
    uint32_t axis;
    double confidence;
    int64_t usage, success;
    double age_days;
};

static void put(struct fixture *fixture, const struct memory *memory)
{
    float vector[DIM];

    at_angle(memory->degrees, memory->axis > 0 ? memory->axis : 1, vector);
    ok(cairn_upsert(fixture->collection,
                    CAIRN_OPTIONS(cairn_pattern, .id = memory->id, .domain = memory->domain,
                                  .agent = memory->agent, .type = memory->type, .vector = vector,
                                  .confidence = memory->confidence, .usage_count = memory->usage,
                                  .success_count = memory->success, .last_used_ms = memory->usage,
                                  .created_at_ms = NOW - (int64_t)(memory->age_days * DAY_MS)),
                    1, err));
}
#define PUT(fixture, ...) put(fixture, &(struct memory){__VA_ARGS__})

static bool is_there(struct fixture *fixture, const char *id, cairn_pattern *out_pattern)
{
    const cairn_id wanted = {.text = id};
    cairn_patterns *patterns;

    ok(cairn_get(fixture->collection, &wanted, 1, false, &patterns, err));
    const bool found = cairn_patterns_at(patterns, 0)->id != NULL;
    if (out_pattern != NULL) *out_pattern = *cairn_patterns_at(patterns, 0); /* numbers only: its texts go */
    cairn_patterns_free(patterns);
    return found;
}

static uint64_t count(struct fixture *fixture)
{
    uint64_t rows;

    ok(cairn_count(fixture->collection, NULL, &rows, err));
    return rows;
}

static cairn_memory_report optimize(struct fixture *fixture, cairn_memory_options options)
{
    cairn_memory_report report;

    options.size = sizeof options;
    options.now_ms = NOW;
    ok(cairn_memory_optimize(fixture->collection, &options, &report, err));
    return report;
}

/* ---- merging ---- */

static void test_merge(void **state)
{
    struct fixture *fixture = *state;
    cairn_pattern survivor;

    PUT(fixture, "low", .degrees = 0, .confidence = 0.5, .usage = 7, .success = 3);
    PUT(fixture, "top", .degrees = 5, .confidence = 0.9, .usage = 2, .success = 1);
    PUT(fixture, "mid", .degrees = 10, .confidence = 0.7, .usage = 1, .success = 1);
    PUT(fixture, "far", .degrees = 60, .confidence = 0.7, .usage = 1);
    const cairn_memory_report report = optimize(fixture, (cairn_memory_options){0});
    assert_int_equal(report.patterns_before, 4);
    assert_int_equal(report.patterns_consolidated, 2);
    assert_int_equal(report.patterns_pruned, 0);
    assert_true(report.space_saved_bytes >= (int64_t)(2 * DIM * sizeof(float)));
    assert_true(report.search_before_ms > 0 && report.search_after_ms > 0);
    assert_int_equal(count(fixture), 2);
    assert_true(is_there(fixture, "top", &survivor));
    assert_int_equal(survivor.usage_count, 10);
    assert_int_equal(survivor.success_count, 5);
    assert_int_equal(survivor.last_used_ms, 7);
    assert_int_equal(survivor.version, 2);
    assert_true(is_there(fixture, "far", NULL));

    const cairn_memory_report again = optimize(fixture, (cairn_memory_options){0});
    assert_int_equal(again.patterns_consolidated, 0);
    assert_int_equal(again.space_saved_bytes, 0);
    assert_true(again.search_before_ms == 0 && again.search_after_ms == 0);
    database_verify_clean(&fixture->database);
}

/* a is near b and b near c, but a is not near c: c stays. */
static void test_no_chains(void **state)
{
    struct fixture *fixture = *state;

    PUT(fixture, "a", .degrees = 0, .confidence = 0.9);
    PUT(fixture, "b", .degrees = 15, .confidence = 0.8);
    PUT(fixture, "c", .degrees = 30, .confidence = 0.7);
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, 1);
    assert_true(is_there(fixture, "a", NULL));
    assert_false(is_there(fixture, "b", NULL));
    assert_true(is_there(fixture, "c", NULL));
}

static void test_survivors(void **state)
{
    struct fixture *fixture = *state;

    PUT(fixture, "used-less", "use", .confidence = 0.5, .usage = 3, .age_days = 9);
    PUT(fixture, "used-more", "use", .confidence = 0.5, .usage = 4, .age_days = 1);
    PUT(fixture, "younger", "age", .confidence = 0.5, .usage = 3, .age_days = 1);
    PUT(fixture, "older", "age", .confidence = 0.5, .usage = 3, .age_days = 2);
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, 2);
    assert_true(is_there(fixture, "used-more", NULL));
    assert_true(is_there(fixture, "older", NULL));
}

static void test_only_of_one_kind(void **state)
{
    struct fixture *fixture = *state;

    PUT(fixture, "1", "d", "a", "t", .confidence = 0.5);
    PUT(fixture, "2", "x", "a", "t", .confidence = 0.5);
    PUT(fixture, "3", "d", "x", "t", .confidence = 0.5);
    PUT(fixture, "4", "d", "a", "x", .confidence = 0.5);
    PUT(fixture, "5", "da", "", "t", .confidence = 0.5);
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, 0);
    PUT(fixture, "6", "d", "a", "t", .confidence = 0.5);
    PUT(fixture, "7", "x", "a", "t", .confidence = 0.5);
    assert_int_equal(optimize(fixture, (cairn_memory_options){.domain = "d"}).patterns_consolidated, 1);
    assert_int_equal(optimize(fixture, (cairn_memory_options){.merge_similarity = 1.1}).patterns_consolidated,
                     0);
    assert_int_equal(optimize(fixture, (cairn_memory_options){.merge_similarity = 1}).patterns_consolidated,
                     1);
    assert_int_equal(count(fixture), 5);
}

/* Every pair by definition, against what was planned. */
static void test_merge_random(void **state)
{
    struct fixture *fixture = *state;
    struct crn_rng rng = test_rng();
    static float vectors[300][DIM];
    bool gone[300] = {false};
    uint64_t expected = 0;

    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        const float *like = i > 20 ? vectors[crn_rng_below(&rng, 20)] : NULL;
        for (uint32_t d = 0; d < DIM; d++) {
            vectors[i][d] =
                (float)crn_rng_normal(&rng) * (like != NULL ? 0.33f : 1) + (like != NULL ? like[d] : 0);
        }
        ok(cairn_upsert(
            fixture->collection, /* the confidence makes the order that of i */
            CAIRN_OPTIONS(cairn_pattern, .id = id, .vector = vectors[i], .confidence = 1 - i * 0.001), 1,
            err));
    }
    for (int i = 0; i < 300; i++) {
        for (int j = i + 1; j < 300 && !gone[i]; j++) {
            double ij = 0, ii = 0, jj = 0;
            for (uint32_t d = 0; d < DIM; d++) {
                ij += (double)vectors[i][d] * (double)vectors[j][d];
                ii += (double)vectors[i][d] * (double)vectors[i][d];
                jj += (double)vectors[j][d] * (double)vectors[j][d];
            }
            if (gone[j] || ij / sqrt(ii * jj) < 0.95) continue;
            gone[j] = true;
            expected++;
        }
    }
    assert_true(expected > 20 && expected < 280);
    assert_int_equal(optimize(fixture, (cairn_memory_options){.dry_run = true}).patterns_consolidated,
                     expected);
    assert_int_equal(count(fixture), 300);
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, expected);
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(is_there(fixture, id, NULL), !gone[i]);
    }
}

/* Rows without a vector are near nothing, and counts stop at the largest number. */
static void test_merge_edges(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *plain = fixture->collection;
    cairn_pattern survivor;

    PUT(fixture, "a", .confidence = 0.9, .usage = INT64_MAX - 1);
    PUT(fixture, "b", .confidence = 0.8, .usage = 5);
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, 1);
    assert_true(is_there(fixture, "a", &survivor));
    assert_true(survivor.usage_count == INT64_MAX);

    ok(cairn_collection_open(fixture->database.db, "texts",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .lexical = true),
                             &fixture->collection, err));
    for (int i = 0; i < 3; i++) {
        ok(cairn_upsert(fixture->collection, CAIRN_OPTIONS(cairn_pattern, .text = "same"), 1, err));
    }
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_consolidated, 0);
    assert_int_equal(count(fixture), 3);
    cairn_collection_close(fixture->collection);
    fixture->collection = plain;
}

/* Each allocation fails in turn, and either nothing happens or all of it. */
static void test_no_memory(void **state)
{
    struct fixture *fixture = *state;
    uint64_t nth = 1;
    bool reached;

    do {
        cairn_memory_report report;
        cairn_error err;

        PUT(fixture, "kept", .confidence = 0.9);
        PUT(fixture, "merged", .confidence = 0.8);
        PUT(fixture, "pruned", "p", .confidence = 0.1, .age_days = 90);
        crn_mem_fail_at(nth++, false);
        const cairn_status status = cairn_memory_optimize(
            fixture->collection, CAIRN_OPTIONS(cairn_memory_options, .now_ms = NOW), &report, &err);
        reached = crn_mem_count() >= nth - 1;
        crn_mem_fail_at(0, false);
        assert_true(status == CAIRN_OK || status == CAIRN_NO_MEMORY);
        const bool merged = !is_there(fixture, "merged", NULL), pruned = !is_there(fixture, "pruned", NULL);
        assert_true(is_there(fixture, "kept", NULL));
        assert_int_equal(merged, pruned);
        if (status == CAIRN_OK) assert_true(merged && report.patterns_consolidated == 1);
    } while (reached && nth < 1000);
    assert_true(nth > 20 && nth < 1000);
}

/* ---- pruning ---- */

static void test_prune(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 8; i++) {
        const bool low = i & 1, unused = i & 2, old = i & 4;
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        PUT(fixture, id, .degrees = 90, .axis = (uint32_t)(2 + i), .confidence = low ? 0.29 : 0.3,
            .usage = unused ? 1 : 2, .age_days = old ? 30.1 : 29.9);
    }
    assert_int_equal(optimize(fixture, (cairn_memory_options){.no_prune = true}).patterns_pruned, 0);
    const cairn_memory_report planned = optimize(fixture, (cairn_memory_options){.dry_run = true});
    assert_int_equal(planned.patterns_pruned, 1);
    assert_true(is_there(fixture, "7", NULL));
    const cairn_memory_report report = optimize(fixture, (cairn_memory_options){0});
    assert_int_equal(report.patterns_pruned, 1);
    assert_int_equal(report.space_saved_bytes, planned.space_saved_bytes);
    assert_false(is_there(fixture, "7", NULL));
    assert_int_equal(count(fixture), 7);
    assert_int_equal(
        optimize(fixture, (cairn_memory_options){.min_confidence = 0.31, .min_usage = 3, .max_age_days = 1})
            .patterns_pruned,
        7);
}

/* A duplicate that is young keeps the pair; two that are both to go are pruned, not merged. */
static void test_prune_merged(void **state)
{
    struct fixture *fixture = *state;

    PUT(fixture, "old", "a", .confidence = 0.2, .age_days = 90);
    PUT(fixture, "young", "a", .confidence = 0.1, .age_days = 1);
    PUT(fixture, "old1", "b", .confidence = 0.2, .age_days = 90);
    PUT(fixture, "old2", "b", .confidence = 0.1, .age_days = 90);
    PUT(fixture, "used1", "c", .confidence = 0.2, .usage = 1, .age_days = 90);
    PUT(fixture, "used2", "c", .confidence = 0.1, .usage = 1, .age_days = 90);
    const cairn_memory_report report = optimize(fixture, (cairn_memory_options){0});
    assert_int_equal(report.patterns_consolidated, 2);
    assert_int_equal(report.patterns_pruned, 2);
    assert_true(is_there(fixture, "old", NULL));
    assert_true(is_there(fixture, "used1", NULL));
    assert_int_equal(count(fixture), 2);
}

/* Uses that are still in memory count before anything is pruned. */
static void test_prune_sees_use(void **state)
{
    struct fixture *fixture = *state;
    cairn_reasoning *reasoning;
    float vector[DIM];

    PUT(fixture, "x", .confidence = 0.1, .age_days = 90);
    at_angle(0, 1, vector);
    for (int i = 0; i < 2; i++) {
        ok(cairn_retrieve(fixture->collection, CAIRN_OPTIONS(cairn_retrieve_options, .vector = vector),
                          &reasoning, err));
        cairn_reasoning_free(reasoning);
    }
    assert_int_equal(optimize(fixture, (cairn_memory_options){0}).patterns_pruned, 0);

    ok(cairn_retrieve(
        fixture->collection,
        CAIRN_OPTIONS(cairn_retrieve_options, .vector = vector, .optimize_memory = true, .now_ms = NOW),
        &reasoning, err));
    assert_int_equal(cairn_reasoning_report(reasoning)->patterns_before, 1);
    cairn_reasoning_free(reasoning);
}

/* Between plan and transaction others write: what they touched stays. */
static void test_changed_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    const struct crn_plan_limits limits = {.merge_similarity = 0.95,
                                           .min_confidence = 0.3,
                                           .min_usage = 2,
                                           .oldest_ms = NOW - 30 * DAY_MS,
                                           .now_ms = NOW};
    const struct crn_catalog *catalog;
    struct crn_plan_done done;
    struct crn_reader *reader;
    struct crn_plan plan;

    PUT(fixture, "a1", "a", .confidence = 0.9);
    PUT(fixture, "a2", "a", .confidence = 0.8);
    PUT(fixture, "a3", "a", .confidence = 0.7);
    PUT(fixture, "b1", "b", .confidence = 0.9);
    PUT(fixture, "b2", "b", .confidence = 0.8);
    PUT(fixture, "c", "c", .confidence = 0.1, .age_days = 90);
    PUT(fixture, "d", "d", .confidence = 0.1, .age_days = 90);
    ok(crn_collection_read(fixture->collection, &reader, &catalog, err));
    ok(crn_plan_make(&plan, reader, catalog, &limits, err));
    crn_store_read_end(reader);
    assert_int_equal(plan.merge_count, 3);
    assert_int_equal(plan.pruned_count, 2);

    ok(cairn_update(fixture->collection, CAIRN_OPTIONS(cairn_pattern, .id = "a2", .text = "changed"), 1,
                    err));
    ok(cairn_delete(fixture->collection, &(cairn_id){.text = "b1"}, 1, NULL, err));
    ok(cairn_update(fixture->collection, CAIRN_OPTIONS(cairn_pattern, .id = "d", .text = "changed"), 1, err));
    ok(crn_plan_apply(&plan, fixture->collection, &limits, &done, err));
    crn_plan_release(&plan);
    assert_int_equal(done.merged, 1); /* a3 */
    assert_int_equal(done.pruned, 1); /* c */
    assert_true(is_there(fixture, "a1", NULL) && is_there(fixture, "a2", NULL) &&
                is_there(fixture, "b2", NULL));
    assert_true(is_there(fixture, "d", NULL));
    assert_int_equal(count(fixture), 4);
}

static void test_optimize_errors(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *c = fixture->collection;

#define OPTIONS(...) CAIRN_OPTIONS(cairn_memory_options, __VA_ARGS__)
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_memory_optimize(NULL, NULL, NULL, err));
    refused(CAIRN_INVALID_OPTION, "size", cairn_memory_optimize(c, &(cairn_memory_options){0}, NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "-1",
            cairn_memory_optimize(c, OPTIONS(.merge_similarity = -1), NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "2", cairn_memory_optimize(c, OPTIONS(.min_confidence = 2), NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "min_usage",
            cairn_memory_optimize(c, OPTIONS(.min_usage = -1), NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "max_age_days",
            cairn_memory_optimize(c, OPTIONS(.max_age_days = NAN), NULL, err));
#undef OPTIONS
    ok(cairn_memory_optimize(c, NULL, NULL, err)); /* nothing there, nothing asked */

    cairn_collection_close(c);
    database_reopen(&fixture->database, CAIRN_OPTIONS(cairn_open_options, .read_only = true));
    ok(cairn_collection_open(fixture->database.db, "c", NULL, &fixture->collection, err));
    refused(CAIRN_READ_ONLY, "read-only", cairn_memory_optimize(fixture->collection, NULL, NULL, err));
    ok(cairn_memory_optimize(fixture->collection, CAIRN_OPTIONS(cairn_memory_options, .dry_run = true), NULL,
                             err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_merge),
        TEST(test_no_chains),
        TEST(test_survivors),
        TEST(test_only_of_one_kind),
        TEST(test_merge_random),
        TEST(test_prune),
        TEST(test_prune_merged),
        TEST(test_prune_sees_use),
        TEST(test_changed_meanwhile),
        TEST(test_optimize_errors),
        TEST(test_merge_edges),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
