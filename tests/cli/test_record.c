/* Records: all members, AgentDB's form, what is refused and why, and that what is written reads back the
 * same. */
#include "cli/record.h"

#include "base/rng.h"
#include "tests/cli/support.h"

#include <inttypes.h>
#include <math.h>

struct fixture {
    struct crn_cli_records records;
    struct crn_arena arena;
    struct crn_buf buf;
    cairn_pattern pattern;
    cairn_error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_int_equal(crn_cli_records_init(&f->records, &f->err), CAIRN_OK);
    crn_buf_init(&f->buf, 1 << 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    crn_cli_records_release(&f->records);
    crn_arena_release(&f->arena);
    crn_buf_release(&f->buf);
    free(f);
    return 0;
}

static cairn_status parse(struct fixture *f, const char *json)
{
    return crn_cli_record_parse(&f->records, &f->arena, json, strlen(json), &f->pattern, &f->err);
}

static void assert_bad(struct fixture *f, const char *json, cairn_status status, const char *part)
{
    assert_int_equal(parse(f, json), status);
    if (strstr(f->err.message, part) == NULL) fail_msg("'%s' does not say '%s'", f->err.message, part);
}

static void all_members_are_read(void **state)
{
    struct fixture *f = *state;
    const cairn_pattern *p = &f->pattern;

    assert_int_equal(
        parse(f, "{\"id\":\"p1\",\"domain\":\"d\",\"agent\":\"a\",\"type\":\"t\",\"model\":\"m\","
                 "\"text\":\"hello\",\"payload\":{\"n\":18446744073709551615,\"s\":[1,2.5]},"
                 "\"vector\":[1,0.5,-2e3],\"confidence\":0.25,\"usage_count\":3,\"success_count\":2,"
                 "\"created_at\":1700000000000,\"last_used\":\"2024-05-01T10:00:00Z\",\"expires_at\":0,"
                 "\"version\":9}"),
        CAIRN_OK);
    assert_string_equal(p->id, "p1");
    assert_int_equal(p->id_type, CAIRN_ID_STRING);
    assert_string_equal(p->domain, "d");
    assert_string_equal(p->agent, "a");
    assert_string_equal(p->type, "t");
    assert_string_equal(p->model, "m");
    assert_string_equal(p->text, "hello");
    assert_string_equal(p->payload, "{\"n\":18446744073709551615,\"s\":[1,2.5]}");
    assert_int_equal(p->dim, 3);
    assert_true(p->vector[0] == 1 && p->vector[1] == 0.5f && p->vector[2] == -2000);
    assert_true(p->confidence == 0.25);
    assert_int_equal(p->usage_count, 3);
    assert_int_equal(p->success_count, 2);
    assert_true(p->created_at_ms == 1700000000000);
    assert_true(p->last_used_ms == 1714557600000);
    assert_int_equal(p->fields, CAIRN_FIELD_CONFIDENCE | CAIRN_FIELD_USAGE | CAIRN_FIELD_SUCCESS |
                                    CAIRN_FIELD_LAST_USED | CAIRN_FIELD_EXPIRES);
    assert_int_equal(p->version, 0);
    assert_int_equal(p->size, sizeof *p);
}

static void ids_keep_their_kind(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "{\"id\":18446744073709551615}"), CAIRN_OK);
    assert_int_equal(f->pattern.id_type, CAIRN_ID_U64);
    assert_true(f->pattern.id_u64 == UINT64_MAX);
    assert_int_equal(parse(f, "{\"id\":\"42\"}"), CAIRN_OK);
    assert_int_equal(f->pattern.id_type, CAIRN_ID_STRING);
    assert_int_equal(parse(f, "{\"id_type\":\"uuid\",\"id\":\"00000000-0000-0000-0000-000000000001\"}"),
                     CAIRN_OK);
    assert_int_equal(f->pattern.id_type, CAIRN_ID_UUID);
    assert_int_equal(parse(f, "{\"id\":null}"), CAIRN_OK);
    assert_null(f->pattern.id);
    assert_bad(f, "{\"id\":-1}", CAIRN_INVALID_ID, "-1");
    assert_bad(f, "{\"id\":1.5}", CAIRN_INVALID_ARGUMENT, "\"id\" is");
    assert_bad(f, "{\"id\":1,\"id_type\":\"uuid\"}", CAIRN_INVALID_ID, "uuid");
    assert_bad(f, "{\"id\":\"a\",\"id_type\":\"u64\"}", CAIRN_INVALID_ID, "u64");
}

static void other_members_join_the_payload(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "{\"section\":\"admin\",\"payload\":{\"a\":1},\"size\":3}"), CAIRN_OK);
    assert_string_equal(f->pattern.payload, "{\"a\":1,\"section\":\"admin\",\"size\":3}");
    assert_int_equal(parse(f, "{\"section\":\"admin\"}"), CAIRN_OK);
    assert_string_equal(f->pattern.payload, "{\"section\":\"admin\"}");
    assert_int_equal(parse(f, "{\"payload\":{}}"), CAIRN_OK);
    assert_string_equal(f->pattern.payload, "{}");
    assert_int_equal(parse(f, "{}"), CAIRN_OK);
    assert_null(f->pattern.payload);
    assert_int_equal(f->pattern.fields, 0);
    assert_bad(f, "{\"a\":2,\"payload\":{\"a\":1}}", CAIRN_INVALID_ARGUMENT,
               "\"a\" is in the record and in its payload");
}

static void agentdb_form_is_read(void **state)
{
    static const char *const forms[] = {
        "{\"id\":\"x\",\"type\":\"pattern\",\"domain\":\"d\","
        "\"pattern_data\":{\"embedding\":[1,2],\"pattern\":\"use it\",\"metadata\":{\"k\":1}},"
        "\"confidence\":0.9,\"usage_count\":1,\"success_count\":1,"
        "\"created_at\":1700000000000.0,\"last_used\":1700000000001}",
        "{\"id\":\"x\",\"type\":\"pattern\",\"domain\":\"d\","
        "\"pattern_data\":\"{\\\"embedding\\\":[1,2],\\\"pattern\\\":\\\"use it\\\","
        "\\\"metadata\\\":{\\\"k\\\":1}}\","
        "\"confidence\":0.9,\"usage_count\":1,\"success_count\":1,"
        "\"created_at\":1700000000000,\"last_used\":1700000000001}",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        assert_int_equal(parse(f, forms[i]), CAIRN_OK);
        assert_int_equal(f->pattern.dim, 2);
        assert_true(f->pattern.vector[1] == 2);
        assert_string_equal(f->pattern.text, "use it");
        assert_string_equal(f->pattern.payload, "{\"pattern\":\"use it\",\"metadata\":{\"k\":1}}");
        assert_true(f->pattern.created_at_ms == 1700000000000);
        assert_true(f->pattern.last_used_ms == 1700000000001);
    }
    assert_int_equal(parse(f, "{\"pattern_data\":{\"pattern\":{\"step\":1}},\"text\":\"t\"}"), CAIRN_OK);
    assert_string_equal(f->pattern.text, "t");
    assert_string_equal(f->pattern.payload, "{\"pattern\":{\"step\":1}}");
    assert_bad(f, "{\"pattern_data\":\"{\"}", CAIRN_INVALID_JSON, "\"pattern_data\"");
    assert_bad(f, "{\"pattern_data\":[1]}", CAIRN_INVALID_ARGUMENT, "\"pattern_data\"");
    assert_bad(f, "{\"pattern_data\":{\"embedding\":[1]},\"vector\":[1]}", CAIRN_INVALID_ARGUMENT,
               "takes the place");
}

static void all_kinds_of_vectors_are_read(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f,
                           "{\"vectors\":{\"d\":[1,2],\"s\":{\"indices\":[3,4294967295],\"values\":[0.5,1]},"
                           "\"m\":[[1,2],[3,4],[5,6]]}}"),
                     CAIRN_OK);
    const cairn_vector *v = f->pattern.vectors;
    assert_int_equal(f->pattern.vector_count, 3);
    assert_string_equal(v[0].space, "d");
    assert_int_equal(v[0].dim, 2);
    assert_int_equal(v[1].count, 2);
    assert_true(v[1].indices[1] == UINT32_MAX && v[1].values[0] == 0.5f);
    assert_int_equal(v[2].rows, 3);
    assert_int_equal(v[2].dim, 2);
    assert_true(v[2].values[5] == 6);

    assert_bad(f, "{\"vector\":[]}", CAIRN_INVALID_VECTOR, "no components");
    assert_bad(f, "{\"vector\":[1,\"2\"]}", CAIRN_INVALID_VECTOR, "no number");
    assert_bad(f, "{\"vector\":\"x\"}", CAIRN_INVALID_ARGUMENT, "not an array");
    assert_bad(f, "{\"vector\":[[1],[2]]}", CAIRN_INVALID_ARGUMENT, "not dense");
    assert_bad(f, "{\"vectors\":[1]}", CAIRN_INVALID_ARGUMENT, "\"vectors\"");
    assert_bad(f, "{\"vectors\":{\"s\":{\"indices\":[1],\"values\":[1,2]}}}", CAIRN_INVALID_ARGUMENT,
               "1 indices and 2 values");
    assert_bad(f, "{\"vectors\":{\"s\":{\"indices\":[-1],\"values\":[1]}}}", CAIRN_INVALID_ARGUMENT, "index");
    assert_bad(f, "{\"vectors\":{\"m\":[[1,2],[3]]}}", CAIRN_INVALID_VECTOR, "rows");
    assert_bad(f, "{\"vectors\":{\"m\":[[],[]]}}", CAIRN_LIMIT, "rows");
}

static void wrong_types_are_told_by_name(void **state)
{
    struct fixture *f = *state;

    assert_bad(f, "[1]", CAIRN_INVALID_ARGUMENT, "a record is a JSON object, not array");
    assert_bad(f, "{\"a\":", CAIRN_INVALID_JSON, "");
    assert_bad(f, "{\"domain\":3}", CAIRN_INVALID_ARGUMENT, "\"domain\" is");
    assert_bad(f, "{\"payload\":\"{}\"}", CAIRN_INVALID_ARGUMENT, "\"payload\" is");
    assert_bad(f, "{\"confidence\":\"high\"}", CAIRN_INVALID_ARGUMENT, "\"confidence\" is");
    assert_bad(f, "{\"usage_count\":1.5}", CAIRN_INVALID_ARGUMENT, "\"usage_count\" is");
    assert_bad(f, "{\"created_at\":\"yesterday\"}", CAIRN_INVALID_ARGUMENT, "yesterday");
    assert_bad(f, "{\"text\":\"a\\u0000b\"}", CAIRN_INVALID_ARGUMENT, "U+0000");
    assert_bad(f, "{\"text\":\"a\",\"text\":\"b\"}", CAIRN_INVALID_ARGUMENT, "\"text\" is there twice");
}

/* Writes the pattern, reads it, writes that, and compares. */
static void assert_round_trip(struct fixture *f, const cairn_pattern *pattern)
{
    crn_buf_clear(&f->buf);
    assert_int_equal(crn_cli_record_write(&f->buf, pattern, false), CAIRN_OK);
    char *first = strdup(f->buf.data);
    if (parse(f, first) != CAIRN_OK) fail_msg("%s: %s", first, f->err.message);
    crn_buf_clear(&f->buf);
    assert_int_equal(crn_cli_record_write(&f->buf, &f->pattern, false), CAIRN_OK);
    assert_string_equal(f->buf.data, first);
    assert_null(strchr(first, '\n'));
    free(first);
}

static void what_is_written_reads_back(void **state)
{
    struct fixture *f = *state;
    struct crn_rng rng;
    unsigned char entropy[16];
    const char *given = getenv("CAIRN_TEST_SEED");
    uint64_t seed;

    crn_rng_entropy(entropy);
    memcpy(&seed, entropy, sizeof seed);
    if (given != NULL) seed = strtoull(given, NULL, 0);
    print_message("CAIRN_TEST_SEED=%" PRIu64 "\n", seed);
    crn_rng_init(&rng, seed);

    for (int round = 0; round < 200; round++) {
        float values[64];
        uint32_t indices[] = {0, 7, UINT32_MAX};
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            do {
                uint32_t bits = (uint32_t)crn_rng_u64(&rng); /* any finite float, the smallest too */
                memcpy(&values[i], &bits, sizeof bits);
            } while (!isfinite(values[i]));
        }
        cairn_vector vectors[] = {{.space = "named \"space\"", .values = values, .dim = 5},
                                  {.space = "sparse", .values = values + 5, .indices = indices, .count = 3},
                                  {.space = "multi", .values = values + 8, .dim = 4, .rows = 6}};
        cairn_pattern pattern = {.size = sizeof pattern,
                                 .id = round % 2 == 0 ? "id \xc3\xa9\n\"" : NULL,
                                 .id_type = round % 2 == 0 ? CAIRN_ID_STRING : CAIRN_ID_U64,
                                 .id_u64 = crn_rng_u64(&rng),
                                 .domain = "d",
                                 .type = "",
                                 .text = "line\r\nbreak\ttab \xf0\x9f\xaa\xa8",
                                 .payload = "{\"a\":\n1.5,\"b\":18446744073709551615}",
                                 .vector = values,
                                 .dim = (uint32_t)COUNT_OF(values),
                                 .vectors = vectors,
                                 .vector_count = COUNT_OF(vectors),
                                 .confidence = crn_rng_unit(&rng),
                                 .usage_count = (int64_t)crn_rng_below(&rng, INT64_MAX),
                                 .created_at_ms = 1700000000000};
        crn_buf_clear(&f->buf);
        cairn_pattern compact = pattern; /* payloads are compact after the first reading */
        compact.payload = "{\"a\":1.5,\"b\":18446744073709551615}";
        assert_round_trip(f, &compact);
        assert_memory_equal(f->pattern.vector, values, sizeof values);
        assert_int_equal(crn_cli_record_write(&f->buf, &pattern, true), CAIRN_OK);
        crn_arena_clear(&f->arena);
    }
}

static void uuids_and_versions_are_written(void **state)
{
    struct fixture *f = *state;
    cairn_pattern pattern = {.size = sizeof pattern,
                             .id = "00000000-0000-0000-0000-000000000001",
                             .id_type = CAIRN_ID_UUID,
                             .version = 4,
                             .confidence = 0.5,
                             .created_at_ms = 5};

    crn_buf_clear(&f->buf);
    assert_int_equal(crn_cli_record_write(&f->buf, &pattern, true), CAIRN_OK);
    assert_string_equal(
        f->buf.data,
        "{\"id\":\"00000000-0000-0000-0000-000000000001\",\"id_type\":\"uuid\",\"confidence\":0.5,"
        "\"usage_count\":0,\"success_count\":0,\"created_at\":5,\"version\":4}");
    assert_round_trip(f, &pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_members_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_keep_their_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_members_join_the_payload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(agentdb_form_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_kinds_of_vectors_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_types_are_told_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(uuids_and_versions_are_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
