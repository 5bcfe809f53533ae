/* What is refused when patterns are read, searched and deleted, by handles that are gone, and when a caller stops. */
#include "tests/engine/bad_input.h"

static const float fine[4] = {1, 2, 3, 4};

/* ---- ids and scopes ---- */

static void ids_are_checked(void **state)
{
    struct fixture *fixture = *state;
    char *longest = long_text(CAIRN_ID_MAX + 1);
    const struct {
        cairn_status status;
        const char *text;
        cairn_id id;
    } bad[] = {
        {CAIRN_INVALID_ID, "id is empty", {CAIRN_ID_STRING, "", 0}},
        {CAIRN_INVALID_ID, "id is missing", {CAIRN_ID_STRING, NULL, 0}},
        {CAIRN_INVALID_ID, "longer than 512", {CAIRN_ID_STRING, longest, 0}},
        {CAIRN_INVALID_UTF8, NOT_UTF8_AT, {CAIRN_ID_STRING, NOT_UTF8, 0}},
        {CAIRN_INVALID_ID, "'x' is not a UUID", {CAIRN_ID_UUID, "x", 0}},
        {CAIRN_INVALID_ID, "8 is not an id type", {(cairn_id_type)8, "x", 0}},
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const cairn_id ids[] = {string_id("a"), bad[i].id};
        cairn_patterns *patterns;
        uint64_t deleted;
        rejected(bad[i].status, bad[i].text, cairn_get(fixture->notes, ids, 2, false, &patterns, err));
        assert_null(patterns);
        rejected(bad[i].status, bad[i].text, cairn_delete(fixture->notes, ids, 2, &deleted, err));
        assert_int_equal(deleted, 0);
    }
    free(longest);
}

/* Each way to give a scope refuses it by the same name. */
static void try_scope(struct fixture *fixture, cairn_status status, const char *text,
                      const cairn_scope *scope)
{
    const cairn_query query = {.size = sizeof query,
                               .vector = fine,
                               .k = 1,
                               .domain = scope->domain,
                               .agent = scope->agent,
                               .type = scope->type,
                               .filter = scope->filter,
                               .min_confidence = scope->min_confidence};
    cairn_patterns *patterns;
    cairn_results *results;
    uint64_t count, cursor = 0;

    rejected(status, text, cairn_count(fixture->notes, scope, &count, err));
    rejected(status, text, cairn_scroll(fixture->notes, scope, &cursor, 10, false, &patterns, err));
    assert_int_equal(cursor, 0);
    rejected(status, text, cairn_delete_where(fixture->notes, scope, &count, err));
    if (scope->size != sizeof *scope) return;
    rejected(status, text, cairn_search(fixture->notes, &query, &results, err));
    assert_null(results);
}

static void scopes_are_checked(void **state)
{
    struct fixture *fixture = *state;
    char *name = long_text(CAIRN_NAME_MAX + 1);
    const struct {
        cairn_status status;
        const char *text;
        cairn_scope scope;
    } bad[] = {
        {CAIRN_INVALID_ARGUMENT, "the domain 'xxx", {.domain = name}},
        {CAIRN_INVALID_UTF8, "agent is not valid UTF-8 at " NOT_UTF8_AT, {.agent = NOT_UTF8}},
        {CAIRN_INVALID_ARGUMENT, "type has a control character (0x09)", {.type = "\t"}},
        {CAIRN_INVALID_ARGUMENT, "min_confidence 1.5", {.min_confidence = 1.5}},
        {CAIRN_INVALID_ARGUMENT, "min_confidence -1", {.min_confidence = -1}},
        {CAIRN_INVALID_ARGUMENT, "min_confidence nan", {.min_confidence = NAN}},
        {CAIRN_INVALID_FILTER, "$near", {.filter = "{\"size\": {\"$near\": 1}}"}},
        {CAIRN_INVALID_FILTER, "$in", {.filter = "{\"size\": {\"$in\": 1}}"}},
        {CAIRN_INVALID_FILTER, "\"a..b\"", {.filter = "{\"a..b\": 1}"}},
        {CAIRN_INVALID_JSON, "JSON", {.filter = "{\"size\""}},
        {CAIRN_INVALID_UTF8, "byte 2", {.filter = "{\"\xff\": 1}"}},
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        cairn_scope scope = bad[i].scope;
        scope.size = sizeof scope;
        try_scope(fixture, bad[i].status, bad[i].text, &scope);
    }
    try_scope(fixture, CAIRN_INVALID_OPTION, "cairn_scope.size is 0", &(cairn_scope){.domain = "a"});
    try_scope(fixture, CAIRN_INVALID_OPTION, "cairn_scope.size is 9",
              &(cairn_scope){.size = 9, .domain = "a"});
    free(name);
}

static void deleting_everything_takes_a_drop(void **state)
{
    struct fixture *fixture = *state;
    uint64_t deleted;

    rejected(CAIRN_INVALID_ARGUMENT, "cairn_collection_drop",
             cairn_delete_where(fixture->notes, NULL, &deleted, err));
    rejected(CAIRN_INVALID_ARGUMENT, "cairn_collection_drop",
             cairn_delete_where(fixture->notes, CAIRN_OPTIONS(cairn_scope, .domain = NULL), &deleted, err));
    rejected(CAIRN_INVALID_ARGUMENT, "cairn_collection_drop",
             cairn_delete_where(fixture->notes, CAIRN_OPTIONS(cairn_scope, .filter = "{}"), &deleted, err));
}

static void pages_are_checked(void **state)
{
    struct fixture *fixture = *state;
    cairn_patterns *patterns;
    uint64_t cursor = 0, foreign = UINT64_MAX;

    rejected(CAIRN_INVALID_ARGUMENT, "limit 0",
             cairn_scroll(fixture->notes, NULL, &cursor, 0, false, &patterns, err));
    rejected(CAIRN_INVALID_ARGUMENT, "limit 1000001",
             cairn_scroll(fixture->notes, NULL, &cursor, CAIRN_K_MAX + 1, false, &patterns, err));
    rejected(CAIRN_INVALID_ARGUMENT, "18446744073709551615",
             cairn_scroll(fixture->notes, NULL, &foreign, 1, false, &patterns, err));
    assert_null(patterns);
}

/* ---- searching ---- */

struct bad_query {
    cairn_status status;
    const char *text;
    cairn_query query;
};

static void try_queries(struct fixture *fixture, cairn_collection *collection, const struct bad_query *bad,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cairn_query query = bad[i].query;
        cairn_results *results;
        query.size = sizeof query;
        rejected(bad[i].status, bad[i].text, cairn_search(collection, &query, &results, err));
        assert_null(results);
    }
}

static void queries_are_checked(void **state)
{
    const float nan_at_1[] = {1, NAN, 3, 4}, zero[] = {0, 0, 0, 0};
    const struct bad_query bad[] = {
        {CAIRN_INVALID_ARGUMENT, "k is 0", {.vector = fine}},
        {CAIRN_INVALID_ARGUMENT, "k is 1000001", {.vector = fine, .k = CAIRN_K_MAX + 1}},
        {CAIRN_INVALID_OPTION,
         "9 is not a search mode",
         {.vector = fine, .k = 1, .mode = (cairn_search_mode)9}},
        {CAIRN_INVALID_OPTION, "5 is not a fusion", {.vector = fine, .k = 1, .fusion = (cairn_fusion)5}},
        {CAIRN_INVALID_ARGUMENT, "lexical_weight 2", {.vector = fine, .k = 1, .lexical_weight = 2}},
        {CAIRN_INVALID_ARGUMENT, "lexical_weight nan", {.vector = fine, .k = 1, .lexical_weight = NAN}},
        {CAIRN_INVALID_ARGUMENT, "oversampling -1", {.vector = fine, .k = 1, .oversampling = -1}},
        {CAIRN_INVALID_ARGUMENT, "oversampling inf", {.vector = fine, .k = 1, .oversampling = INFINITY}},
        {CAIRN_INVALID_ARGUMENT, "recall -0.1", {.vector = fine, .k = 1, .recall = -0.1}},
        {CAIRN_INVALID_ARGUMENT, "recall 1.5", {.vector = fine, .k = 1, .recall = 1.5}},
        {CAIRN_INVALID_ARGUMENT, "recall nan", {.vector = fine, .k = 1, .recall = NAN}},
        {CAIRN_INVALID_ARGUMENT,
         "min_score is NaN",
         {.vector = fine, .k = 1, .has_min_score = true, .min_score = NAN}},
        {CAIRN_INVALID_VECTOR, "component 1 of the vector is NaN", {.vector = nan_at_1, .k = 1}},
        {CAIRN_ZERO_VECTOR, "all 4 components", {.vector = zero, .k = 1}},
        {CAIRN_DIM_MISMATCH, "7 components, the space '' has 4", {.vector = fine, .dim = 7, .k = 1}},
        {CAIRN_INVALID_ARGUMENT, "no space 'colours'", {.vector = fine, .k = 1, .space = "colours"}},
        {CAIRN_MODEL_MISMATCH,
         "'m2', the space '' holds vectors of 'm1'",
         {.vector = fine, .k = 1, .model = "m2"}},
        {CAIRN_INVALID_UTF8, NOT_UTF8_AT, {.vector = fine, .k = 1, .model = NOT_UTF8}},
        {CAIRN_INVALID_UTF8, "byte 2", {.text = NOT_UTF8, .k = 1}},
        {CAIRN_INVALID_ARGUMENT, "neither a vector nor a text", {.k = 1}},
        {CAIRN_INVALID_ARGUMENT, "neither a vector nor a text", {.k = 1, .text = ""}},
        {CAIRN_INVALID_ARGUMENT,
         "neither a vector nor a text",
         {.k = 1, .vector = fine, .mode = CAIRN_SEARCH_LEXICAL}},
        {CAIRN_INVALID_ARGUMENT, "no embedder", {.k = 1, .text = "stone", .mode = CAIRN_SEARCH_VECTOR}},
        {CAIRN_INVALID_ARGUMENT, "no embedder", {.k = 1, .text = "stone", .mode = CAIRN_SEARCH_HYBRID}},
    };
    struct fixture *fixture = *state;
    cairn_results *results;

    try_queries(fixture, fixture->notes, bad, COUNT_OF(bad));
    rejected(CAIRN_INVALID_OPTION, "cairn_query.size is 0",
             cairn_search(fixture->notes, &(cairn_query){.vector = fine, .k = 1}, &results, err));
    rejected(CAIRN_INVALID_OPTION, "cairn_query.size is 3",
             cairn_search(fixture->notes, &(cairn_query){.size = 3, .vector = fine, .k = 1}, &results, err));
}

static void what_cannot_be_searched_says_so(void **state)
{
    const float values[] = {1, 2, NAN};
    const uint32_t descending[] = {9, 4, 5}, ascending[] = {1, 2, 3};
    const struct bad_query in_plain[] = {
        {CAIRN_UNSUPPORTED, "'plain' has no lexical index", {.text = "stone", .k = 1}},
        {CAIRN_UNSUPPORTED,
         "'plain' has no lexical index",
         {.text = "stone", .k = 1, .mode = CAIRN_SEARCH_LEXICAL}},
        {CAIRN_UNSUPPORTED,
         "'plain' has no lexical index",
         {.vector = fine, .text = "stone", .k = 1, .mode = CAIRN_SEARCH_HYBRID}},
    };
    const struct bad_query in_spaces[] = {
        {CAIRN_UNSUPPORTED, "'parts' cannot be searched", {.vector = fine, .k = 1, .space = "parts"}},
        {CAIRN_INVALID_ARGUMENT, "indices", {.vector = values, .k = 1, .space = "words"}},
        {CAIRN_INVALID_ARGUMENT,
         "number in dim",
         {.vector = values, .indices = ascending, .k = 1, .space = "words"}},
        {CAIRN_INVALID_VECTOR,
         "9 is followed by 4",
         {.vector = values, .indices = descending, .dim = 2, .k = 1, .space = "words"}},
        {CAIRN_INVALID_VECTOR,
         "value 2 of the sparse query is nan",
         {.vector = values, .indices = ascending, .dim = 3, .k = 1, .space = "words"}},
        {CAIRN_INVALID_ARGUMENT, "indices", {.vector = values, .indices = ascending, .k = 1}},
    };
    struct fixture *fixture = *state;

    try_queries(fixture, fixture->plain, in_plain, COUNT_OF(in_plain));
    try_queries(fixture, fixture->spaces, in_spaces, COUNT_OF(in_spaces));
}

/* ---- the other doors ---- */

static cairn_status never_embed(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                                cairn_error *err)
{
    (void)ctx;
    (void)texts;
    (void)count;
    (void)out_vectors;
    (void)err;
    fail_msg("a refused embedder was called");
    return CAIRN_EMBEDDER;
}

static void embedders_and_payload_indexes_are_checked(void **state)
{
    struct fixture *fixture = *state;
    cairn_embedder embedder = {.size = sizeof embedder, .model = "m2", .dim = 4, .embed = never_embed};
    char *path = long_text(5000);

    rejected(CAIRN_MODEL_MISMATCH, "'m2'", cairn_collection_attach(fixture->notes, &embedder, err));
    embedder.model = "m1";
    embedder.dim = 3;
    rejected(CAIRN_DIM_MISMATCH, "makes 3 components, the space '' has 4",
             cairn_collection_attach(fixture->notes, &embedder, err));
    embedder.dim = 4;
    embedder.model = NULL;
    rejected(CAIRN_INVALID_ARGUMENT, "model is NULL",
             cairn_collection_attach(fixture->notes, &embedder, err));
    embedder.embed = NULL;
    rejected(CAIRN_INVALID_ARGUMENT, "embed is NULL",
             cairn_collection_attach(fixture->notes, &embedder, err));
    embedder.size = 0;
    rejected(CAIRN_INVALID_OPTION, "cairn_embedder.size is 0",
             cairn_collection_attach(fixture->notes, &embedder, err));
    rejected(CAIRN_INVALID_ARGUMENT, "path is empty", cairn_payload_index_create(fixture->notes, "", err));
    rejected(CAIRN_INVALID_ARGUMENT, "path is empty", cairn_payload_index_create(fixture->notes, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "\"a..b\"", cairn_payload_index_create(fixture->notes, "a..b", err));
    rejected(CAIRN_INVALID_UTF8, NOT_UTF8_AT, cairn_payload_index_create(fixture->notes, NOT_UTF8, err));
    rejected(CAIRN_INVALID_ARGUMENT, "'xxx", cairn_payload_index_create(fixture->notes, path, err));
    ok(cairn_payload_index_drop(fixture->notes, "never.made", err));
    free(path);
}

static void trajectories_and_retrievals_are_checked(void **state)
{
    struct fixture *fixture = *state;
    cairn_trajectories *trajectories;
    cairn_reasoning *reasoning;
    const double rewards[2] = {1, NAN};
    cairn_trajectory trajectory = {.size = sizeof trajectory,
                                   .states = fine,
                                   .steps = 2,
                                   .state_dim = 2,
                                   .actions = "[\"go\"]",
                                   .rewards = rewards};

    rejected(CAIRN_INVALID_ARGUMENT, "reward 1 is nan",
             cairn_trajectory_insert(fixture->notes, &trajectory, NULL, err));
    trajectory.rewards = (double[]){1, 2};
    rejected(CAIRN_INVALID_ARGUMENT, "1 actions for 2 steps",
             cairn_trajectory_insert(fixture->notes, &trajectory, NULL, err));
    trajectory.size = 0;
    rejected(CAIRN_INVALID_OPTION, "size is 0",
             cairn_trajectory_insert(fixture->notes, &trajectory, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "limit 0",
             cairn_trajectory_get(fixture->notes, NULL, NULL, NULL, 0, &trajectories, err));
    rejected(CAIRN_INVALID_ID, "id is empty", cairn_trajectory_delete(fixture->notes, "", NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "neither a vector nor a text",
             cairn_retrieve(fixture->notes, CAIRN_OPTIONS(cairn_retrieve_options, .k = 1), &reasoning, err));
    rejected(CAIRN_INVALID_OPTION, "size is 0",
             cairn_retrieve(fixture->notes, &(cairn_retrieve_options){.vector = fine}, &reasoning, err));
    assert_null(reasoning);
    rejected(CAIRN_INVALID_ARGUMENT, "merge_similarity -1",
             cairn_memory_optimize(fixture->notes,
                                   CAIRN_OPTIONS(cairn_memory_options, .merge_similarity = -1), NULL, err));
}

static void null_is_told_not_followed(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *notes = fixture->notes;
    cairn_db *db = fixture->database.db;
    const cairn_id id = string_id("a");
    const cairn_query query = {.size = sizeof query, .vector = fine, .k = 1};
    cairn_patterns *patterns;
    cairn_results *results;
    cairn_trajectories *trajectories;
    uint64_t number = 0;
    char *json, **names;
    size_t count;

    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_create(NULL, "x", NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_open(db, "notes", NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_drop(NULL, "notes", err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_list(db, NULL, &count, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_list(NULL, &names, &count, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_attach(NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_payload_index_create(NULL, "x", err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_payload_index_drop(NULL, "x", err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_stats(NULL, &json, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_stats(db, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_stats(NULL, &json, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_optimize(NULL, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_rebuild(NULL, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_verify(NULL, NULL, NULL, NULL, &number, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_backup(NULL, "x", NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "empty", cairn_backup(db, "", NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "empty", cairn_restore(NULL, "x", NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_delete(notes, NULL, 1, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_delete_where(NULL, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_get(notes, NULL, 1, false, &patterns, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_get(notes, &id, 1, false, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_scroll(notes, NULL, NULL, 1, false, &patterns, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_count(notes, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_search(notes, NULL, &results, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_search(notes, &query, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_retrieve(notes, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_memory_optimize(NULL, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_trajectory_insert(notes, NULL, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_trajectory_get(notes, NULL, NULL, NULL, 1, NULL, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL",
             cairn_trajectory_get(NULL, NULL, NULL, NULL, 1, &trajectories, err));
    rejected(CAIRN_INVALID_ARGUMENT, "NULL", cairn_trajectory_delete(NULL, "x", NULL, err));
    assert_int_equal(cairn_search(notes, &(cairn_query){.k = 1}, &results, NULL), CAIRN_INVALID_OPTION);
}

static void nothing_is_freed_read_or_counted_of_null(void **state)
{
    (void)state;
    cairn_close(NULL);
    cairn_collection_close(NULL);
    cairn_free(NULL);
    cairn_patterns_free(NULL);
    cairn_results_free(NULL);
    cairn_reasoning_free(NULL);
    cairn_trajectories_free(NULL);
    assert_int_equal(cairn_patterns_count(NULL), 0);
    assert_null(cairn_patterns_at(NULL, 0));
    assert_int_equal(cairn_results_count(NULL), 0);
    assert_null(cairn_results_at(NULL, 0));
    cairn_results_info(NULL, NULL);
    assert_null(cairn_collection_name(NULL));
    cairn_collection_get_options(NULL, NULL);
    assert_int_equal(cairn_reasoning_count(NULL), 0);
    assert_int_equal(cairn_trajectories_count(NULL), 0);
}

/* ---- a collection that is gone ---- */

static void expect_gone(struct fixture *fixture, cairn_collection *gone)
{
    const cairn_id id = string_id("p");
    const cairn_pattern row = {.size = sizeof row, .id = "p", .vector = fine};
    const cairn_query query = {.size = sizeof query, .vector = fine, .k = 1};
    const cairn_scope scope = {.size = sizeof scope, .domain = "d"};
    cairn_patterns *patterns;
    cairn_results *results;
    cairn_reasoning *reasoning;
    uint64_t number = 0;
    char *json;

    refused(CAIRN_NO_COLLECTION, "", cairn_upsert(gone, &row, 1, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_update(gone, &row, 1, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_delete(gone, &id, 1, NULL, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_delete_where(gone, &scope, NULL, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_get(gone, &id, 1, true, &patterns, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_scroll(gone, NULL, &number, 1, false, &patterns, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_count(gone, NULL, &number, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_count(gone, &scope, &number, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_search(gone, &query, &results, err));
    refused(CAIRN_NO_COLLECTION, "",
            cairn_retrieve(gone, CAIRN_OPTIONS(cairn_retrieve_options, .vector = fine), &reasoning, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_memory_optimize(gone, NULL, NULL, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_optimize(gone, NULL, NULL, err));
    refused(CAIRN_NO_COLLECTION, "", cairn_payload_index_create(gone, "size", err));
    refused(CAIRN_NO_COLLECTION, "", cairn_payload_index_drop(gone, "size", err));
    refused(CAIRN_NO_COLLECTION, "", cairn_collection_stats(gone, &json, err));
    ok(cairn_stats(fixture->database.db, &json, err));
    cairn_free(json);
}

static void a_dropped_collections_handle_finds_nothing(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *other;

    ok(cairn_collection_drop(fixture->database.db, "plain", err));
    expect_gone(fixture, fixture->plain);
    /* One of the same name is another collection. */
    ok(cairn_collection_open(fixture->database.db, "plain", CAIRN_OPTIONS(cairn_collection_options, .dim = 2),
                             &other, err));
    ok(cairn_insert(other, CAIRN_OPTIONS(cairn_pattern, .id = "p", .vector = fine), 1, err));
    expect_gone(fixture, fixture->plain);
    assert_int_equal(count_of(other, NULL), 1);
    cairn_collection_close(other);
}

/* ---- stopping ---- */

static bool stop_at_once(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    assert_non_null(phase);
    ++*(int *)ctx;
    return false;
}

static void a_caller_may_stop_what_takes_long(void **state)
{
    struct fixture *fixture = *state;
    cairn_db *db = fixture->database.db;
    char path[400];
    uint64_t findings;
    int calls = 0;

    snprintf(path, sizeof path, "%s/backup", fixture->database.folder);
    refused(CAIRN_CANCELLED, "", cairn_optimize(fixture->notes, stop_at_once, &calls, err));
    refused(CAIRN_CANCELLED, "", cairn_rebuild(db, stop_at_once, &calls, err));
    refused(CAIRN_CANCELLED, "", cairn_verify(db, NULL, stop_at_once, &calls, &findings, err));
    refused(CAIRN_CANCELLED, "", cairn_backup(db, path, stop_at_once, &calls, err));
    assert_int_equal(calls, 4);
    assert_int_not_equal(access(path, F_OK), 0);
    check_unchanged(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scopes_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleting_everything_takes_a_drop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_searched_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(embedders_and_payload_indexes_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trajectories_and_retrievals_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(null_is_told_not_followed, set_up, tear_down),
        cmocka_unit_test(nothing_is_freed_read_or_counted_of_null),
        cmocka_unit_test_setup_teardown(a_dropped_collections_handle_finds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_caller_may_stop_what_takes_long, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
