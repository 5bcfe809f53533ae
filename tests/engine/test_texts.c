/* Payloads and texts come back as they were given, whatever they hold; and texts become vectors by way of an embedder. */
#include "tests/engine/rows.h"

#include "base/json.h"

#include <math.h>

/* ---- payloads ---- */

static cairn_collection *open_texts(cairn_db *db)
{
    cairn_collection *collection;

    ok(cairn_collection_open(db, "texts", CAIRN_OPTIONS(cairn_collection_options, .dim = 26, .lexical = true),
                             &collection, err));
    return collection;
}

static void expect_payload(cairn_collection *collection, const char *given, const char *expected)
{
    cairn_patterns *patterns;

    ok(cairn_upsert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "a", .payload = given), 1, err));
    assert_string_equal(read_row(collection, string_id("a"), &patterns)->payload, expected);
    cairn_patterns_free(patterns);
}

static void payloads_are_kept_exactly(void **state)
{
    /* Compact; members in their order, also those of one name; integers exact; the shortest text of each double. */
    static const char *const same[] = {
        "{}",
        "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"j\":9223372036854775807,\"k\":9007199254740993}",
        "{\"n\":null,\"t\":true,\"f\":false,\"e\":{},\"a\":[],\"aa\":[[],[null,[1]]]}",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "{\"\":\"\",\" \":\" \"}",
        "{\"f\":0.1,\"g\":-1.5,\"z\":-0.0,\"whole\":1.0}",
        "{\"text\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\xaa\xa8\",\"\xe7\x9f\xb3\":1}",
        "{\"escaped\":\"\\\"\\\\\\n\\t\"}",
    };
    struct database database;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_texts(database.db);
    for (size_t i = 0; i < COUNT_OF(same); i++) expect_payload(collection, same[i], same[i]);
    expect_payload(collection, " { \"a\" : [ 1 , 2.50 ] ,\n\"b\":\"\\u00e9\\u0041\\ud83e\\udea8\" } ",
                   "{\"a\":[1,2.5],\"b\":\"\xc3\xa9"
                   "A\xf0\x9f\xaa\xa8\"}");
    cairn_collection_close(collection);
    database_verify_clean(&database);
    database_remove(&database);
}

static void random_doubles_survive_a_payload(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_json_parser *parser = crn_json_parser_create();
    struct database database;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_texts(database.db);
    for (int i = 0; i < 300; i++) {
        const uint64_t bits = crn_rng_u64(&rng);
        struct crn_json root, member;
        cairn_patterns *patterns;
        char payload[64];
        double number;
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number)) continue;
        snprintf(payload, sizeof payload, "{\"x\":%.17g}", number);
        ok(cairn_upsert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "a", .payload = payload), 1, err));
        const char *stored = read_row(collection, string_id("a"), &patterns)->payload;
        ok(crn_json_parse(parser, stored, strlen(stored), &root, err));
        assert_true(crn_json_get(root, "x", &member));
        const double back = crn_json_double(member);
        assert_memory_equal(&back, &number, sizeof back);
        cairn_patterns_free(patterns);
    }
    crn_json_parser_free(parser);
    cairn_collection_close(collection);
    database_remove(&database);
}

static void texts_of_any_size_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 8191, 8192, 70000, 1u << 20, 20u << 20};
    struct database database;

    (void)state;
    quiet_database_create(&database);
    cairn_collection *collection = open_texts(database.db);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *text = malloc(sizes[i] + 1), *payload = malloc(sizes[i] + 16);
        cairn_patterns *patterns;
        memset(text, 'x', sizes[i]);
        for (size_t at = 7; at < sizes[i]; at += 8) text[at] = ' ';
        text[sizes[i]] = '\0';
        snprintf(payload, sizes[i] + 16, "{\"text\":\"%s\"}", text);
        ok(cairn_upsert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "a", .text = text, .payload = payload),
                        1, err));
        const cairn_pattern *row = read_row(collection, string_id("a"), &patterns);
        assert_string_equal(row->text, text);
        assert_string_equal(row->payload, payload);
        cairn_patterns_free(patterns);
        free(text);
        free(payload);
    }
    cairn_collection_close(collection);
    database_verify_clean(&database);
    database_remove(&database);
}

/* ---- an embedder ---- */

/* Counts letters, so that texts of the same letters have the same vector. */
struct letters {
    cairn_embedder embedder;
    int calls;
    size_t texts;
    cairn_status failure; /* what the next call answers */
    const char *message;
    float poison; /* takes the place of the first component when it is not 0 */
};

static cairn_status count_letters(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                                  cairn_error *err)
{
    struct letters *letters = ctx;

    letters->calls++;
    letters->texts += count;
    if (letters->failure != CAIRN_OK) {
        if (letters->message != NULL) {
            err->status = letters->failure;
            snprintf(err->message, sizeof err->message, "%s", letters->message);
        }
        return letters->failure;
    }
    memset(out_vectors, 0, count * 26 * sizeof *out_vectors);
    for (size_t i = 0; i < count; i++) {
        for (const char *c = texts[i]; *c != '\0'; c++) {
            if (*c >= 'a' && *c <= 'z') out_vectors[i * 26 + (size_t)(*c - 'a')] += 1;
        }
        if (letters->poison != 0) out_vectors[i * 26] = letters->poison;
    }
    return CAIRN_OK;
}

struct fixture {
    struct database database;
    cairn_collection *plain; /* no lexical index: a text needs the embedder */
    struct letters letters;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    quiet_database_create(&fixture->database);
    ok(cairn_collection_open(fixture->database.db, "plain",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = 26), &fixture->plain, err));
    fixture->letters.embedder = (cairn_embedder){.size = sizeof fixture->letters.embedder,
                                                 .ctx = &fixture->letters,
                                                 .model = "letters-1",
                                                 .dim = 26,
                                                 .embed = count_letters};
    ok(cairn_collection_attach(fixture->plain, &fixture->letters.embedder, err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    database_verify_clean(&fixture->database);
    cairn_collection_close(fixture->plain);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

#define insert_text(name, words) \
    cairn_insert(fixture->plain, CAIRN_OPTIONS(cairn_pattern, .id = (name), .text = (words)), 1, err)
#define search_text(words, expected) \
    expect_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .text = (words), .k = 3), expected)

static void texts_are_found_by_texts(void **state)
{
    struct fixture *fixture = *state;
    float vector[26] = {0};
    const cairn_pattern rows[] = {{.size = sizeof *rows, .id = "a", .text = "aab"},
                                  {.size = sizeof *rows, .id = "given", .text = "aab", .vector = vector},
                                  {.size = sizeof *rows, .id = "z", .text = "zzy"}};

    vector['m' - 'a'] = 1;
    ok(cairn_insert(fixture->plain, rows, 3, err));
    assert_int_equal(fixture->letters.calls,
                     1); /* all of a call's texts at once, and none that has a vector */
    assert_int_equal(fixture->letters.texts, 2);
    search_text("abab", "a given z");
    search_text("zz", "z a given");
    search_text("m", "given a z");
    expect_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 1), "given");

    ok(cairn_update(fixture->plain, CAIRN_OPTIONS(cairn_pattern, .id = "a", .text = "qqq"), 1, err));
    search_text("q", "a given z");
    ok(cairn_update(fixture->plain, CAIRN_OPTIONS(cairn_pattern, .id = "a", .domain = "d"), 1, err));
    search_text("q", "a given z");
}

static void retrieving_by_text_embeds_as_well(void **state)
{
    struct fixture *fixture = *state;
    cairn_reasoning *reasoning;

    ok(insert_text("a", "aaa"));
    ok(insert_text("b", "bbb"));
    ok(cairn_retrieve(fixture->plain, CAIRN_OPTIONS(cairn_retrieve_options, .text = "b", .k = 1), &reasoning,
                      err));
    assert_string_equal(cairn_reasoning_at(reasoning, 0)->pattern->id, "b");
    cairn_reasoning_free(reasoning);
}

static void a_failing_embedder_stores_nothing(void **state)
{
    struct fixture *fixture = *state;
    cairn_results *results;
    cairn_reasoning *reasoning;

    ok(insert_text("a", "aaa"));
    fixture->letters.failure = CAIRN_EMBEDDER;
    fixture->letters.message = "no route to the model";
    refused(CAIRN_EMBEDDER, "no route to the model", insert_text("b", "bbb"));
    refused(CAIRN_EMBEDDER, "'letters-1'",
            cairn_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .text = "a", .k = 1), &results, err));
    assert_null(results);
    refused(
        CAIRN_EMBEDDER, "no route",
        cairn_retrieve(fixture->plain, CAIRN_OPTIONS(cairn_retrieve_options, .text = "a"), &reasoning, err));
    /* Whatever a host answers, and whether it says why. */
    fixture->letters.failure = CAIRN_TIMEOUT;
    fixture->letters.message = NULL;
    refused(CAIRN_EMBEDDER, cairn_status_text(CAIRN_TIMEOUT), insert_text("b", "bbb"));
    fixture->letters.failure = (cairn_status)1234;
    refused(CAIRN_EMBEDDER, "letters-1", insert_text("b", "bbb"));
    fixture->letters.failure = CAIRN_OK;
    assert_int_equal(count_of(fixture->plain, NULL), 1);
    ok(insert_text("b", "bbb"));
    search_text("b", "b a");
}

static void what_an_embedder_makes_is_checked(void **state)
{
    struct fixture *fixture = *state;
    const cairn_pattern rows[] = {{.size = sizeof *rows, .id = "a", .text = "aaa"},
                                  {.size = sizeof *rows, .id = "b", .text = "123"}};
    cairn_results *results;

    refused(CAIRN_ZERO_VECTOR, "pattern 1 ('b')", cairn_insert(fixture->plain, rows, 2, err));
    refused(CAIRN_ZERO_VECTOR, "26",
            cairn_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .text = "!", .k = 1), &results, err));
    fixture->letters.poison = NAN;
    refused(CAIRN_INVALID_VECTOR, "component 0", cairn_insert(fixture->plain, rows, 1, err));
    refused(CAIRN_INVALID_VECTOR, "component 0",
            cairn_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .text = "a", .k = 1), &results, err));
    refused(CAIRN_INVALID_ARGUMENT, "has no vector", insert_text("c", ""));
    assert_int_equal(count_of(fixture->plain, NULL), 0);
}

static void models_do_not_mix(void **state)
{
    struct fixture *fixture = *state;
    cairn_embedder other = fixture->letters.embedder;
    cairn_collection_options options;
    cairn_collection *again;
    float vector[26] = {1};
    cairn_results *results;

    ok(insert_text("a", "aaa"));
    assert_int_equal(count_of(fixture->plain, NULL), 1);
    cairn_collection_get_options(fixture->plain, &options);
    assert_string_equal(options.model, "letters-1");
    other.model = "letters-2";
    refused(CAIRN_MODEL_MISMATCH, "'letters-2'", cairn_collection_attach(fixture->plain, &other, err));
    refused(CAIRN_MODEL_MISMATCH, "'letters-2'",
            cairn_insert(fixture->plain,
                         CAIRN_OPTIONS(cairn_pattern, .id = "b", .vector = vector, .model = "letters-2"), 1,
                         err));
    refused(CAIRN_MODEL_MISMATCH, "'letters-2'",
            cairn_search(fixture->plain,
                         CAIRN_OPTIONS(cairn_query, .vector = vector, .model = "letters-2", .k = 1), &results,
                         err));
    refused(CAIRN_MODEL_MISMATCH, "'letters-2'",
            cairn_collection_open(fixture->database.db, "plain",
                                  CAIRN_OPTIONS(cairn_collection_options, .model = "letters-2"), &again,
                                  err));
    ok(cairn_insert(fixture->plain,
                    CAIRN_OPTIONS(cairn_pattern, .id = "b", .vector = vector, .model = "letters-1"), 1, err));
    search_text("a", "a b");
    ok(cairn_collection_attach(fixture->plain, NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "has no vector", insert_text("c", "ccc"));
}

/* An embedder attached before somebody else recorded another model must not slip through. */
static void a_model_recorded_by_another_handle_counts(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *other;
    cairn_results *results;
    cairn_db *db;
    float vector[26] = {1};

    ok(cairn_open(fixture->database.path, CAIRN_OPTIONS(cairn_open_options, .no_background = true), &db,
                  err));
    ok(cairn_collection_open(db, "plain", NULL, &other, err));
    ok(cairn_insert(other, CAIRN_OPTIONS(cairn_pattern, .id = "o", .vector = vector, .model = "other"), 1,
                    err));
    refused(CAIRN_MODEL_MISMATCH, "'other'", insert_text("a", "aaa"));
    refused(CAIRN_MODEL_MISMATCH, "'other'",
            cairn_search(fixture->plain, CAIRN_OPTIONS(cairn_query, .text = "a", .k = 1), &results, err));
    assert_int_equal(count_of(fixture->plain, NULL), 1);
    cairn_collection_close(other);
    cairn_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_are_kept_exactly),
        cmocka_unit_test(random_doubles_survive_a_payload),
        cmocka_unit_test(texts_of_any_size_come_back),
        cmocka_unit_test_setup_teardown(texts_are_found_by_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(retrieving_by_text_embeds_as_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_embedder_stores_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_embedder_makes_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(models_do_not_mix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_recorded_by_another_handle_counts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
