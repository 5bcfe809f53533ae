/* Settings that change while others read: what is read is whole, what was handed out stays, and old settings do not pile up. */
#include "tests/engine/database.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 300

static cairn_collection *open_notes(struct database *d, const char *name)
{
    cairn_collection *c;
    const cairn_space_options spaces[] = {{.size = sizeof spaces[0], .dim = 2},
                                          {.size = sizeof spaces[0], .name = "other", .dim = 2}};

    ok(cairn_collection_open(
        d->db, name, CAIRN_OPTIONS(cairn_collection_options, .spaces = spaces, .space_count = 2), &c, err));
    return c;
}

static void add_row(cairn_collection *c, const char *id, const char *model)
{
    const float values[] = {1, 2};
    const cairn_vector vectors[] = {{.space = "other", .values = values, .dim = 2}};

    ok(cairn_upsert(c,
                    CAIRN_OPTIONS(cairn_pattern, .id = id, .vector = values, .dim = 2, .model = model,
                                  .vectors = vectors, .vector_count = 1, .payload = "{\"n\":1}"),
                    1, err));
}

static void set_long_metadata(cairn_collection *c, unsigned number, size_t length)
{
    char *json = malloc(length + 40);

    snprintf(json, 40, "{\"number\":%u,\"text\":\"", number);
    const size_t head = strlen(json);
    memset(json + head, 'a' + (char)(number % 26), length);
    memcpy(json + head + length, "\"}", 3);
    ok(cairn_collection_set_metadata(c, json, err));
    free(json);
}

/* 300 versions of 64 KiB each would be 19 MB; those of other collections, which are open as well, as much again. */
static void test_old_settings_are_let_go(void **state)
{
    struct database d;
    cairn_collection *others[20], *c;
    char *json;

    (void)state;
    database_create(&d, NULL);
    c = open_notes(&d, "notes");
    for (unsigned i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "other%u", i);
        others[i] = open_notes(&d, name);
        set_long_metadata(others[i], i, 1 << 16);
        ok(cairn_collection_get_metadata(others[i], &json, err));
        cairn_free(json);
    }
    set_long_metadata(c, 0, 1 << 16);
    const size_t before = mallinfo2().uordblks;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        set_long_metadata(c, i, 1 << 16);
        ok(cairn_collection_get_metadata(c, &json, err));
        assert_int_equal(strtoul(json + strlen("{\"number\":"), NULL, 10), i);
        cairn_free(json);
        ok(cairn_collection_get_metadata(others[i % 20], &json, err));
        cairn_free(json);
    }
    const size_t after = mallinfo2().uordblks; /* under a sanitizer both are 0 */
    if (after > before + (4u << 20))
        fail_msg("%zu bytes more after %d changes of settings", after - before, ROUNDS);
    for (unsigned i = 0; i < 20; i++) cairn_collection_close(others[i]);
    cairn_collection_close(c);
    database_remove(&d);
}

/* Names of spaces and models in patterns are borrowed from the collection, not from the settings they were read with. */
static void test_patterns_outlive_their_settings(void **state)
{
    struct database d;
    cairn_patterns *before, *after;
    const cairn_id id = {.text = "a"};

    (void)state;
    database_create(&d, NULL);
    cairn_collection *c = open_notes(&d, "notes");
    add_row(c, "a", NULL);
    ok(cairn_get(c, &id, 1, true, &before, err));
    add_row(c, "a", "m");
    ok(cairn_get(c, &id, 1, true, &after, err));
    for (unsigned i = 0; i < 10; i++) {
        set_long_metadata(c, i, 100);
        ok(cairn_payload_index_create(c, "n", err));
        ok(cairn_payload_index_drop(c, "n", err));
    }
    assert_null(cairn_patterns_at(before, 0)->model);
    assert_string_equal(cairn_patterns_at(before, 0)->vectors[1].space, "other");
    assert_string_equal(cairn_patterns_at(after, 0)->model, "m");
    assert_string_equal(cairn_patterns_at(after, 0)->vectors[1].space, "other");
    cairn_patterns_free(before);
    cairn_patterns_free(after);
    cairn_collection_close(c);
    database_verify_clean(&d);
    database_remove(&d);
}

struct shared {
    cairn_collection *collection;
    atomic_bool stop;
    atomic_uint reads;
};

/* Metadata are whole, and never older than what this thread has seen. */
static void *read_on(void *ctx)
{
    struct shared *shared = ctx;
    const cairn_id id = {.text = "a"};
    const float vector[] = {1, 2};
    unsigned long last = 0;

    while (!atomic_load(&shared->stop)) {
        cairn_patterns *patterns;
        cairn_results *results;
        char *json;
        ok(cairn_collection_get_metadata(shared->collection, &json, err));
        const unsigned long number = strtoul(json + strlen("{\"number\":"), NULL, 10);
        if (number < last) fail_msg("metadata %lu after %lu", number, last);
        last = number;
        cairn_free(json);
        ok(cairn_get(shared->collection, &id, 1, true, &patterns, err));
        assert_string_equal(cairn_patterns_at(patterns, 0)->vectors[1].space, "other");
        cairn_patterns_free(patterns);
        ok(cairn_search(shared->collection,
                        CAIRN_OPTIONS(cairn_query, .vector = vector, .dim = 2, .k = 1, .filter = "{\"n\":1}"),
                        &results, err));
        assert_int_equal(cairn_results_count(results), 1);
        cairn_results_free(results);
        atomic_fetch_add(&shared->reads, 1);
    }
    return NULL;
}

static void test_settings_change_under_readers(void **state)
{
    struct database d;
    struct shared shared = {0};
    pthread_t threads[3];

    (void)state;
    database_create(&d, NULL);
    shared.collection = open_notes(&d, "notes");
    add_row(shared.collection, "a", NULL);
    set_long_metadata(shared.collection, 0, 100);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_on, &shared), 0);
    for (unsigned i = 1; i <= ROUNDS || atomic_load(&shared.reads) < 20; i++) {
        set_long_metadata(shared.collection, i, 100);
        if (i % 3 == 0) ok(cairn_payload_index_create(shared.collection, "n", err));
        if (i % 3 == 1) ok(cairn_payload_index_drop(shared.collection, "n", err));
        if (i == ROUNDS / 2) add_row(shared.collection, "a", "m");
    }
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    cairn_collection_close(shared.collection);
    database_verify_clean(&d);
    database_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_settings_are_let_go),
        cmocka_unit_test(test_patterns_outlive_their_settings),
        cmocka_unit_test(test_settings_change_under_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
