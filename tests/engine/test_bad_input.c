/* What is refused when collections are made and patterns are written: by which name, with which words. */
#include "tests/engine/bad_input.h"

static const float fine[4] = {1, 2, 3, 4};

/* ---- opening databases and collections ---- */

static void databases_are_opened_with_known_options(void **state)
{
    struct fixture *fixture = *state;
    const char *path = fixture->database.path;
    cairn_open_options options = {0};
    cairn_db *db;

    rejected(CAIRN_INVALID_OPTION, "cairn_open_options.size is 0", cairn_open(path, &options, &db, err));
    assert_null(db);
    options.size = sizeof options + 8;
    rejected(CAIRN_INVALID_OPTION, "cairn_open_options.size", cairn_open(path, &options, &db, err));
    options = (cairn_open_options){.size = sizeof options, .durability = (cairn_durability)7};
    rejected(CAIRN_INVALID_OPTION, "7 is not a durability", cairn_open(path, &options, &db, err));
    rejected(CAIRN_INVALID_ARGUMENT, "path is empty", cairn_open("", NULL, &db, err));
    rejected(CAIRN_INVALID_ARGUMENT, "path is empty", cairn_open(NULL, NULL, &db, err));
    rejected(CAIRN_INVALID_ARGUMENT, "out_db is NULL", cairn_open(path, NULL, NULL, err));
}

#define create(name, ...) \
    cairn_collection_create(db, name, CAIRN_OPTIONS(cairn_collection_options, __VA_ARGS__), err)

static void collections_have_proper_names(void **state)
{
    struct fixture *fixture = *state;
    cairn_db *db = fixture->database.db;
    cairn_collection *collection;
    char *name = long_text(CAIRN_NAME_MAX + 1);

    rejected(CAIRN_INVALID_ARGUMENT, "longer than 255 bytes", create(name, .dim = 2));
    rejected(CAIRN_INVALID_ARGUMENT, "name is empty", create("", .dim = 2));
    rejected(CAIRN_INVALID_ARGUMENT, "name is empty", create(NULL, .dim = 2));
    rejected(CAIRN_INVALID_ARGUMENT, "(0x0a) at byte 3", create("two\nlines", .dim = 2));
    rejected(CAIRN_INVALID_UTF8, NOT_UTF8_AT, create(NOT_UTF8, .dim = 2));
    rejected(CAIRN_EXISTS, "plain", create("plain", .dim = 2));
    rejected(CAIRN_NO_COLLECTION, "nowhere", cairn_collection_open(db, "nowhere", NULL, &collection, err));
    assert_null(collection);
    rejected(CAIRN_NO_COLLECTION, "nowhere", cairn_collection_drop(db, "nowhere", err));
    rejected(CAIRN_INVALID_UTF8, NOT_UTF8_AT, cairn_collection_drop(db, NOT_UTF8, err));
    free(name);
}

static void collections_are_made_with_known_options(void **state)
{
    struct fixture *fixture = *state;
    cairn_db *db = fixture->database.db;
    const cairn_collection_options unsized = {.dim = 2};
    const cairn_collection_options oversized = {.size = sizeof oversized + 1, .dim = 2};

    rejected(CAIRN_INVALID_OPTION, "size is 0", cairn_collection_create(db, "new", &unsized, err));
    rejected(CAIRN_INVALID_OPTION, "cairn_collection_options.size",
             cairn_collection_create(db, "new", &oversized, err));
    rejected(CAIRN_INVALID_ARGUMENT, "options are NULL", cairn_collection_create(db, "new", NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "dim 0", create("new", .dim = 0));
    rejected(CAIRN_INVALID_ARGUMENT, "dim 65537", create("new", .dim = CAIRN_DIM_MAX + 1));
    rejected(CAIRN_INVALID_OPTION, "99 is not a metric", create("new", .dim = 2, .metric = (cairn_metric)99));
    rejected(CAIRN_INVALID_OPTION, "-1 is not a metric", create("new", .dim = 2, .metric = (cairn_metric)-1));
    rejected(CAIRN_INVALID_OPTION, "77 is not a quantization",
             create("new", .dim = 2, .quantization = (cairn_quantization)77));
    rejected(CAIRN_INVALID_OPTION, "'tree'", create("new", .dim = 2, .index = "tree"));
    rejected(CAIRN_INVALID_OPTION, "Nonsense", create("new", .dim = 2, .index = "faiss:Nonsense"));
    rejected(CAIRN_INVALID_UTF8, NOT_UTF8_AT, create("new", .dim = 2, .model = NOT_UTF8));
    rejected(CAIRN_INVALID_JSON, "JSON", create("new", .dim = 2, .metadata = "{\"a\":}"));
    rejected(CAIRN_INVALID_JSON, "array, not an object", create("new", .dim = 2, .metadata = "[]"));
    rejected(CAIRN_INVALID_UTF8, "byte 7", create("new", .dim = 2, .metadata = "{\"a\": \"\xff\"}"));
}

#define create_spaces(...)                                        \
    create("new", .spaces = (cairn_space_options[]){__VA_ARGS__}, \
           .space_count = sizeof((cairn_space_options[]){__VA_ARGS__}) / sizeof(cairn_space_options))
#define SPACE(...)                                       \
    {                                                    \
        .size = sizeof(cairn_space_options), __VA_ARGS__ \
    }

static void spaces_are_checked_one_by_one(void **state)
{
    struct fixture *fixture = *state;
    cairn_db *db = fixture->database.db;
    cairn_space_options many[CAIRN_SPACES_MAX + 1];
    char *name = long_text(CAIRN_NAME_MAX + 1);

    memset(many, 0, sizeof many);
    rejected(CAIRN_LIMIT, "65 spaces", create("new", .spaces = many, .space_count = COUNT_OF(many)));
    rejected(CAIRN_INVALID_ARGUMENT, "2 spaces were announced", create("new", .space_count = 2));
    rejected(CAIRN_INVALID_OPTION, "cairn_space_options.size is 0", create_spaces({.dim = 2}));
    rejected(CAIRN_EXISTS, "two spaces are named 'x'",
             create_spaces(SPACE(.name = "x", .dim = 2), SPACE(.name = "x", .dim = 3)));
    rejected(CAIRN_EXISTS, "two spaces are named ''",
             create_spaces(SPACE(.dim = 2), SPACE(.name = "", .dim = 3)));
    rejected(CAIRN_INVALID_OPTION, "9 is not a kind",
             create_spaces(SPACE(.dim = 2, .kind = (cairn_space_kind)9)));
    rejected(CAIRN_INVALID_ARGUMENT, "has no dim, 5",
             create_spaces(SPACE(.kind = CAIRN_SPACE_SPARSE, .dim = 5)));
    rejected(CAIRN_UNSUPPORTED, "dot product",
             create_spaces(SPACE(.kind = CAIRN_SPACE_SPARSE, .metric = CAIRN_METRIC_L2)));
    rejected(CAIRN_INVALID_ARGUMENT, "dim 0", create_spaces(SPACE(.kind = CAIRN_SPACE_MULTI)));
    rejected(CAIRN_INVALID_ARGUMENT, "longer than 255", create_spaces(SPACE(.name = name, .dim = 2)));
    rejected(CAIRN_INVALID_UTF8, NOT_UTF8_AT, create_spaces(SPACE(.name = NOT_UTF8, .dim = 2)));
    free(name);
}

#define reopen(name, ...)                                                                                   \
    cairn_collection_open(fixture->database.db, name, CAIRN_OPTIONS(cairn_collection_options, __VA_ARGS__), \
                          &collection, err)

static void options_at_opening_must_agree(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *collection;
    const cairn_space_options absent = {.size = sizeof absent, .name = "colours"};
    const cairn_space_options other = {.size = sizeof other, .name = "parts", .dim = 4};
    const cairn_space_options kind = {.size = sizeof kind, .name = "parts", .kind = CAIRN_SPACE_SPARSE};

    rejected(CAIRN_DIM_MISMATCH, "dim 4, 5 was asked for", reopen("notes", .dim = 5));
    rejected(CAIRN_INVALID_OPTION, "metric cosine, l2", reopen("notes", .metric = CAIRN_METRIC_L2));
    rejected(CAIRN_INVALID_OPTION, "quantization none, scalar",
             reopen("notes", .quantization = CAIRN_QUANTIZATION_SCALAR));
    rejected(CAIRN_INVALID_OPTION, "index auto, flat", reopen("notes", .index = "flat"));
    rejected(CAIRN_MODEL_MISMATCH, "'m2'", reopen("notes", .model = "m2"));
    rejected(CAIRN_INVALID_OPTION, "lexical off, on", reopen("plain", .lexical = true));
    rejected(CAIRN_INVALID_OPTION, "metadata", reopen("notes", .metadata = "{\"owner\":\"me\"}"));
    rejected(CAIRN_INVALID_ARGUMENT, "'colours'", reopen("spaces", .spaces = &absent, .space_count = 1));
    rejected(CAIRN_DIM_MISMATCH, "dim 3, 4 was asked for",
             reopen("spaces", .spaces = &other, .space_count = 1));
    rejected(CAIRN_INVALID_OPTION, "kind multi, sparse", reopen("spaces", .spaces = &kind, .space_count = 1));
    rejected(CAIRN_INVALID_ARGUMENT, "1 spaces were announced", reopen("spaces", .space_count = 1));
    assert_null(collection);
    ok(reopen("notes", .dim = 4, .metric = CAIRN_METRIC_COSINE, .index = "auto", .model = "m1",
              .lexical = true, .metadata = "{\"owner\":\"tests\"}"));
    cairn_collection_close(collection);
}

/* ---- patterns ---- */

struct bad_pattern {
    cairn_status status;
    const char *text;
    cairn_pattern pattern;
};

/* Each is tried as the second of two, in each mode: the first must not be stored either. */
static void try_patterns(struct fixture *fixture, cairn_collection *collection, const struct bad_pattern *bad,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (cairn_write_mode mode = CAIRN_UPSERT; mode <= CAIRN_UPDATE; mode++) {
            cairn_pattern both[2] = {{.size = sizeof *both, .id = mode == CAIRN_UPDATE ? "a" : "new"}};
            both[0].vector = collection == fixture->notes ? fine : NULL;
            both[0].text = "first";
            both[1] = bad[i].pattern;
            both[1].size = sizeof *both;
            if (both[1].id == NULL && both[1].id_type == CAIRN_ID_STRING) both[1].id = "b";
            cairn_error error = {0};
            const cairn_status status = cairn_write(collection, mode, both, 2, NULL, &error);
            if (status != bad[i].status || error.status != status ||
                strstr(error.message, bad[i].text) == NULL || strstr(error.message, "pattern 1 ") == NULL) {
                fail_msg("pattern %zu, mode %d: %s: '%s' (expected %s with '%s')", i, (int)mode,
                         cairn_status_name(status), error.message, cairn_status_name(bad[i].status),
                         bad[i].text);
            }
            check_unchanged(fixture);
        }
    }
}

static void vectors_are_checked(void **state)
{
    const float nan_at_2[] = {1, 2, NAN, 4}, inf_at_0[] = {INFINITY, 2, 3, 4},
                minus_at_3[] = {1, 2, 3, -INFINITY};
    const float zero[] = {0, 0, -0.0f, 0};
    const cairn_vector elsewhere = {.space = "colours", .values = fine}, valueless = {.dim = 4};
    const cairn_vector twice[] = {{.values = fine}, {.space = "", .values = fine}};
    const struct bad_pattern bad[] = {
        {CAIRN_INVALID_VECTOR, "component 2 of the vector is NaN", {.vector = nan_at_2}},
        {CAIRN_INVALID_VECTOR, "component 0 of the vector is infinite", {.vector = inf_at_0}},
        {CAIRN_INVALID_VECTOR, "component 3 of the vector is minus infinity", {.vector = minus_at_3}},
        {CAIRN_DIM_MISMATCH, "3 components, the space '' has 4", {.vector = fine, .dim = 3}},
        {CAIRN_DIM_MISMATCH, "4294967295 components", {.vector = fine, .dim = UINT32_MAX}},
        {CAIRN_ZERO_VECTOR, "all 4 components", {.vector = zero}},
        {CAIRN_MODEL_MISMATCH, "'m2', the space '' holds vectors of 'm1'", {.vector = fine, .model = "m2"}},
        {CAIRN_INVALID_ARGUMENT, "no space 'colours'", {.vectors = &elsewhere, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "has no values", {.vectors = &valueless, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "given two vectors", {.vectors = twice, .vector_count = 2}},
        {CAIRN_INVALID_ARGUMENT, "given two vectors", {.vector = fine, .vectors = twice, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "1 vectors were announced", {.vector = fine, .vector_count = 1}},
        {CAIRN_LIMIT, "65 vectors", {.vectors = twice, .vector_count = 65}},
    };
    struct fixture *fixture = *state;

    try_patterns(fixture, fixture->notes, bad, COUNT_OF(bad));
}

static void sparse_and_multi_vectors_are_checked(void **state)
{
    const float values[] = {1, 2, NAN, 4, 5, 6};
    const uint32_t descending[] = {3, 2}, twice[] = {7, 7}, fine_indices[] = {1, 5, 9};
    const cairn_vector unordered = {.space = "words", .values = values, .indices = descending, .count = 2};
    const cairn_vector repeated = {.space = "words", .values = values, .indices = twice, .count = 2};
    const cairn_vector nan = {.space = "words", .values = values, .indices = fine_indices, .count = 3};
    const cairn_vector bare = {.space = "words", .values = values, .count = 2};
    const cairn_vector empty = {.space = "words", .indices = fine_indices, .count = 2};
    const cairn_vector huge = {
        .space = "words", .values = values, .indices = fine_indices, .count = UINT32_MAX};
    const cairn_vector rowless = {.space = "parts", .values = values};
    const cairn_vector wide = {.space = "parts", .values = values, .dim = 2, .rows = 3};
    const cairn_vector nan_row = {.space = "parts", .values = values, .rows = 2};
    const cairn_vector endless = {.space = "parts", .values = values, .rows = UINT32_MAX};
    const struct bad_pattern bad[] = {
        {CAIRN_INVALID_VECTOR, "3 is followed by 2", {.vectors = &unordered, .vector_count = 1}},
        {CAIRN_INVALID_VECTOR, "7 is followed by 7", {.vectors = &repeated, .vector_count = 1}},
        {CAIRN_INVALID_VECTOR, "component 2", {.vectors = &nan, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "no indices", {.vectors = &bare, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "'words' has no values", {.vectors = &empty, .vector_count = 1}},
        {CAIRN_LIMIT, "4294967295 entries", {.vectors = &huge, .vector_count = 1}},
        {CAIRN_INVALID_ARGUMENT, "no rows", {.vectors = &rowless, .vector_count = 1}},
        {CAIRN_DIM_MISMATCH,
         "rows of 2 components, the space 'parts' has 3",
         {.vectors = &wide, .vector_count = 1}},
        {CAIRN_INVALID_VECTOR, "component 2", {.vectors = &nan_row, .vector_count = 1}},
        {CAIRN_LIMIT, "4294967295 rows", {.vectors = &endless, .vector_count = 1}},
    };
    struct fixture *fixture = *state;

    try_patterns(fixture, fixture->spaces, bad, COUNT_OF(bad));
}

static void fields_are_checked(void **state)
{
    char *name = long_text(CAIRN_NAME_MAX + 1), *id = long_text(CAIRN_ID_MAX + 1);
    char *text = long_text((size_t)CAIRN_TEXT_MAX + 1), *payload = long_text((size_t)CAIRN_PAYLOAD_MAX + 1);
    const struct bad_pattern bad[] = {
        {CAIRN_INVALID_ID, "the id is empty", {.id = ""}},
        {CAIRN_INVALID_ID, "longer than 512 bytes", {.id = id}},
        {CAIRN_INVALID_UTF8, NOT_UTF8_AT, {.id = NOT_UTF8}},
        {CAIRN_INVALID_ID, "'not-a-uuid' is not a UUID", {.id = "not-a-uuid", .id_type = CAIRN_ID_UUID}},
        {CAIRN_INVALID_ID, "'' is not a UUID", {.id_type = CAIRN_ID_UUID}},
        {CAIRN_INVALID_ID, "9 is not an id type", {.id = "x", .id_type = (cairn_id_type)9}},
        {CAIRN_INVALID_UTF8, "domain is not valid UTF-8 at " NOT_UTF8_AT, {.domain = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "agent is not valid UTF-8 at " NOT_UTF8_AT, {.agent = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "type is not valid UTF-8 at " NOT_UTF8_AT, {.type = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "model is not valid UTF-8 at " NOT_UTF8_AT, {.model = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "text is not valid UTF-8 at " NOT_UTF8_AT, {.text = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "byte 6", {.payload = "{\"a\":\"\xff\"}"}},
        {CAIRN_INVALID_ARGUMENT, "domain has a control character (0x01) at byte 1", {.domain = "a\x01"}},
        {CAIRN_INVALID_ARGUMENT, "agent has a control character (0x7f) at byte 0", {.agent = "\x7f"}},
        {CAIRN_INVALID_ARGUMENT, "the domain 'xxx", {.domain = name}},
        {CAIRN_INVALID_ARGUMENT, "the type 'xxx", {.type = name}},
        {CAIRN_INVALID_JSON, "JSON", {.payload = "{"}},
        {CAIRN_INVALID_JSON, "JSON", {.payload = ""}},
        {CAIRN_INVALID_JSON, "JSON", {.payload = "{\"n\": 18446744073709551616}"}},
        {CAIRN_INVALID_JSON, "array, not an object", {.payload = "[1]"}},
        {CAIRN_INVALID_JSON, "string, not an object", {.payload = "\"x\""}},
        {CAIRN_LIMIT, "the text is longer than 67108864 bytes", {.text = text}},
        {CAIRN_LIMIT, "the payload is longer than 67108864 bytes", {.payload = payload}},
        {CAIRN_INVALID_ARGUMENT, "confidence 1.5", {.confidence = 1.5}},
        {CAIRN_INVALID_ARGUMENT, "confidence -0.25", {.confidence = -0.25}},
        {CAIRN_INVALID_ARGUMENT, "confidence nan", {.confidence = NAN}},
        {CAIRN_INVALID_ARGUMENT, "usage -3", {.usage_count = -3}},
        {CAIRN_INVALID_ARGUMENT, "success -4", {.success_count = -4}},
        {CAIRN_INVALID_ARGUMENT, "created -5", {.created_at_ms = -5}},
        {CAIRN_INVALID_ARGUMENT, "last used -6", {.last_used_ms = -6}},
        {CAIRN_INVALID_ARGUMENT, "expires -7", {.expires_at_ms = -7}},
        {CAIRN_INVALID_OPTION, "1024, which is no cairn_field", {.fields = 1024}},
    };
    struct fixture *fixture = *state;

    try_patterns(fixture, fixture->notes, bad, COUNT_OF(bad));
    free(name);
    free(id);
    free(text);
    free(payload);
}

static void writes_are_checked(void **state)
{
    struct fixture *fixture = *state;
    const cairn_pattern unsized = {.id = "n", .vector = fine},
                        oversized = {.size = 7, .id = "n", .vector = fine};
    const cairn_pattern row = {.size = sizeof row, .id = "n", .vector = fine};

    rejected(CAIRN_INVALID_OPTION, "cairn_pattern.size is 0", cairn_upsert(fixture->notes, &unsized, 1, err));
    rejected(CAIRN_INVALID_OPTION, "cairn_pattern.size is 7",
             cairn_upsert(fixture->notes, &oversized, 1, err));
    rejected(CAIRN_INVALID_ARGUMENT, "5 is not a write mode",
             cairn_write(fixture->notes, (cairn_write_mode)5, &row, 1, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "patterns is NULL", cairn_insert(fixture->notes, NULL, 1, err));
    rejected(CAIRN_INVALID_ARGUMENT, "collection is NULL", cairn_insert(NULL, &row, 1, err));
    rejected(CAIRN_INVALID_ID, "needs an id",
             cairn_update(fixture->notes, CAIRN_OPTIONS(cairn_pattern, .vector = fine), 1, err));
    rejected(CAIRN_INVALID_ARGUMENT, "has no vector",
             cairn_upsert(fixture->plain, CAIRN_OPTIONS(cairn_pattern, .id = "n", .text = "words"), 1, err));
    ok(cairn_insert(fixture->notes, NULL, 0, err));
    check_unchanged(fixture);
}

static void zero_vectors_have_no_direction_under_cosine_alone(void **state)
{
    static const cairn_metric metrics[] = {CAIRN_METRIC_L2, CAIRN_METRIC_DOT, CAIRN_METRIC_MANHATTAN};
    struct fixture *fixture = *state;
    const float zero[2] = {0, 0};
    cairn_collection *collection;

    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        ok(reopen("zeros", .dim = 2, .metric = metrics[i]));
        ok(cairn_insert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "0", .vector = zero), 1, err));
        expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = zero, .k = 2), "0");
        cairn_collection_close(collection);
        ok(cairn_collection_drop(fixture->database.db, "zeros", err));
    }
}

/* ---- what a write expects to find ---- */

#define write_one(mode, ...)                                                                        \
    cairn_write(fixture->notes, mode, CAIRN_OPTIONS(cairn_pattern, .vector = fine, __VA_ARGS__), 1, \
                &written, err)

static void conditions_of_a_write_hold_or_nothing_is_stored(void **state)
{
    struct fixture *fixture = *state;
    cairn_written written;

    rejected(CAIRN_EXISTS, "'a' is taken (version 1)", write_one(CAIRN_INSERT, .id = "a"));
    rejected(CAIRN_NOT_FOUND, "no 'z' to update", write_one(CAIRN_UPDATE, .id = "z"));
    rejected(CAIRN_NOT_FOUND, "no '97' to update",
             write_one(CAIRN_UPDATE, .id_type = CAIRN_ID_U64, .id_u64 = 97));
    rejected(CAIRN_CONFLICT, "'a' is at version 1, expected was 2",
             write_one(CAIRN_UPSERT, .id = "a", .if_version = 2));
    rejected(CAIRN_CONFLICT, "'a' is at version 1, expected was 9",
             write_one(CAIRN_UPDATE, .id = "a", .if_version = 9));
    rejected(CAIRN_CONFLICT, "'z' is at version 0, expected was 1",
             write_one(CAIRN_UPSERT, .id = "z", .if_version = 1));
    rejected(CAIRN_CONFLICT, "'a' exists at version 1",
             write_one(CAIRN_UPSERT, .id = "a", .if_version = CAIRN_VERSION_NONE));
    rejected(CAIRN_CONFLICT, "'a' exists at version 1",
             write_one(CAIRN_UPDATE, .id = "a", .if_version = CAIRN_VERSION_NONE));

    const cairn_pattern both[] = {{.size = sizeof *both, .id = "new", .vector = fine},
                                  {.size = sizeof *both, .id = "a", .vector = fine}};
    rejected(CAIRN_EXISTS, "pattern 1", cairn_insert(fixture->notes, both, 2, err));
    const cairn_pattern same[] = {{.size = sizeof *same, .id = "new", .vector = fine},
                                  {.size = sizeof *same, .id = "new", .vector = fine}};
    rejected(CAIRN_EXISTS, "pattern 1: the id 'new' is taken", cairn_insert(fixture->notes, same, 2, err));
}

static void conditions_that_hold_let_the_write_pass(void **state)
{
    struct fixture *fixture = *state;
    cairn_written written;

    ok(write_one(CAIRN_UPSERT, .id = "c", .if_version = CAIRN_VERSION_NONE));
    assert_int_equal(written.version, 1);
    ok(write_one(CAIRN_UPDATE, .id = "c", .if_version = 1));
    assert_int_equal(written.version, 2);
    ok(write_one(CAIRN_UPSERT, .id = "c", .if_version = 2));
    assert_int_equal(written.version, 3);
    refused(CAIRN_CONFLICT, "'c' is at version 3, expected was 2",
            write_one(CAIRN_UPSERT, .id = "c", .if_version = 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(databases_are_opened_with_known_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(collections_have_proper_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(collections_are_made_with_known_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spaces_are_checked_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_at_opening_must_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vectors_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sparse_and_multi_vectors_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zero_vectors_have_no_direction_under_cosine_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conditions_of_a_write_hold_or_nothing_is_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conditions_that_hold_let_the_write_pass, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
