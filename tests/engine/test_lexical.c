/* Search by words, and by words and vector together, on examples small enough to be worked out by hand. */
#include "tests/engine/rows.h"

#include <math.h>

struct fixture {
    struct database database;
    cairn_collection *notes; /* dim 2, cosine, lexical */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    quiet_database_create(&fixture->database);
    ok(cairn_collection_open(fixture->database.db, "notes",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .lexical = true),
                             &fixture->notes, err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    database_verify_clean(&fixture->database);
    cairn_collection_close(fixture->notes);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

#define put(...) ok(cairn_upsert(fixture->notes, CAIRN_OPTIONS(cairn_pattern, __VA_ARGS__), 1, err))
#define find(expected, words, ...) \
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .text = (words), .k = 10, __VA_ARGS__), expected)

/* ---- words ---- */

static void patterns_are_found_by_their_words(void **state)
{
    struct fixture *fixture = *state;

    put(.id = "a", .text = "The compiler caches objects");
    put(.id = "b", .text = "Linking is slow: use mold");
    put(.id = "c", .text = "\xc3\x89t\xc3\xa9 \xe2\x80\x94 caf\xc3\xa9");
    put(.id = "d", .vector = (const float[]){1, 0});
    for (int round = 0; round < 2; round++) {
        find("a", "CACHE");
        find("a", "compiling caches");
        find("b", "mold");
        find("c", "cafe");
        find("c", "caf\xc3\xa9");
        find("", "quartz");
        find("", "?! -- ...");
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    }
}

static void what_looks_like_syntax_is_only_words(void **state)
{
    static const char *const queries[] = {"stone AND OR NOT", "stone*",  "\"stone",        "stone\"\"",
                                          "text:stone",       "{stone}", "NEAR(stone, 2)", "-stone ^stone",
                                          "stone + \\",       "'; DROP", "stone \x01",     "(stone"};
    struct fixture *fixture = *state;

    put(.id = "a", .text = "a stone");
    for (size_t i = 0; i < COUNT_OF(queries); i++)
        find(strstr(queries[i], "stone") != NULL ? "a" : "", queries[i]);
}

static void more_of_the_words_in_less_text_is_better(void **state)
{
    struct fixture *fixture = *state;
    cairn_results *results;
    cairn_search_info info;

    for (int i = 0; i < 20; i++) put(.text = "quite another matter");
    put(.id = "once", .text = "stone among many other words that have nothing to do with it");
    put(.id = "thrice", .text = "stone stone stone");
    put(.id = "short", .text = "stone wood");
    put(.id = "both", .text = "stone river");
    find("thrice short both once", "stone");
    find("both thrice short once", "stone river");
    ok(cairn_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .text = "stone", .k = 2), &results, err));
    expect_hits(results, "thrice short");
    cairn_results_info(results, &info);
    assert_string_equal(info.plan, "lexical");
    const cairn_hit *first = cairn_results_at(results, 0), *second = cairn_results_at(results, 1);
    assert_true(first->score > second->score && second->score > 0);
    assert_true(first->distance == -first->score);
    find("thrice", "stone", .has_min_score = true, .min_score = (double)first->score);
    cairn_results_free(results);
}

static void words_follow_updates_and_deletes(void **state)
{
    struct fixture *fixture = *state;

    put(.id = "a", .text = "granite");
    put(.id = "b", .text = "granite and basalt");
    find("a b", "granite");
    ok(cairn_update(fixture->notes, CAIRN_OPTIONS(cairn_pattern, .id = "a", .text = "marble"), 1, err));
    find("b", "granite");
    find("a", "marble");
    ok(cairn_update(fixture->notes, CAIRN_OPTIONS(cairn_pattern, .id = "a", .domain = "d"), 1, err));
    find("a", "marble");
    put(.id = "a", .vector = (const float[]){1, 0});
    find("", "marble");
    delete_row(fixture->notes, "b");
    find("", "granite");
    find("", "basalt");
    put(.id = "b", .text = "basalt", .expires_at_ms = 1);
    find("", "basalt");
    put(.id = "b", .text = "basalt");
    find("b", "basalt");
    ok(cairn_delete_where(fixture->notes,
                          CAIRN_OPTIONS(cairn_scope, .filter = "{\"x\": {\"$exists\": false}}"), NULL, err));
    find("", "basalt");
    assert_int_equal(count_of(fixture->notes, NULL), 0);
}

/* However rare what the scope allows is, and however far down the list of words. */
static void k_come_when_k_match(void **state)
{
    struct fixture *fixture = *state;
    char text[512], expected[512] = "";

    for (int i = 0; i < 400; i++) put(.text = "stone", .vector = (const float[]){1, 0});
    for (int i = 0; i < 12; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        /* Each is longer than the one before, so its score is less. */
        snprintf(
            text, sizeof text, "stone%.*s", 20 * (i + 1),
            " word word word word word word word word word word word word word"
            " word word word word word word word word word word word word word word word word word word word word word word"
            " word word word word word word word");
        put(.id = id, .text = text, .vector = (const float[]){-1, (float)i / 100}, .domain = "rare",
            .payload = "{\"n\": 1}");
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), i == 0 ? "%s" : " %s", id);
    }
    const cairn_query query = {.size = sizeof query, .text = "stone", .k = 12, .domain = "rare"};
    expect_search(fixture->notes, &query, expected);
    cairn_query filtered = query;
    filtered.domain = NULL;
    filtered.filter = "{\"n\": {\"$lt\": 2}}";
    expect_search(fixture->notes, &filtered, expected);
    filtered.vector = (const float[]){1, 0};
    for (cairn_fusion fusion = CAIRN_FUSION_RRF; fusion <= CAIRN_FUSION_WEIGHTED; fusion++) {
        cairn_results *results;
        filtered.fusion = fusion;
        ok(cairn_search(fixture->notes, &filtered, &results, err));
        assert_int_equal(cairn_results_count(results), 12);
        for (size_t i = 0; i < 12; i++) assert_int_equal(cairn_results_at(results, i)->id.text[0], 'r');
        cairn_results_free(results);
    }
}

/* ---- words and vector ---- */

/*
 * For the query (1, 0) and "stone":  by vector  a 1.0, b 0.8, c 0.6, d 0.0     ranks a 1, b 2, c 3, d 4
 *                                    by words   c, d, a                        ranks c 1, d 2, a 3
 */
static void put_example(struct fixture *fixture)
{
    put(.id = "a", .vector = (const float[]){1, 0},
        .text = "stone among many other words that have nothing to do with it");
    put(.id = "b", .vector = (const float[]){0.8f, 0.6f}, .text = "no such word");
    put(.id = "c", .vector = (const float[]){0.6f, 0.8f}, .text = "stone stone stone");
    put(.id = "d", .vector = (const float[]){0, 1}, .text = "stone wood");
    for (int i = 0; i < 20; i++) put(.text = "quite another matter");
}

static const cairn_query example = {
    .size = sizeof example, .vector = (const float[]){1, 0}, .text = "stone", .k = 10};

static void expect_scores(struct fixture *fixture, const cairn_query *query, const char *ids,
                          const double *scores)
{
    cairn_results *results;
    cairn_search_info info;

    ok(cairn_search(fixture->notes, query, &results, err));
    expect_hits(results, ids);
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        assert_true(fabs(hit->score - scores[i]) < 1e-6);
        assert_true(hit->distance == -hit->score);
    }
    cairn_results_info(results, &info);
    assert_string_equal(info.plan, "hybrid");
    cairn_results_free(results);
}

static void reciprocal_ranks_add_up(void **state)
{
    struct fixture *fixture = *state;
    const double scores[] = {1.0 / 61 + 1.0 / 63, 1.0 / 63 + 1.0 / 61, 1.0 / 64 + 1.0 / 62, 1.0 / 62};

    put_example(fixture);
    find("c d a", "stone");
    for (int round = 0; round < 2; round++) {
        expect_scores(fixture, &example, "a c d b", scores); /* a and c are equal: a was inserted first */
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    }
    cairn_query query = example;
    query.mode = CAIRN_SEARCH_VECTOR;
    expect_search(fixture->notes, &query, "a b c d");
    query.mode = CAIRN_SEARCH_LEXICAL;
    expect_search(fixture->notes, &query, "c d a");
    query.mode = CAIRN_SEARCH_HYBRID;
    query.k = 2;
    expect_scores(fixture, &query, "a c", scores);
}

static double words_score(struct fixture *fixture, size_t rank)
{
    cairn_results *results;

    ok(cairn_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .text = "stone", .k = 3), &results, err));
    const double score = cairn_results_at(results, rank)->score;
    cairn_results_free(results);
    return score;
}

static void weighted_scores_add_up(void **state)
{
    struct fixture *fixture = *state;
    cairn_query query = example;

    put_example(fixture);
    /* Both lists scaled to 0..1: by vector a 1, b 0.8, c 0.6, d 0; by words c 1, d somewhere between, a 0. */
    const double best = words_score(fixture, 0), between = words_score(fixture, 1),
                 worst = words_score(fixture, 2);
    const double d = (between - worst) / (best - worst);
    assert_true(d > 0.1 && d < 0.99);
    query.fusion = CAIRN_FUSION_WEIGHTED;
    const double halves[] = {0.5 * 0.6 + 0.5, 0.5, 0.5 * d, 0.5 * 0.8};
    const double swapped[] = {halves[0], halves[1], halves[3], halves[2]};
    expect_scores(fixture, &query, halves[2] > halves[3] ? "c a d b" : "c a b d",
                  halves[2] > halves[3] ? halves : swapped);
    query.lexical_weight = 0.1;
    const double little[] = {0.9, 0.9 * 0.8, 0.9 * 0.6 + 0.1, 0.1 * d};
    expect_scores(fixture, &query, "a b c d", little);
    query.lexical_weight = 1;
    const double all[] = {1, d, 0, 0};
    expect_scores(fixture, &query, "c d a b", all);
}

static void rows_found_one_way_only_are_found(void **state)
{
    struct fixture *fixture = *state;
    cairn_results *results;

    put(.id = "vector", .vector = (const float[]){1, 0});
    put(.id = "words", .text = "stone", .payload = "{\"x\":1}");
    const double one_way[] = {1.0 / 61, 1.0 / 61};
    expect_scores(fixture, &example, "vector words", one_way);
    cairn_query query = example;
    query.with_pattern = true;
    ok(cairn_search(fixture->notes, &query, &results, err));
    assert_string_equal(cairn_results_at(results, 1)->pattern->payload, "{\"x\":1}");
    cairn_results_free(results);
    query.text = "quartz";
    expect_search(fixture->notes, &query, "vector");
    query.filter = "{\"x\": 1}";
    expect_search(fixture->notes, &query, "");
    delete_row(fixture->notes, "vector");
    delete_row(fixture->notes, "words");
    expect_search(fixture->notes, &example, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(patterns_are_found_by_their_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_looks_like_syntax_is_only_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_of_the_words_in_less_text_is_better, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_follow_updates_and_deletes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(k_come_when_k_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reciprocal_ranks_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weighted_scores_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_found_one_way_only_are_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
