/* Collections of the dialect: settings, aliases, payload indexes, and each documented error. */
#include "tests/server/qdrant_fixture.h"

#include "server/qdrant_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define DENSE "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"}}"

static void test_version_and_unknown_paths(void **state)
{
    struct world *w = *state;

    assert_non_null(strstr(ask(w, CRN_GET, "/", NULL), "\"version\":\"1.19.0\""));
    ask(w, CRN_GET, "/nothing", NULL);
    assert_int_equal(w->answer.status, 404);
    ask(w, CRN_POST, "/collections", "{}");
    assert_int_equal(w->answer.status, 405);
}

static void test_create_list_exists_delete(void **state)
{
    struct world *w = *state;

    result_is(w, CRN_GET, "/collections", NULL, "{\"collections\":[]}");
    result_is(w, CRN_GET, "/collections/a/exists", NULL, "{\"exists\":false}");
    result_is(w, CRN_PUT, "/collections/a", DENSE, "true");
    result_is(w, CRN_GET, "//collections//a/exists/", NULL, "{\"exists\":true}");
    error_is(w, CRN_PUT, "/collections/a", DENSE, 409, "Wrong input: Collection `a` already exists!");
    result_is(w, CRN_GET, "/collections", NULL, "{\"collections\":[{\"name\":\"a\"}]}");
    result_is(w, CRN_DELETE, "/collections/a", NULL, "true");
    result_is(w, CRN_DELETE, "/collections/a", NULL, "false");
    error_is(w, CRN_GET, "/collections/a", NULL, 404, "Not found: Collection `a` doesn't exist!");
}

static void test_config_is_echoed_and_durable(void **state)
{
    struct world *w = *state;
    static const char config[] =
        "{\"status\":\"green\",\"optimizer_status\":\"ok\",\"indexed_vectors_count\":0,\"points_count\":0,\"segments_count\":1,"
        "\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Euclid\",\"on_disk\":true},\"shard_number\":1,"
        "\"replication_factor\":1,\"write_consistency_factor\":1,\"on_disk_payload\":false},"
        "\"hnsw_config\":{\"m\":16,\"ef_construct\":200,\"full_scan_threshold\":10000,\"max_indexing_threads\":0,\"on_disk\":false},"
        "\"optimizer_config\":{\"deleted_threshold\":0.2,\"vacuum_min_vector_number\":1000,\"default_segment_number\":2,"
        "\"max_segment_size\":null,\"memmap_threshold\":null,\"indexing_threshold\":10000,\"flush_interval_sec\":5,"
        "\"max_optimization_threads\":null},"
        "\"wal_config\":{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0,\"wal_retain_closed\":1},"
        "\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"always_ram\":true}},\"metadata\":{\"owner\":\"me\"}},"
        "\"payload_schema\":{},\"update_queue\":{\"length\":0}}";

    done(
        w, CRN_PUT, "/collections/a",
        "{\"vectors\":{\"size\":4,\"distance\":\"Euclid\",\"on_disk\":true,\"hnsw_config\":null},\"on_disk_payload\":false,"
        "\"hnsw_config\":{\"ef_construct\":200},\"optimizers_config\":{\"default_segment_number\":2},"
        "\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":null,\"always_ram\":true}},\"metadata\":{\"owner\":\"me\"}}");
    result_is(w, CRN_GET, "/collections/a", NULL, config);
    world_reopen(w);
    result_is(w, CRN_GET, "/collections/a", NULL, config);
}

static void test_patch(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a",
         "{\"vectors\":{\"t\":{\"size\":4,\"distance\":\"Dot\"}},\"metadata\":{\"x\":1}}");
    result_is(
        w, CRN_PATCH, "/collections/a",
        "{\"hnsw_config\":{\"m\":32},\"optimizers_config\":{\"indexing_threshold\":5},\"metadata\":{\"y\":2},"
        "\"vectors\":{\"t\":{\"on_disk\":true}},\"params\":{\"replication_factor\":2}}",
        "true");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"m\":32,\"ef_construct\":100");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"indexing_threshold\":5");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"metadata\":{\"x\":1,\"y\":2}");
    result_holds(w, CRN_GET, "/collections/a", NULL,
                 "{\"t\":{\"size\":4,\"distance\":\"Dot\",\"on_disk\":true}}");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"replication_factor\":2");
    error_is(w, CRN_PATCH, "/collections/a", "{\"vectors\":{\"u\":{\"on_disk\":true}}}", 400,
             "Wrong input: Not existing vector name error: u");
    done(w, CRN_PATCH, "/collections/a", "{\"strict_mode_config\":{\"enabled\":true}}");
    done(w, CRN_PATCH, "/collections/a", "{\"quantization_config\":\"Disabled\"}");
    error_is(w, CRN_PATCH, "/collections/a", "{\"hnsw_config\":7}", 400,
             "Format error in JSON body: hnsw_config: invalid type: number, expected a map");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"strict_mode_config\":{\"enabled\":true}");
    error_is(w, CRN_PATCH, "/collections/b", "{}", 404, "Not found: Collection `b` doesn't exist!");
}

static void test_every_kind_of_vector(void **state)
{
    struct world *w = *state;

    done(
        w, CRN_PUT, "/collections/a",
        "{\"vectors\":{\"c\":{\"size\":2,\"distance\":\"Cosine\"},\"m\":{\"size\":2,\"distance\":\"Manhattan\","
        "\"quantization_config\":{\"binary\":{}}},\"p\":{\"size\":16,\"distance\":\"Dot\",\"quantization_config\":{\"product\":"
        "{\"compression\":\"x16\"}}},\"multi\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},"
        "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"},\"plain\":{}}}");
    result_holds(w, CRN_GET, "/collections/a", NULL,
                 "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"},\"plain\":{}}");
    done(w, CRN_PUT, "/collections/none", "{}");
    result_holds(w, CRN_GET, "/collections/none", NULL, "\"vectors\":{}");
}

static void test_refused_settings(void **state)
{
    struct world *w = *state;

    error_is(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}", 422,
             "Validation error in JSON body: [vectors.size: value 0 invalid, must be from 1 to 65536]");
    error_is(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"x\":{\"size\":65537,\"distance\":\"Dot\"}}}", 422,
             "Validation error in JSON body: [vectors.x.size: value 65537 invalid, must be from 1 to 65536]");
    error_is(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"size\":4}}", 400,
             "Format error in JSON body: missing field `distance`");
    error_is(
        w, CRN_PUT, "/collections/a", "{\"vectors\":{\"size\":4,\"distance\":\"Near\"}}", 400,
        "Format error in JSON body: unknown variant `Near`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`");
    error_is(w, CRN_PUT, "/collections/a",
             "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"quantization_config\":{\"turbo\":{}}}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum QuantizationConfig");
    ask(w, CRN_PUT, "/collections/a", "{\"vectors\":");
    assert_int_equal(w->answer.status, 400);
    assert_non_null(strstr(w->answer.body.data, "Format error in JSON body: "));
    ask(w, CRN_PUT, "/collections/a:b", DENSE);
    assert_int_equal(w->answer.status, 422);
    result_is(w, CRN_GET, "/collections", NULL, "{\"collections\":[]}");
}

static void test_roles(void **state)
{
    struct world *w = *state;

    ask_as(w, CRN_ROLE_WRITE, CRN_PUT, "/collections/a", DENSE);
    assert_int_equal(w->answer.status, 403);
    assert_string_equal(w->answer.content_type, "text/plain");
    ask_as(w, CRN_ROLE_NONE, CRN_GET, "/collections", NULL);
    assert_int_equal(w->answer.status, 403);
    ask_as(w, CRN_ROLE_READ, CRN_GET, "/collections", NULL);
    assert_int_equal(w->answer.status, 200);
}

static void test_aliases(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", DENSE);
    done(w, CRN_PUT, "/collections/b", DENSE);
    result_is(w, CRN_POST, "/collections/aliases",
              "{\"actions\":[{\"create_alias\":{\"collection_name\":\"a\",\"alias_name\":\"live\"}}]}",
              "true");
    result_is(w, CRN_GET, "/aliases", NULL,
              "{\"aliases\":[{\"alias_name\":\"live\",\"collection_name\":\"a\"}]}");
    result_is(w, CRN_GET, "/collections/b/aliases", NULL, "{\"aliases\":[]}");
    done(w, CRN_GET, "/collections/live", NULL);
    done(
        w, CRN_POST, "/collections/aliases",
        "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"live\"}},{\"create_alias\":{\"collection_name\":\"b\",\"alias_name\":\"live\"}},"
        "{\"rename_alias\":{\"old_alias_name\":\"live\",\"new_alias_name\":\"now\"}}]}");
    world_reopen(w);
    result_is(w, CRN_GET, "/collections/b/aliases", NULL,
              "{\"aliases\":[{\"alias_name\":\"now\",\"collection_name\":\"b\"}]}");
    error_is(w, CRN_POST, "/collections/aliases", "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"x\"}}]}",
             404, "Not found: Alias `x` does not exists!");
    error_is(w, CRN_POST, "/collections/aliases",
             "{\"actions\":[{\"create_alias\":{\"collection_name\":\"x\",\"alias_name\":\"y\"}}]}", 404,
             "Not found: Collection `x` doesn't exist!");
    error_is(w, CRN_POST, "/collections/aliases",
             "{\"actions\":[{\"create_alias\":{\"collection_name\":\"a\",\"alias_name\":\"b\"}}]}", 409,
             "Wrong input: Collection `b` already exists!");
    error_is(w, CRN_PUT, "/collections/now", DENSE, 409, "Wrong input: Alias `now` already exists!");
    done(w, CRN_DELETE, "/collections/b", NULL);
    result_is(w, CRN_GET, "/aliases", NULL, "{\"aliases\":[]}");
}

static void test_a_collection_that_others_drop_and_make(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", DENSE);
    ok(cairn_collection_drop(w->database.db, "a", err));
    error_is(w, CRN_POST, "/collections/a/points/count", "{}", 404,
             "Not found: Collection `a` doesn't exist!");
    ok(cairn_collection_create(w->database.db, "a",
                               CAIRN_OPTIONS(cairn_collection_options, .dim = 3, .metric = CAIRN_METRIC_L2),
                               err));
    result_is(w, CRN_POST, "/collections/a/points/count", "{}", "{\"count\":0}");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"vectors\":{\"size\":3,\"distance\":\"Euclid\"}");
    done(w, CRN_PUT, "/collections/a/points", "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}");
    result_is(w, CRN_POST, "/collections/a/points/query", "{\"query\":[1,2,5]}",
              "{\"points\":[{\"id\":1,\"version\":0,\"score\":2.0}]}");
}

static void test_payload_indexes(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", DENSE);
    done(
        w, CRN_PUT, "/collections/a/points",
        "{\"points\":[{\"id\":1,\"vector\":[1,0,0,0],\"payload\":{\"city\":\"Ulm\",\"n\":1}},{\"id\":2,\"vector\":[0,1,0,0]}]}");
    result_is(w, CRN_PUT, "/collections/a/index?wait=true",
              "{\"field_name\":\"city\",\"field_schema\":\"keyword\"}",
              "{\"operation_id\":1,\"status\":\"completed\"}");
    done(w, CRN_PUT, "/collections/a/index",
         "{\"field_name\":\"n\",\"field_schema\":{\"type\":\"integer\",\"range\":true}}");
    result_holds(
        w, CRN_GET, "/collections/a", NULL,
        "\"payload_schema\":{\"city\":{\"data_type\":\"keyword\",\"points\":1},\"n\":{\"data_type\":\"integer\",\"params\":"
        "{\"type\":\"integer\",\"range\":true},\"points\":1}}");
    done(w, CRN_DELETE, "/collections/a/index/city", NULL);
    world_reopen(w);
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"payload_schema\":{\"n\":");
    error_is(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"x\",\"field_schema\":\"colour\"}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum PayloadFieldSchema");
    error_is(w, CRN_PUT, "/collections/a/index", "{}", 400,
             "Format error in JSON body: missing field `field_name`");
}

/* ---- long work ---- */

/* A thread's own answer over the same server. */
static void *create_index(void *ctx)
{
    struct world *own = ctx;

    crn_buf_init(&own->answer.body, SIZE_MAX / 2);
    ask(own, CRN_PUT, "/collections/a/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    return NULL;
}

/* While an index is built, which is held up here by holding the database's write lock, others read, and open what was closed. */
static void test_an_index_is_built_beside_others_requests(void **state)
{
    struct world *w = *state, own;
    char path[1024];
    pthread_t thread;

    done(w, CRN_PUT, "/collections/a", DENSE);
    done(w, CRN_PUT, "/collections/b", DENSE);
    world_reopen(w);
    snprintf(path, sizeof path, "%.900s.d/lock", w->database.path);
    const int lock = open(path, O_RDWR | O_CLOEXEC);
    const struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    assert_int_equal(fcntl(lock, F_OFD_SETLKW, &byte), 0);
    own = *w;
    own.answer = (struct crn_answer){0};
    assert_int_equal(pthread_create(&thread, NULL, create_index, &own), 0);
    for (bool begun = false; !begun;) { /* until the thread waits in the middle of its change */
        for (size_t i = 0; !begun && i < QD_CHANGES; i++) {
            begun = pthread_mutex_trylock(&w->qdrant->changes[i]) != 0;
            if (!begun) pthread_mutex_unlock(&w->qdrant->changes[i]);
        }
        usleep(1000);
    }
    result_holds(w, CRN_GET, "/collections/b", NULL, "\"status\":\"green\"");
    ids_are(w, CRN_POST, "/collections/b/points/query", "{\"query\":[1,0,0,0]}", "");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"payload_schema\":{}");
    close(lock);
    pthread_join(thread, NULL);
    assert_int_equal(own.answer.status, 200);
    crn_buf_release(&own.answer.body);
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"payload_schema\":{\"n\":");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_version_and_unknown_paths),
        TEST(test_create_list_exists_delete),
        TEST(test_config_is_echoed_and_durable),
        TEST(test_patch),
        TEST(test_every_kind_of_vector),
        TEST(test_refused_settings),
        TEST(test_roles),
        TEST(test_aliases),
        TEST(test_payload_indexes),
        TEST(test_a_collection_that_others_drop_and_make),
        TEST(test_an_index_is_built_beside_others_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
