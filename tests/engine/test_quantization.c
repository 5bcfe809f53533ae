/* Every codec under every metric, through the public API: recall against exact search, churn, damage,
 * rebuilding. */
#include "tests/engine/rows.h"

#include "engine/codec.h"
#include "engine/collection.h"

#include <dirent.h>
#include <math.h>

#define DIM 48
#define ROWS 3000
#define CLUSTERS 40
#define K 10
#define QUERIES 40
#define EXACT (-1.0) /* an oversampling */

struct fixture {
    struct database database;
    cairn_open_options options;
    cairn_collection_options settings;
    cairn_collection *notes;
    struct crn_rng rng;
    float centers[CLUSTERS][DIM];
    float vectors[ROWS][DIM]; /* by id; a deleted row's first number is NaN */
};

static void draw(struct fixture *fixture, float *out)
{
    const float *center = fixture->centers[crn_rng_below(&fixture->rng, CLUSTERS)];

    for (size_t i = 0; i < DIM; i++) out[i] = center[i] + 0.4f * (float)crn_rng_normal(&fixture->rng);
}

static void put_rows(struct fixture *fixture, uint64_t begin, size_t count)
{
    static cairn_pattern patterns[ROWS];

    memset(patterns, 0, count * sizeof *patterns);
    for (size_t i = 0; i < count; i++) {
        draw(fixture, fixture->vectors[begin + i]);
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .id_type = CAIRN_ID_U64,
                                      .id_u64 = begin + i,
                                      .domain = (begin + i) % 50 == 0 ? "few" : "many",
                                      .vector = fixture->vectors[begin + i]};
    }
    ok(cairn_upsert(fixture->notes, patterns, count, err));
}

static void open_notes(struct fixture *fixture)
{
    ok(cairn_collection_open(fixture->database.db, "notes", &fixture->settings, &fixture->notes, err));
}

static struct fixture *start(cairn_quantization quantization, cairn_metric metric)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->rng = test_rng();
    fixture->options = (cairn_open_options){.size = sizeof fixture->options,
                                            .no_background = true,
                                            .tail_rows_max = 100000,
                                            .durability = CAIRN_LAZY};
    fixture->settings = (cairn_collection_options){.size = sizeof fixture->settings,
                                                   .dim = DIM,
                                                   .metric = metric,
                                                   .quantization = quantization,
                                                   .index = "flat"};
    for (size_t c = 0; c < CLUSTERS; c++) {
        for (size_t i = 0; i < DIM; i++) fixture->centers[c][i] = (float)crn_rng_normal(&fixture->rng) + 0.3f;
    }
    database_create(&fixture->database, &fixture->options);
    open_notes(fixture);
    put_rows(fixture, 0, ROWS);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    return fixture;
}

static void finish(struct fixture *fixture)
{
    cairn_collection_close(fixture->notes);
    database_remove(&fixture->database);
    free(fixture);
}

static cairn_results *ask(struct fixture *fixture, const float *query, const char *domain,
                          double oversampling)
{
    cairn_results *results;

    ok(cairn_search(fixture->notes,
                    CAIRN_OPTIONS(cairn_query, .vector = query, .k = K, .domain = domain,
                                  .exact = oversampling == EXACT,
                                  .oversampling = oversampling == EXACT ? 0 : oversampling),
                    &results, err));
    return results;
}

/* The share of the exact answer that codes find. What they find has its exact distance. */
static double recall(struct fixture *fixture, const char *domain, double oversampling)
{
    size_t found = 0, all = 0;

    for (size_t q = 0; q < QUERIES; q++) {
        float query[DIM];

        draw(fixture, query);
        cairn_results *exact = ask(fixture, query, domain, EXACT);
        cairn_results *coded = ask(fixture, query, domain, oversampling);
        assert_int_equal(cairn_results_count(coded), cairn_results_count(exact));
        for (size_t i = 0; i < cairn_results_count(exact); i++, all++) {
            for (size_t j = 0; j < cairn_results_count(coded); j++) {
                const cairn_hit *want = cairn_results_at(exact, i), *got = cairn_results_at(coded, j);

                if (want->id.u64 != got->id.u64) continue;
                found++;
                assert_true(want->distance == got->distance);
            }
        }
        cairn_results_free(exact);
        cairn_results_free(coded);
    }
    assert_true(all > 0);
    return (double)found / (double)all;
}

static void expect_recall(struct fixture *fixture, double floor)
{
    const double all = recall(fixture, NULL, 0), few = recall(fixture, "few", 0),
                 bare = recall(fixture, NULL, 1);

    print_message("%s: recall@%d %.3f, filtered %.3f, without oversampling %.3f\n",
                  crn_quantization_name(fixture->settings.quantization), K, all, few, bare);
    assert_true(all >= floor);
    assert_true(few >= floor);
    assert_true(bare >= 0.2); /* 1 bit of each of 48 dimensions */
}

typedef void (*each_fn)(cairn_quantization quantization, cairn_metric metric);

static void for_each(each_fn fn, bool all_metrics)
{
    for (int q = CAIRN_QUANTIZATION_SCALAR; crn_quantization_name((cairn_quantization)q) != NULL; q++) {
        for (int m = CAIRN_METRIC_COSINE; m <= (all_metrics ? CAIRN_METRIC_MANHATTAN : CAIRN_METRIC_COSINE);
             m++) {
            if (m == CAIRN_METRIC_MANHATTAN && !crn_codec_of((cairn_quantization)q)->compares_l1) continue;
            fn((cairn_quantization)q, (cairn_metric)m);
        }
    }
}

static void codes_find(cairn_quantization quantization, cairn_metric metric)
{
    struct fixture *fixture = start(quantization, metric);

    expect_recall(fixture, 0.97);
    for (int round = 0; round < 3; round++) { /* rows change, go and come */
        uint64_t deleted;

        for (size_t i = 0; i < 20; i++) {
            const cairn_id id = {CAIRN_ID_U64, NULL, crn_rng_below(&fixture->rng, ROWS)};
            ok(cairn_delete(fixture->notes, &id, 1, &deleted, err));
        }
        put_rows(fixture, crn_rng_below(&fixture->rng, ROWS - 200), 200);
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    }
    expect_recall(fixture, 0.97);
    ok(cairn_rebuild(fixture->database.db, NULL, NULL, err));
    expect_recall(fixture, 0.97);
    database_verify_clean(&fixture->database);
    finish(fixture);
}

static void every_codec_finds_what_is_near(void **state)
{
    (void)state;
    for_each(codes_find, true);
}

/* ---- damage ---- */

/* Flips a bit of the first segment's codes, where the file holds them. */
static void harm_codes(struct fixture *fixture)
{
    static char bytes[8 << 20];
    char folder[400], path[700] = "", codes[64];
    struct crn_view *view;
    struct dirent *entry;

    ok(crn_live_space_view(crn_collection_now(fixture->notes)->live[0], &view, err));
    memcpy(codes, view->parts[0].segment->codes, sizeof codes);
    crn_view_release(view);
    cairn_collection_close(fixture->notes);
    cairn_close(fixture->database.db);
    snprintf(folder, sizeof folder, "%s.d", fixture->database.path);
    DIR *stream = opendir(folder);
    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, ".derived") != NULL)
            snprintf(path, sizeof path, "%s/%.255s", folder, entry->d_name);
    }
    closedir(stream);
    FILE *file = fopen(path, "r+b");
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    char *at = memmem(bytes, size, codes, sizeof codes);
    assert_non_null(at);
    assert_int_equal(fseek(file, at - bytes + 5, SEEK_SET), 0);
    assert_int_equal(fputc(at[5] ^ 4, file), (at[5] ^ 4) & 0xff);
    fclose(file);
    database_open(&fixture->database, &fixture->options);
    open_notes(fixture);
}

static void damage_is_mended(cairn_quantization quantization, cairn_metric metric)
{
    struct fixture *fixture = start(quantization, metric);
    uint64_t findings;

    harm_codes(fixture);
    ok(cairn_verify(fixture->database.db, NULL, NULL, NULL, &findings, err));
    assert_true(findings > 0);
    expect_recall(fixture, 0.97);
    assert_non_null(strstr(fixture->database.log, "rebuilding from the rows"));
    database_verify_clean(&fixture->database);
    finish(fixture);
}

static void damaged_codes_are_made_anew(void **state)
{
    (void)state;
    for_each(damage_is_mended, false);
}

/* ---- settings ---- */

/* Lengths beyond the range of float leave no sense in estimates, but k rows are answered all the same. */
static void huge_vectors_are_answered(cairn_quantization quantization, cairn_metric metric)
{
    struct fixture *fixture = start(quantization, metric);
    float vector[DIM];

    for (size_t i = 0; i < 40; i++) {
        for (size_t j = 0; j < DIM; j++) vector[j] = (i + j) % 3 == 0 ? 3e38f : -2e38f;
        ok(cairn_upsert(fixture->notes,
                        CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = 50 * i,
                                      .domain = "few", .vector = vector),
                        1, err));
    }
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    cairn_results *results = ask(fixture, vector, "few", 0), *exact = ask(fixture, vector, "few", EXACT);
    print_message("%s %d: %zu, exactly %zu\n", crn_quantization_name(quantization), (int)metric,
                  cairn_results_count(results), cairn_results_count(exact));
    assert_int_equal(cairn_results_count(results), cairn_results_count(exact));
    cairn_results_free(results);
    cairn_results_free(exact);
    finish(fixture);
}

static void vectors_beyond_squares(void **state)
{
    (void)state;
    for (int q = CAIRN_QUANTIZATION_SCALAR; crn_quantization_name((cairn_quantization)q) != NULL; q++) {
        huge_vectors_are_answered((cairn_quantization)q, CAIRN_METRIC_L2);
        huge_vectors_are_answered((cairn_quantization)q, CAIRN_METRIC_COSINE);
    }
}

static void settings_are_checked_and_told(void **state)
{
    struct fixture *fixture = start(CAIRN_QUANTIZATION_BINARY, CAIRN_METRIC_L2);
    cairn_collection *other;
    char *json;

    (void)state;
    ok(cairn_collection_stats(fixture->notes, &json, err));
    assert_non_null(strstr(json, "\"quantization\":\"binary\""));
    assert_non_null(strstr(json, "\"scanned_bytes_per_vector\":16,")); /* 64 bits and two floats */
    cairn_free(json);
    refused(
        CAIRN_INVALID_OPTION, "quantization binary, f16",
        cairn_collection_open(fixture->database.db, "notes",
                              CAIRN_OPTIONS(cairn_collection_options, .quantization = CAIRN_QUANTIZATION_F16),
                              &other, err));
    refused(
        CAIRN_INVALID_OPTION, "99 is not a quantization",
        cairn_collection_open(fixture->database.db, "notes",
                              CAIRN_OPTIONS(cairn_collection_options, .quantization = (cairn_quantization)99),
                              &other, err));
    refused(CAIRN_INVALID_OPTION, "binary quantization has no manhattan distances",
            cairn_collection_create(fixture->database.db, "other",
                                    CAIRN_OPTIONS(cairn_collection_options, .dim = 3,
                                                  .metric = CAIRN_METRIC_MANHATTAN,
                                                  .quantization = CAIRN_QUANTIZATION_BINARY),
                                    err));
    finish(fixture);
}

/* Vectors of one direction, of zeros, and a single one: codecs must not stumble over sets without spread. */
static void sets_without_spread_are_found(cairn_quantization quantization, cairn_metric metric)
{
    struct fixture *fixture = start(quantization, metric);
    uint64_t deleted;
    cairn_id id = {CAIRN_ID_U64, NULL, 0};

    for (; id.u64 < ROWS; id.u64++) ok(cairn_delete(fixture->notes, &id, 1, &deleted, err));
    for (size_t rows = 1; rows <= 65; rows += 32) {
        float vector[DIM];

        for (size_t i = 0; i < DIM; i++) vector[i] = 1;
        for (size_t i = 0; i < rows; i++) {
            ok(cairn_upsert(
                fixture->notes,
                CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = i, .vector = vector), 1,
                err));
        }
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
        cairn_results *results = ask(fixture, vector, NULL, 0);
        assert_int_equal(cairn_results_count(results), rows < K ? rows : K);
        assert_true(fabs((double)cairn_results_at(results, 0)->distance) < 1e-6);
        cairn_results_free(results);
    }
    finish(fixture);
}

static void sets_without_spread(void **state)
{
    (void)state;
    for_each(sets_without_spread_are_found, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_finds_what_is_near), cmocka_unit_test(damaged_codes_are_made_anew),
        cmocka_unit_test(settings_are_checked_and_told),  cmocka_unit_test(sets_without_spread),
        cmocka_unit_test(vectors_beyond_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
