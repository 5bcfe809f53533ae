/*
 * Many threads on one database, with maintenance in the background and a tail so short that segments are written and
 * merged all the time. What one thread does is checked by that thread as it goes; the whole is verified at the end.
 * Made to run under the thread sanitizer.
 */
#include "tests/engine/rows.h"

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>

#define DIM 8
#define THREADS 8
#define ROWS_EACH 40 /* ids of one writer */
#define FIXED 60     /* rows that nobody changes */

struct stage {
    struct database database;
    cairn_collection *collection;
    cairn_db *second_db; /* another handle on the same file */
    cairn_collection *second;
    _Atomic int writing; /* writers that are not done */
    _Atomic bool stop;
    _Atomic uint64_t seed;
    pthread_mutex_t mutex; /* guards failure */
    char failure[1000];    /* the first */
};

/* cmocka's own asserts belong to the main thread. */
static void note_failure(struct stage *stage, int line, const char *what, const char *message)
{
    pthread_mutex_lock(&stage->mutex);
    if (stage->failure[0] == '\0') snprintf(stage->failure, sizeof stage->failure, "line %d: %s: %s", line, what, message);
    pthread_mutex_unlock(&stage->mutex);
    atomic_store(&stage->stop, true);
}

#define must(call)                                                                               \
    do {                                                                                         \
        cairn_error must_error_ = {0}, *err = &must_error_;                                      \
        if ((call) != CAIRN_OK) {                                                                \
            note_failure(stage, __LINE__, #call, must_error_.message);                           \
            return;                                                                              \
        }                                                                                        \
    } while (0)

#define must_be(condition)                                             \
    do {                                                               \
        if (!(condition)) {                                            \
            note_failure(stage, __LINE__, #condition, "is not so");    \
            return;                                                    \
        }                                                              \
    } while (0)

static void random_vector(struct crn_rng *rng, float *out)
{
    for (int i = 0; i < DIM; i++) out[i] = (float)crn_rng_normal(rng);
}

/* ---- a stage ---- */

static void stage_open(struct stage *stage, bool second)
{
    const cairn_open_options options = {.size = sizeof options, .tail_rows_max = 24, .durability = CAIRN_LAZY, .threads = 2};
    const cairn_collection_options notes = {.size = sizeof notes, .dim = DIM, .quantization = CAIRN_QUANTIZATION_SCALAR};
    struct crn_rng rng = test_rng();
    float vector[DIM];

    memset(stage, 0, sizeof *stage);
    pthread_mutex_init(&stage->mutex, NULL);
    database_create(&stage->database, &(cairn_open_options){.size = sizeof options, .no_background = true});
    cairn_close(stage->database.db);
    ok(cairn_open(stage->database.path, &options, &stage->database.db, err));
    ok(cairn_collection_open(stage->database.db, "notes", &notes, &stage->collection, err));
    for (uint64_t n = 0; n < FIXED; n++) {
        random_vector(&rng, vector);
        ok(cairn_insert(stage->collection,
                        CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = n, .vector = vector,
                                      .domain = n % 2 == 0 ? "even" : "odd"),
                        1, err));
    }
    atomic_store(&stage->seed, crn_rng_u64(&rng));
    stage->second = stage->collection;
    if (!second) return;
    ok(cairn_open(stage->database.path, &options, &stage->second_db, err));
    ok(cairn_collection_open(stage->second_db, "notes", NULL, &stage->second, err));
}

static void stage_close(struct stage *stage)
{
    if (stage->failure[0] != '\0') fail_msg("%s", stage->failure);
    database_verify_clean(&stage->database);
    if (stage->second != stage->collection) {
        cairn_collection_close(stage->second);
        cairn_close(stage->second_db);
    }
    cairn_collection_close(stage->collection);
    database_remove(&stage->database);
    pthread_mutex_destroy(&stage->mutex);
}

static struct crn_rng rng_of_thread(struct stage *stage)
{
    struct crn_rng rng;

    crn_rng_init(&rng, atomic_fetch_add(&stage->seed, 1));
    return rng;
}

static void run_threads(struct stage *stage, void *(*const functions[])(void *), size_t count)
{
    pthread_t threads[THREADS];

    assert_true(count <= THREADS);
    for (size_t i = 0; i < count; i++) assert_int_equal(pthread_create(&threads[i], NULL, functions[i], stage), 0);
    for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
    if (stage->failure[0] != '\0') fail_msg("%s", stage->failure);
}

/* ---- one who writes ---- */

struct writer {
    struct stage *stage;
    struct crn_rng rng;
    uint64_t first_id;
    uint64_t versions[ROWS_EACH]; /* 0: not there */
    float vectors[ROWS_EACH][DIM];
};

/* The row is the nearest to its own vector, at once, by each way of searching; or is not there at all. */
static void check_own_row(struct writer *writer, cairn_collection *collection, uint64_t i)
{
    struct stage *stage = writer->stage;
    const uint64_t id = writer->first_id + i, version = writer->versions[i];
    const bool exact = crn_rng_below(&writer->rng, 2);
    cairn_results *results;

    must(cairn_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = writer->vectors[i], .k = 5, .exact = exact, .oversampling = 100,
                                    .with_pattern = true, .domain = crn_rng_below(&writer->rng, 2) ? "written" : NULL),
                      &results, err));
    uint64_t found_version = 0;
    for (size_t h = 0; h < cairn_results_count(results); h++) {
        const cairn_hit *hit = cairn_results_at(results, h);
        if (hit->id.u64 == id) found_version = h == 0 ? hit->pattern->version : UINT64_MAX;
    }
    cairn_results_free(results);
    must_be(found_version == version);
}

static void upsert_some(struct writer *writer, cairn_collection *collection)
{
    struct stage *stage = writer->stage;
    cairn_pattern patterns[4] = {0};
    cairn_written written[4];
    const size_t count = 1 + crn_rng_below(&writer->rng, 4), begin = crn_rng_below(&writer->rng, ROWS_EACH - 3);

    for (size_t i = 0; i < count; i++) {
        random_vector(&writer->rng, writer->vectors[begin + i]);
        writer->versions[begin + i]++;
        patterns[i] = (cairn_pattern){.size = sizeof *patterns, .id_type = CAIRN_ID_U64, .id_u64 = writer->first_id + begin + i,
                                      .vector = writer->vectors[begin + i], .domain = "written"};
    }
    must(cairn_write(collection, CAIRN_UPSERT, patterns, count, written, err));
    for (size_t i = 0; i < count; i++) must_be(written[i].version == writer->versions[begin + i]);
}

static void delete_one(struct writer *writer, cairn_collection *collection, uint64_t i)
{
    struct stage *stage = writer->stage;
    const cairn_id id = {CAIRN_ID_U64, NULL, writer->first_id + i};
    uint64_t deleted;

    must(cairn_delete(collection, &id, 1, &deleted, err));
    must_be(deleted == (writer->versions[i] != 0));
    writer->versions[i] = 0;
}

static void *write_rows(void *arg)
{
    struct stage *stage = arg;
    struct writer *writer = calloc(1, sizeof *writer);

    writer->stage = stage;
    writer->rng = rng_of_thread(stage);
    writer->first_id = 1000 + 1000 * (uint64_t)atomic_fetch_add(&stage->writing, 1);
    for (int i = 0; i < ROWS_EACH; i++) random_vector(&writer->rng, writer->vectors[i]);
    for (int step = 0; step < 120 && !atomic_load(&stage->stop); step++) {
        const uint64_t i = crn_rng_below(&writer->rng, ROWS_EACH);
        cairn_collection *collection = crn_rng_below(&writer->rng, 2) ? stage->collection : stage->second;
        if (crn_rng_below(&writer->rng, 4) == 0) {
            delete_one(writer, collection, i);
        } else {
            upsert_some(writer, collection);
        }
        /* Written by one handle, found by the other. */
        check_own_row(writer, crn_rng_below(&writer->rng, 2) ? stage->collection : stage->second, i);
    }
    for (uint64_t i = 0; i < ROWS_EACH && !atomic_load(&stage->stop); i++) check_own_row(writer, stage->collection, i);
    free(writer);
    return NULL;
}

/* ---- those who look and those who tidy ---- */

static void search_once(struct stage *stage, struct crn_rng *rng, uint32_t k, const char *domain)
{
    cairn_collection *collection = crn_rng_below(rng, 2) ? stage->collection : stage->second;
    float vector[DIM];
    cairn_results *results;

    random_vector(rng, vector);
    must(cairn_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = vector, .k = k, .domain = domain, .with_pattern = crn_rng_below(rng, 2)),
                      &results, err));
    must_be(cairn_results_count(results) == k); /* the fixed rows alone are enough */
    for (size_t i = 0; i < k; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        must_be(i == 0 || hit->distance >= cairn_results_at(results, i - 1)->distance);
        must_be(domain == NULL || (hit->id.u64 < FIXED && hit->id.u64 % 2 == 0));
        for (size_t j = 0; j < i; j++) must_be(cairn_results_at(results, j)->id.u64 != hit->id.u64);
    }
    cairn_results_free(results);
}

static void *search_rows(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);

    for (int i = 0; i < 250 && !atomic_load(&stage->stop); i++) {
        search_once(stage, &rng, 1 + (uint32_t)crn_rng_below(&rng, 20), NULL);
        search_once(stage, &rng, FIXED / 2, "even");
    }
    return NULL;
}

static void tidy_once(struct stage *stage, int i)
{
    uint64_t findings = 1, count = 0;
    char *json;

    must(cairn_optimize(i % 2 == 0 ? stage->collection : stage->second, NULL, NULL, err));
    must(cairn_count(stage->collection, CAIRN_OPTIONS(cairn_scope, .domain = "odd"), &count, err));
    must_be(count == FIXED / 2);
    must(cairn_stats(stage->database.db, &json, err));
    cairn_free(json);
    if (i % 4 != 3) return;
    must(cairn_verify(stage->database.db, database_print_finding, NULL, NULL, &findings, err));
    must_be(findings == 0);
}

static void *tidy_rows(void *arg)
{
    struct stage *stage = arg;

    for (int i = 0; i < 12 && !atomic_load(&stage->stop); i++) tidy_once(stage, i);
    return NULL;
}

static void run_all(bool second)
{
    static void *(*const functions[])(void *) = {write_rows, write_rows, write_rows, search_rows, search_rows, search_rows,
                                                 tidy_rows, tidy_rows};
    struct stage *stage = malloc(sizeof *stage);

    stage_open(stage, second);
    run_threads(stage, functions, COUNT_OF(functions));
    stage_close(stage);
    free(stage);
}

static void eight_threads_see_what_they_wrote(void **state)
{
    (void)state;
    run_all(false);
}

static void two_handles_of_one_file_see_each_other(void **state)
{
    (void)state;
    run_all(true);
}

/* ---- compare and set ---- */

#define INCREMENTS 25

static bool increment(struct stage *stage, cairn_collection *collection)
{
    const cairn_id id = {CAIRN_ID_U64, NULL, 0};
    cairn_patterns *patterns;
    cairn_error err = {0};

    if (cairn_get(collection, &id, 1, false, &patterns, &err) != CAIRN_OK) {
        note_failure(stage, __LINE__, "cairn_get", err.message);
        return true;
    }
    const cairn_pattern *row = cairn_patterns_at(patterns, 0);
    const cairn_pattern next = {.size = sizeof next, .id_type = CAIRN_ID_U64, .success_count = row->success_count + 1,
                                .if_version = row->version};
    const cairn_status status = cairn_update(collection, &next, 1, &err);
    if (status != CAIRN_OK && status != CAIRN_CONFLICT) note_failure(stage, __LINE__, "cairn_update", err.message);
    cairn_patterns_free(patterns);
    return status != CAIRN_CONFLICT;
}

static void *increment_many(void *arg)
{
    struct stage *stage = arg;
    cairn_collection *collection = atomic_fetch_add(&stage->writing, 1) % 2 == 0 ? stage->collection : stage->second;

    for (int i = 0; i < INCREMENTS && !atomic_load(&stage->stop); i++) {
        while (!increment(stage, collection)) continue;
    }
    return NULL;
}

static void compare_and_set_loses_no_increment(void **state)
{
    static void *(*const functions[])(void *) = {increment_many, increment_many, increment_many, increment_many};
    struct stage *stage = malloc(sizeof *stage);
    cairn_patterns *patterns;

    (void)state;
    stage_open(stage, true);
    run_threads(stage, functions, COUNT_OF(functions));
    const cairn_pattern *row = read_row(stage->collection, (cairn_id){CAIRN_ID_U64, NULL, 0}, &patterns);
    assert_int_equal(row->success_count, COUNT_OF(functions) * INCREMENTS);
    assert_int_equal(row->version, COUNT_OF(functions) * INCREMENTS + 1);
    cairn_patterns_free(patterns);
    stage_close(stage);
    free(stage);
}

/* ---- dropping ---- */

/* Until the collection is gone each call gives what it should, and from then on one status. */
static cairn_status use_doomed(struct stage *stage, cairn_collection *doomed, struct crn_rng *rng, cairn_error *err)
{
    const cairn_pattern row = {.size = sizeof row, .vector = (const float[DIM]){1}};
    cairn_results *results;
    float vector[DIM];

    (void)stage;
    switch (crn_rng_below(rng, 8)) {
    case 0: return cairn_insert(doomed, &row, 1, err);
    case 1: return cairn_optimize(doomed, NULL, NULL, err);
    default: break;
    }
    random_vector(rng, vector);
    CRN_TRY(cairn_search(doomed,
                         CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 3, .with_pattern = true,
                                       .domain = crn_rng_below(rng, 2) ? "d" : NULL),
                         &results, err));
    cairn_results_free(results);
    return CAIRN_OK;
}

static void *use_until_gone(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);
    cairn_collection *doomed;
    cairn_error err = {0};
    cairn_status status = cairn_collection_open(stage->database.db, "doomed", NULL, &doomed, &err);

    if (status != CAIRN_OK) {
        note_failure(stage, __LINE__, "cairn_collection_open", err.message);
        return NULL;
    }
    atomic_fetch_add(&stage->writing, 1);
    do {
        status = use_doomed(stage, doomed, &rng, &err);
    } while (status == CAIRN_OK);
    if (status != CAIRN_NO_COLLECTION) note_failure(stage, __LINE__, cairn_status_name(status), err.message);
    for (int i = 0; i < 3; i++) {
        if (use_doomed(stage, doomed, &rng, &err) != CAIRN_NO_COLLECTION) note_failure(stage, __LINE__, "again", "there");
    }
    cairn_collection_close(doomed);
    return NULL;
}

static void *drop_soon(void *arg)
{
    struct stage *stage = arg;
    cairn_error err = {0};

    while (atomic_load(&stage->writing) < 5) usleep(1000);
    usleep(5000);
    if (cairn_collection_drop(stage->database.db, "doomed", &err) != CAIRN_OK) note_failure(stage, __LINE__, "drop", err.message);
    return NULL;
}

static void a_collection_is_dropped_while_it_is_used(void **state)
{
    static void *(*const functions[])(void *) = {use_until_gone, use_until_gone, use_until_gone, use_until_gone, use_until_gone,
                                                 drop_soon};
    struct stage *stage = malloc(sizeof *stage);
    cairn_collection *doomed;
    float vector[DIM];

    (void)state;
    stage_open(stage, false);
    struct crn_rng rng = rng_of_thread(stage);
    for (int round = 0; round < 6; round++) {
        ok(cairn_collection_open(stage->database.db, "doomed", CAIRN_OPTIONS(cairn_collection_options, .dim = DIM), &doomed, err));
        for (int i = 0; i < 40; i++) {
            random_vector(&rng, vector);
            ok(cairn_insert(doomed, CAIRN_OPTIONS(cairn_pattern, .vector = vector, .domain = "d"), 1, err));
        }
        if (round % 2 == 0) cairn_collection_close(doomed);
        atomic_store(&stage->writing, 0);
        run_threads(stage, functions, COUNT_OF(functions));
        if (round % 2 != 0) cairn_collection_close(doomed);
    }
    stage_close(stage);
    free(stage);
}

/* ---- backup ---- */

/* Two rows a call: a consistent copy holds an even number. */
static void *write_pairs(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);
    cairn_pattern pair[2] = {{.size = sizeof *pair}, {.size = sizeof *pair}};
    float vectors[2][DIM];

    for (int i = 0; !atomic_load(&stage->stop); i++) {
        cairn_error err = {0};
        random_vector(&rng, vectors[0]);
        random_vector(&rng, vectors[1]);
        pair[0].vector = vectors[0];
        pair[1].vector = vectors[1];
        if (cairn_insert(stage->collection, pair, 2, &err) != CAIRN_OK) note_failure(stage, __LINE__, "cairn_insert", err.message);
    }
    return NULL;
}

static void check_backup(const char *path, uint64_t *rows)
{
    const uint64_t before = *rows;
    struct database copy = {.db = NULL};
    cairn_collection *collection;
    cairn_results *results;

    snprintf(copy.path, sizeof copy.path, "%s", path);
    database_open(&copy, CAIRN_OPTIONS(cairn_open_options, .no_background = true));
    ok(cairn_collection_open(copy.db, "notes", NULL, &collection, err));
    *rows = count_of(collection, NULL);
    assert_true(*rows >= before && *rows % 2 == 0);
    ok(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = (const float[DIM]){1}, .k = (uint32_t)*rows), &results, err));
    assert_int_equal(cairn_results_count(results), *rows);
    cairn_results_free(results);
    database_verify_clean(&copy); /* index files are not copied: searching has made them anew */
    cairn_collection_close(collection);
    cairn_close(copy.db);
}

static void backups_made_while_writing_are_whole(void **state)
{
    struct stage *stage = malloc(sizeof *stage);
    pthread_t threads[3];
    uint64_t rows = FIXED;

    (void)state;
    stage_open(stage, false);
    for (size_t i = 0; i < COUNT_OF(threads); i++) assert_int_equal(pthread_create(&threads[i], NULL, write_pairs, stage), 0);
    for (int i = 0; i < 4; i++) {
        char path[290];
        snprintf(path, sizeof path, "%s/copy%d.cairn", stage->database.folder, i);
        ok(cairn_backup(stage->database.db, path, NULL, NULL, err));
        check_backup(path, &rows);
    }
    atomic_store(&stage->stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++) pthread_join(threads[i], NULL);
    stage_close(stage);
    free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads_see_what_they_wrote),
        cmocka_unit_test(two_handles_of_one_file_see_each_other),
        cmocka_unit_test(compare_and_set_loses_no_increment),
        cmocka_unit_test(a_collection_is_dropped_while_it_is_used),
        cmocka_unit_test(backups_made_while_writing_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
