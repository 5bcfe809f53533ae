/* Collections are dropped while threads use them, and backups made while threads write. */
#include "tests/engine/stage.h"

#include "base/error.h"

/* ---- dropping ---- */

/* Until the collection is gone each call gives what it should, and from then on one status. */
static cairn_status use_doomed(struct stage *stage, cairn_collection *doomed, struct crn_rng *rng,
                               cairn_error *err)
{
    const cairn_pattern row = {.size = sizeof row, .vector = (const float[DIM]){1}};
    cairn_results *results;
    float vector[DIM];

    (void)stage;
    switch (crn_rng_below(rng, 8)) {
    case 0:
        return cairn_insert(doomed, &row, 1, err);
    case 1:
        return cairn_optimize(doomed, NULL, NULL, err);
    default:
        break;
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
        if (use_doomed(stage, doomed, &rng, &err) != CAIRN_NO_COLLECTION)
            note_failure(stage, __LINE__, "again", "there");
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
    if (cairn_collection_drop(stage->database.db, "doomed", &err) != CAIRN_OK)
        note_failure(stage, __LINE__, "drop", err.message);
    return NULL;
}

static void a_collection_is_dropped_while_it_is_used(void **state)
{
    static void *(*const functions[])(void *) = {use_until_gone, use_until_gone, use_until_gone,
                                                 use_until_gone, use_until_gone, drop_soon};
    struct stage *stage = malloc(sizeof *stage);
    cairn_collection *doomed;
    float vector[DIM];

    (void)state;
    stage_open(stage, false);
    struct crn_rng rng = rng_of_thread(stage);
    for (int round = 0; round < 6; round++) {
        ok(cairn_collection_open(stage->database.db, "doomed",
                                 CAIRN_OPTIONS(cairn_collection_options, .dim = DIM), &doomed, err));
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
        if (cairn_insert(stage->collection, pair, 2, &err) != CAIRN_OK)
            note_failure(stage, __LINE__, "cairn_insert", err.message);
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
    database_verify_clean(&copy);
    ok(cairn_collection_open(copy.db, "notes", NULL, &collection, err));
    *rows = count_of(collection, NULL);
    assert_true(*rows >= before && *rows % 2 == 0);
    ok(cairn_search(collection,
                    CAIRN_OPTIONS(cairn_query, .vector = (const float[DIM]){1}, .k = (uint32_t)*rows),
                    &results, err));
    assert_int_equal(cairn_results_count(results), *rows);
    cairn_results_free(results);
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
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_pairs, stage), 0);
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
        cmocka_unit_test(a_collection_is_dropped_while_it_is_used),
        cmocka_unit_test(backups_made_while_writing_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
