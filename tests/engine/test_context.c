/* The synthesized context: themes, graph, confidence, recommendations, and how they are told. */
#include "tests/engine/reasoning_fixture.h"

#include "base/json.h"
#include "engine/context.h"

static bool has_string(struct crn_json array, const char *text)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t len;

    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &element, &key, &len);) {
        if (strcmp(crn_json_string(element, &len), text) == 0) return true;
    }
    return false;
}

static struct crn_json member(struct crn_json object, const char *name)
{
    struct crn_json value;

    if (!crn_json_get(object, name, &value)) fail_msg("no member %s", name);
    return value;
}

static void test_context(void **state)
{
    struct fixture *fixture = *state;
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root, id;
    float near[DIM], far[DIM];
    size_t len;

    at_angle(0.1, 1, near);
    at_angle(1.4, 2, far);
    PUT(fixture, .id = "p1", .domain = "build", .vector = first_axis,
        .text = "Use ccache for slow compiler runs\nmore", .confidence = 0.9, .usage_count = 10,
        .success_count = 9, .created_at_ms = NOW);
    PUT(fixture, .id_type = CAIRN_ID_U64, .id_u64 = 18446744073709551615u, .domain = "build", .vector = near,
        .payload = "{\"n\":1,\"pattern\":\"ccache shares \\\"compiler\\\" output\"}", .confidence = 0.6,
        .created_at_ms = NOW);
    PUT(fixture, .id = "p3", .domain = "build", .vector = far,
        .payload = "{\"tags\":[\"ccache\",\"lint\",\"2024\"]}", .confidence = 0.3, .usage_count = 10,
        .success_count = 1, .created_at_ms = NOW);

    cairn_reasoning *reasoning =
        RETRIEVE(fixture, .vector = first_axis, .text = "slow \"builds\"", .k = 5, .domain = "build",
                 .filter = "{\"nothing\":{\"$exists\":false}}", .synthesize_context = true);
    const char *text = cairn_reasoning_context(reasoning);
    assert_non_null(text);
    ok(crn_json_parse(parser, text, strlen(text), &root, err));
    assert_string_equal(crn_json_string(member(member(root, "query"), "text"), &len), "slow \"builds\"");
    assert_int_equal(crn_json_size(member(root, "similarPatterns")), 3);
    const struct crn_json context = member(root, "synthesizedContext");
    const struct crn_json themes = member(context, "themes");
    assert_true(has_string(themes, "ccache"));
    assert_true(has_string(themes, "compiler"));
    assert_false(has_string(themes, "lint")); /* in one pattern only */
    assert_false(has_string(themes, "for"));
    assert_int_equal(crn_json_size(member(member(context, "graph"), "nodes")), 3);
    const struct crn_json edges = member(member(context, "graph"), "edges");
    assert_int_equal(crn_json_size(edges), 1);
    struct crn_json_iter it;
    struct crn_json edge;
    const char *key;
    crn_json_iter_init(&it, edges);
    assert_true(crn_json_iter_next(&it, &edge, &key, &len));
    assert_string_equal(crn_json_string(member(edge, "source"), &len), "p1");
    assert_true(crn_json_get(edge, "target", &id) && crn_json_u64(id) == 18446744073709551615u);
    assert_float_equal(crn_json_double(member(edge, "weight")), cos(0.1), 1e-6);

    double weights = 0, weighed = 0;
    for (size_t i = 0; i < 3; i++) {
        weights += cairn_reasoning_at(reasoning, i)->score;
        weighed +=
            cairn_reasoning_at(reasoning, i)->score * cairn_reasoning_at(reasoning, i)->pattern->confidence;
    }
    assert_float_equal(crn_json_double(member(context, "confidence")), weighed / weights, 1e-6);
    assert_int_equal(crn_json_size(member(context, "recommendations")), 1);

    const char *narrative = cairn_reasoning_narrative(reasoning);
    assert_non_null(strstr(narrative, "3 patterns of domain \"build\""));
    assert_non_null(strstr(narrative, "Best match: \"Use ccache for slow compiler runs\""));
    assert_non_null(
        strstr(narrative, "Worked before: \"Use ccache for slow compiler runs\" (9 of 10 uses)."));
    cairn_reasoning_free(reasoning);
    crn_json_parser_free(parser);
}

static void test_empty_context(void **state)
{
    struct fixture *fixture = *state;
    cairn_reasoning *reasoning = RETRIEVE(fixture, .vector = first_axis, .use_mmr = true, .mmr_lambda = 0.5,
                                          .synthesize_context = true);

    assert_int_equal(cairn_reasoning_count(reasoning), 0);
    assert_string_equal(cairn_reasoning_context(reasoning),
                        "{\"query\":{\"k\":10},\"similarPatterns\":[],\"synthesizedContext\":{\"themes\":[],"
                        "\"graph\":{\"nodes\":[],\"edges\":[]},\"confidence\":0.0,\"recommendations\":[]}}");
    assert_string_equal(cairn_reasoning_narrative(reasoning), "No pattern was found.");
    cairn_reasoning_free(reasoning);
}

/* More patterns than a context looks at, with long texts of two-byte letters. */
static void test_large_context(void **state)
{
    struct fixture *fixture = *state;
    struct crn_rng rng = test_rng();
    char *text = malloc(40001);

    for (int i = 0; i < 40000; i += 2) memcpy(text + i, i % 14 == 12 ? ", " : "\xc3\xa4", 2);
    text[40000] = '\0';
    for (int i = 0; i < 130; i++) {
        float vector[DIM];
        random_vector(&rng, vector);
        PUT(fixture, .vector = vector, .text = text, .created_at_ms = NOW);
    }
    cairn_reasoning *reasoning =
        RETRIEVE(fixture, .vector = first_axis, .k = 130, .synthesize_context = true);
    assert_int_equal(cairn_reasoning_count(reasoning), 130);
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root;
    const char *context = cairn_reasoning_context(reasoning);
    ok(crn_json_parse(parser, context, strlen(context), &root, err));
    assert_int_equal(crn_json_size(member(root, "similarPatterns")), 100);
    crn_json_parser_free(parser);
    cairn_reasoning_free(reasoning);
    free(text);
}

/* Patterns without words go by their ids; of those that did well the best three are recommended. */
static void test_recommendations(void **state)
{
    struct fixture *fixture = *state;
    float vectors[6][DIM];

    for (uint32_t i = 0; i < 6; i++) at_angle(1.4, 1 + i, vectors[i]);
    PUT(fixture, .id_type = CAIRN_ID_U64, .id_u64 = 7, .agent = "me", .vector = first_axis, .confidence = 0.9,
        .usage_count = 4, .success_count = 4, .created_at_ms = NOW);
    PUT(fixture, .id = "long", .agent = "me", .vector = vectors[1], .confidence = 0.9, .usage_count = 100,
        .success_count = 99);
    PUT(fixture, .id = "fair", .agent = "me", .vector = vectors[2], .confidence = 0.9, .usage_count = 10,
        .success_count = 6);
    PUT(fixture, .id = "less", .agent = "me", .vector = vectors[3], .confidence = 0.9, .usage_count = 10,
        .success_count = 5);
    PUT(fixture, .id = "poor", .agent = "me", .vector = vectors[4], .confidence = 0.9, .usage_count = 10,
        .success_count = 4);
    PUT(fixture, .id = "doubt", .agent = "me", .vector = vectors[5], .confidence = 0.4, .usage_count = 9,
        .success_count = 9);
    cairn_reasoning *reasoning =
        RETRIEVE(fixture, .vector = first_axis, .agent = "me", .synthesize_context = true, .no_touch = true);
    const char *narrative = cairn_reasoning_narrative(reasoning);
    assert_non_null(strstr(narrative, "6 patterns by agent \"me\" found"));
    assert_non_null(strstr(narrative, "Best match: pattern 7 (similarity 1.00"));
    assert_non_null(strstr(narrative,
                           "Worked before: pattern long (99 of 100 uses); pattern 7 (4 of 4 uses); "
                           "pattern fair (6 of 10 uses)."));
    assert_non_null(strstr(cairn_reasoning_context(reasoning), "\"agent\":\"me\""));
    cairn_reasoning_free(reasoning);
}

/* Thousands of different words, of which one pattern in two has one. */
static void test_many_words(void **state)
{
    struct fixture *fixture = *state;
    struct crn_rng rng = test_rng();
    struct crn_themes themes;
    cairn_pattern patterns[6];
    cairn_memory memories[6];
    struct crn_buf text;

    (void)fixture;
    crn_buf_init(&text, 1u << 20);
    for (size_t i = 0; i < 6; i++) {
        crn_buf_clear(&text);
        for (int n = 0; n < 1000; n++) crn_buf_printf(&text, "w%" PRIx64 " ", crn_rng_u64(&rng));
        crn_buf_puts(&text, i % 2 ? "Rocks, TREES" : "trees");
        patterns[i] = (cairn_pattern){.text = strndup(text.data + text.len - 9000, 9000)};
        memories[i] = (cairn_memory){.pattern = &patterns[i]};
    }
    ok(crn_themes_find(memories, 6, &themes, err));
    assert_int_equal(themes.count, 2);
    assert_string_equal(themes.terms[0], "trees");
    assert_string_equal(themes.terms[1], "rocks");
    for (size_t i = 0; i < 6; i++) free((void *)(uintptr_t)patterns[i].text);
    crn_buf_release(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_context),         TEST(test_empty_context), TEST(test_large_context),
        TEST(test_recommendations), TEST(test_many_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
