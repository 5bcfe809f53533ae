/* A database for many threads: maintenance in the background, and a tail so short that it is always busy. */
#ifndef CRN_TESTS_ENGINE_STAGE_H
#define CRN_TESTS_ENGINE_STAGE_H

#include "tests/engine/rows.h"

#include <pthread.h>
#include <stdatomic.h>

#define DIM 8
#define THREADS 8
#define FIXED 60 /* rows that nobody changes */

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
static inline void note_failure(struct stage *stage, int line, const char *what, const char *message)
{
    pthread_mutex_lock(&stage->mutex);
    if (stage->failure[0] == '\0')
        snprintf(stage->failure, sizeof stage->failure, "line %d: %s: %s", line, what, message);
    pthread_mutex_unlock(&stage->mutex);
    atomic_store(&stage->stop, true);
}

#define must(call)                                                     \
    do {                                                               \
        cairn_error must_error_ = {0}, *err = &must_error_;            \
        if ((call) != CAIRN_OK) {                                      \
            note_failure(stage, __LINE__, #call, must_error_.message); \
            return;                                                    \
        }                                                              \
    } while (0)

#define must_be(condition)                                          \
    do {                                                            \
        if (!(condition)) {                                         \
            note_failure(stage, __LINE__, #condition, "is not so"); \
            return;                                                 \
        }                                                           \
    } while (0)

static inline void random_vector(struct crn_rng *rng, float *out)
{
    for (int i = 0; i < DIM; i++) out[i] = (float)crn_rng_normal(rng);
}

/* ---- a stage ---- */

static inline void stage_open(struct stage *stage, bool second)
{
    const cairn_open_options options = {
        .size = sizeof options, .tail_rows_max = 24, .durability = CAIRN_LAZY, .threads = 2};
    const cairn_collection_options notes = {
        .size = sizeof notes, .dim = DIM, .quantization = CAIRN_QUANTIZATION_SCALAR};
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

static inline void stage_close(struct stage *stage)
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

static inline struct crn_rng rng_of_thread(struct stage *stage)
{
    struct crn_rng rng;

    crn_rng_init(&rng, atomic_fetch_add(&stage->seed, 1));
    return rng;
}

static inline void run_threads(struct stage *stage, void *(*const functions[])(void *), size_t count)
{
    pthread_t threads[THREADS];

    assert_true(count <= THREADS);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, functions[i], stage), 0);
    for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
    if (stage->failure[0] != '\0') fail_msg("%s", stage->failure);
}

#endif
