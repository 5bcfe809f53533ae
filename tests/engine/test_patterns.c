/* Writing patterns: what each way of it keeps and replaces, ids, and expiry. */
#include "tests/engine/notes.h"

#include "base/clock.h"

static const float right[2] = {1, 0}, up[2] = {0, 1};

static const cairn_pattern full = {.size = sizeof full,
                                   .id = "a",
                                   .domain = "build",
                                   .agent = "mason",
                                   .type = "lesson",
                                   .vector = right,
                                   .text = "use ccache",
                                   .payload = "{ \"size\" : 1 }",
                                   .confidence = 0.75,
                                   .usage_count = 7,
                                   .success_count = 5,
                                   .created_at_ms = 1000,
                                   .last_used_ms = 2000,
                                   .expires_at_ms = INT64_MAX};

/* What reading the row gives must be what `want` says; a NULL text or payload is none at all. */
static void expect_row(struct fixture *fixture, const cairn_pattern *want)
{
    cairn_patterns *patterns;
    const cairn_pattern *row = read_row(fixture->notes, string_id(want->id), &patterns);

    assert_non_null(row);
    assert_string_equal(row->id, want->id);
    assert_string_equal(row->domain, want->domain);
    assert_string_equal(row->agent, want->agent);
    assert_string_equal(row->type, want->type);
    assert_int_equal(row->text == NULL, want->text == NULL);
    if (want->text != NULL) assert_string_equal(row->text, want->text);
    assert_int_equal(row->payload == NULL, want->payload == NULL);
    if (want->payload != NULL) assert_string_equal(row->payload, want->payload);
    assert_true(row->confidence == want->confidence);
    assert_int_equal(row->usage_count, want->usage_count);
    assert_int_equal(row->success_count, want->success_count);
    if (want->created_at_ms != 0) assert_int_equal(row->created_at_ms, want->created_at_ms);
    assert_int_equal(row->last_used_ms, want->last_used_ms);
    assert_int_equal(row->expires_at_ms, want->expires_at_ms);
    assert_int_equal(row->version, want->version);
    assert_int_equal(row->dim, 2);
    assert_memory_equal(row->vector, want->vector, sizeof right);
    cairn_patterns_free(patterns);
}

static cairn_pattern stored_full(uint64_t version)
{
    cairn_pattern want = full;

    want.payload = "{\"size\":1}";
    want.version = version;
    return want;
}

/* ---- writing ---- */

static void an_insert_keeps_what_it_is_given(void **state)
{
    struct fixture *fixture = *state;
    const int64_t before_ms = crn_clock_ms();
    const cairn_written written = write_one(fixture, CAIRN_INSERT, &full);
    const cairn_pattern want = stored_full(1);
    cairn_patterns *patterns;

    assert_string_equal(written.id, "");
    assert_int_equal(written.version, 1);
    assert_true(written.created);
    expect_row(fixture, &want);
    put(CAIRN_INSERT, .id = "bare", .vector = up);
    expect_row(fixture, &(cairn_pattern){.id = "bare",
                                         .domain = "",
                                         .agent = "",
                                         .type = "pattern",
                                         .version = 1,
                                         .confidence = CAIRN_CONFIDENCE_DEFAULT,
                                         .vector = up});
    const cairn_pattern *row = read_row(fixture->notes, string_id("bare"), &patterns);
    assert_true(row->created_at_ms >= before_ms && row->created_at_ms <= crn_clock_ms());
    cairn_patterns_free(patterns);
    put(CAIRN_INSERT, .id = "doubtful", .vector = up, .fields = CAIRN_FIELD_CONFIDENCE);
    expect_row(
        fixture,
        &(cairn_pattern){
            .id = "doubtful", .domain = "", .agent = "", .type = "pattern", .version = 1, .vector = up});
}

static void an_upsert_replaces_all_but_age_and_use(void **state)
{
    struct fixture *fixture = *state;
    cairn_pattern want = {.id = "a",
                          .domain = "",
                          .agent = "",
                          .type = "pattern",
                          .version = 2,
                          .vector = up,
                          .confidence = CAIRN_CONFIDENCE_DEFAULT,
                          .usage_count = 7,
                          .success_count = 5,
                          .created_at_ms = 1000,
                          .last_used_ms = 2000};

    assert_true(write_one(fixture, CAIRN_UPSERT, &full).created);
    const cairn_written written = put(CAIRN_UPSERT, .id = "a", .vector = up);
    assert_int_equal(written.version, 2);
    assert_false(written.created);
    expect_row(fixture, &want);

    put(CAIRN_UPSERT, .id = "a", .vector = up, .usage_count = 9, .created_at_ms = 3000);
    want.version = 3;
    want.usage_count = 9;
    want.created_at_ms = 3000;
    expect_row(fixture, &want);

    put(CAIRN_UPSERT, .id = "a", .vector = up,
        .fields = CAIRN_FIELD_USAGE | CAIRN_FIELD_SUCCESS | CAIRN_FIELD_LAST_USED);
    want.version = 4;
    want.usage_count = want.success_count = want.last_used_ms = 0;
    expect_row(fixture, &want);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = up, .k = 5), "a");
}

static void an_update_keeps_what_it_does_not_name(void **state)
{
    struct fixture *fixture = *state;
    cairn_pattern want = stored_full(2);

    write_one(fixture, CAIRN_INSERT, &full);
    put(CAIRN_UPDATE, .id = "a");
    expect_row(fixture, &want);

#define changes(field, value)                       \
    put(CAIRN_UPDATE, .id = "a", .field = (value)); \
    want.field = (value);                           \
    want.version++;                                 \
    expect_row(fixture, &want)

    changes(domain, "test");
    changes(agent, "");
    changes(type, "rule");
    changes(text, "use sccache");
    changes(payload, "{\"speed\":2}");
    changes(confidence, 0.25);
    changes(usage_count, 8);
    changes(success_count, 6);
    changes(created_at_ms, 1001);
    changes(last_used_ms, 2001);
    changes(expires_at_ms, INT64_MAX - 1);
    changes(vector, up);
#undef changes
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = up, .k = 5, .domain = "test"), "a");
}

static void an_update_sets_the_zeros_it_names(void **state)
{
    static const cairn_field fields[] = {CAIRN_FIELD_CONFIDENCE, CAIRN_FIELD_USAGE, CAIRN_FIELD_SUCCESS,
                                         CAIRN_FIELD_LAST_USED, CAIRN_FIELD_EXPIRES};
    struct fixture *fixture = *state;
    cairn_pattern want = stored_full(1);

    write_one(fixture, CAIRN_INSERT, &full);
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        put(CAIRN_UPDATE, .id = "a", .fields = fields[i]);
        want.version++;
        if (fields[i] == CAIRN_FIELD_CONFIDENCE) want.confidence = 0;
        if (fields[i] == CAIRN_FIELD_USAGE) want.usage_count = 0;
        if (fields[i] == CAIRN_FIELD_SUCCESS) want.success_count = 0;
        if (fields[i] == CAIRN_FIELD_LAST_USED) want.last_used_ms = 0;
        if (fields[i] == CAIRN_FIELD_EXPIRES) want.expires_at_ms = 0;
        expect_row(fixture, &want);
    }
}

static void the_later_of_two_for_one_id_wins(void **state)
{
    struct fixture *fixture = *state;
    const cairn_pattern rows[] = {{.size = sizeof *rows, .id = "a", .vector = right, .text = "first"},
                                  {.size = sizeof *rows, .id = "b", .vector = right},
                                  {.size = sizeof *rows, .id = "a", .vector = up, .text = "second"}};
    cairn_written written[3];

    ok(cairn_write(fixture->notes, CAIRN_UPSERT, rows, 3, written, err));
    assert_int_equal(written[0].version, 1);
    assert_int_equal(written[2].version, 2);
    assert_true(written[0].created && written[1].created && !written[2].created);
    expect_row(fixture, &(cairn_pattern){.id = "a",
                                         .domain = "",
                                         .agent = "",
                                         .type = "pattern",
                                         .text = "second",
                                         .confidence = CAIRN_CONFIDENCE_DEFAULT,
                                         .version = 2,
                                         .vector = up});
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = up, .k = 5), "a b");
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = up, .k = 5), "a b");
    assert_int_equal(count_of(fixture->notes, NULL), 2);
}

static void missing_ids_are_made(void **state)
{
    struct fixture *fixture = *state;
    cairn_pattern rows[3] = {{.size = sizeof *rows, .vector = right},
                             {.size = sizeof *rows, .vector = up},
                             {.size = sizeof *rows, .vector = up, .id = "mine"}};
    cairn_written written[3];
    uint64_t deleted;

    ok(cairn_write(fixture->notes, CAIRN_INSERT, rows, 3, written, err));
    assert_string_not_equal(written[0].id, written[1].id);
    assert_string_equal(written[2].id, "");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(strlen(written[i].id), 36); /* a UUID, version 7, variant 1: RFC 9562 */
        assert_int_equal(written[i].id[14], '7');
        assert_non_null(strchr("89ab", written[i].id[19]));
        assert_true(has_row(fixture->notes, written[i].id));
    }
    const cairn_id id = string_id(written[0].id);
    ok(cairn_delete(fixture->notes, &id, 1, &deleted, err));
    assert_int_equal(deleted, 1);
    assert_false(has_row(fixture->notes, written[0].id));
    assert_int_equal(count_of(fixture->notes, NULL), 2);
}

/* ---- expiry ---- */

static void expect_absent(struct fixture *fixture, const char *id)
{
    cairn_patterns *patterns;
    uint64_t deleted, cursor = 0;

    assert_false(has_row(fixture->notes, id));
    assert_int_equal(count_of(fixture->notes, NULL), 0);
    assert_int_equal(count_of(fixture->notes, CAIRN_OPTIONS(cairn_scope, .type = "pattern")), 0);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5), "");
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5, .type = "pattern"), "");
    ok(cairn_scroll(fixture->notes, NULL, &cursor, 5, false, &patterns, err));
    assert_int_equal(cairn_patterns_count(patterns), 0);
    cairn_patterns_free(patterns);
    refused(CAIRN_NOT_FOUND, id,
            cairn_update(fixture->notes, CAIRN_OPTIONS(cairn_pattern, .id = id), 1, err));
    ok(cairn_delete_where(fixture->notes, CAIRN_OPTIONS(cairn_scope, .type = "pattern"), &deleted, err));
    assert_int_equal(deleted, 0);
}

static void expired_patterns_are_gone(void **state)
{
    struct fixture *fixture = *state;
    const cairn_id id = string_id("a");
    uint64_t deleted;

    put(CAIRN_INSERT, .id = "a", .vector = right, .expires_at_ms = 1);
    expect_absent(fixture, "a");
    ok(cairn_delete(fixture->notes, &id, 1, &deleted, err));
    assert_int_equal(deleted, 0);
    put(CAIRN_INSERT, .id = "a", .vector = right, .expires_at_ms = 1);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    expect_absent(fixture, "a");
}

static void an_expired_id_is_free_again(void **state)
{
    static const cairn_write_mode modes[] = {CAIRN_INSERT, CAIRN_UPSERT};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        cairn_pattern expired = full;
        expired.id = i == 0 ? "a" : "b";
        expired.expires_at_ms = 1;
        write_one(fixture, CAIRN_INSERT, &expired);
        const cairn_written written =
            put(modes[i], .id = expired.id, .vector = up, .if_version = CAIRN_VERSION_NONE);
        assert_true(written.created);
        assert_int_equal(written.version, 1);
        expect_row(fixture, &(cairn_pattern){.id = expired.id,
                                             .domain = "",
                                             .agent = "",
                                             .type = "pattern",
                                             .version = 1,
                                             .confidence = CAIRN_CONFIDENCE_DEFAULT,
                                             .vector = up});
    }
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = up, .k = 5), "a b");
}

static void patterns_expire_while_they_are_looked_at(void **state)
{
    struct fixture *fixture = *state;
    const int64_t expires_at_ms = crn_clock_ms() + 100;

    put(CAIRN_INSERT, .id = "a", .vector = right, .expires_at_ms = INT64_MAX);
    put(CAIRN_INSERT, .id = "b", .vector = right, .expires_at_ms = expires_at_ms);
    put(CAIRN_INSERT, .id = "c", .vector = right, .expires_at_ms = 1);
    put(CAIRN_UPDATE, .id = "a", .expires_at_ms = expires_at_ms);
    put(CAIRN_INSERT, .id = "d", .vector = right, .expires_at_ms = expires_at_ms);
    put(CAIRN_UPDATE, .id = "d", .fields = CAIRN_FIELD_EXPIRES);
    cairn_results *results;
    ok(cairn_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5), &results, err));
    if (crn_clock_ms() < expires_at_ms) expect_hits(results, "a b d");
    cairn_results_free(results);
    while (crn_clock_ms() < expires_at_ms) usleep(1000);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5), "d");
    assert_int_equal(count_of(fixture->notes, NULL), 1);
    put(CAIRN_INSERT, .id = "b", .vector = right);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5), "d b");
}

/* ---- ids ---- */

static void ids_of_three_types_are_told_apart(void **state)
{
    static const char uuid[] = "01234567-89ab-7def-8123-456789abcdef";
    struct fixture *fixture = *state;
    const cairn_pattern rows[] = {
        {.size = sizeof *rows, .vector = right, .id = "42", .text = "string"},
        {.size = sizeof *rows, .vector = right, .id_type = CAIRN_ID_U64, .id_u64 = 42, .text = "number"},
        {.size = sizeof *rows, .vector = right, .id = uuid, .text = "string uuid"},
        {.size = sizeof *rows, .vector = right, .id = uuid, .id_type = CAIRN_ID_UUID, .text = "uuid"},
        {.size = sizeof *rows, .vector = right, .id_type = CAIRN_ID_U64, .id_u64 = 0, .text = "zero"},
        {.size = sizeof *rows,
         .vector = right,
         .id_type = CAIRN_ID_U64,
         .id_u64 = UINT64_MAX,
         .text = "largest"},
    };
    const cairn_id ids[] = {
        {CAIRN_ID_STRING, "42", 0},   {CAIRN_ID_U64, NULL, 42},
        {CAIRN_ID_STRING, uuid, 0},   {CAIRN_ID_UUID, "0123456789AB7DEF8123456789ABCDEF", 0},
        {CAIRN_ID_U64, "ignored", 0}, {CAIRN_ID_U64, NULL, UINT64_MAX},
    };
    static const char *const texts[] = {"42", "42", uuid, uuid, "0", "18446744073709551615"};
    cairn_patterns *patterns;
    cairn_results *results;

    ok(cairn_insert(fixture->notes, rows, COUNT_OF(rows), err));
    ok(cairn_get(fixture->notes, ids, COUNT_OF(ids), false, &patterns, err));
    ok(cairn_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 10), &results, err));
    assert_int_equal(cairn_results_count(results), COUNT_OF(rows));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const cairn_pattern *row = cairn_patterns_at(patterns, i);
        const cairn_id *id = &cairn_results_at(results, i)->id;
        assert_string_equal(row->text, rows[i].text);
        assert_string_equal(row->id, texts[i]);
        assert_int_equal(row->id_type, rows[i].id_type);
        assert_int_equal(row->id_u64, rows[i].id_u64);
        assert_int_equal(id->type, rows[i].id_type); /* equal distances: in the order they were inserted */
        assert_string_equal(id->text, texts[i]);
        assert_int_equal(id->u64, rows[i].id_u64);
    }
    cairn_results_free(results);
    cairn_patterns_free(patterns);
    delete_row(fixture->notes, "42");
    assert_int_equal(count_of(fixture->notes, NULL), COUNT_OF(rows) - 1);
}

static void ids_may_be_as_long_as_is_said(void **state)
{
    struct fixture *fixture = *state;
    char longest[CAIRN_ID_MAX + 1];

    for (size_t i = 0; i < CAIRN_ID_MAX; i += 2) memcpy(longest + i, "\xc3\xa9", 2);
    longest[CAIRN_ID_MAX] = '\0';
    put(CAIRN_INSERT, .id = longest, .vector = right);
    put(CAIRN_INSERT, .id = "\x01 \"quoted\"\n", .vector = up);
    assert_true(has_row(fixture->notes, longest));
    assert_true(has_row(fixture->notes, "\x01 \"quoted\"\n"));
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 1), longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_insert_keeps_what_it_is_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_upsert_replaces_all_but_age_and_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_update_keeps_what_it_does_not_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_update_sets_the_zeros_it_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_later_of_two_for_one_id_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_ids_are_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(expired_patterns_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_expired_id_is_free_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_expire_while_they_are_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_of_three_types_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_may_be_as_long_as_is_said, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
