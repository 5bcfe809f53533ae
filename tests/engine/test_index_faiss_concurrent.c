/* Eight threads search one index at once, each query with and without a filter; all find what one thread found before.
 * The indexes are built on one thread: the sanitizer does not see OpenMP's barriers. */
#include "tests/engine/index_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define COUNT 4000
#define DIM 16
#define THREADS 8
#define ROUNDS 3

struct answer {
    size_t count;
    struct crn_hit hits[K];
};

static struct crn_index_rows rows;
static const struct crn_index *shared;
static uint64_t *half;
static size_t half_count;
static struct answer expected[QUERIES][2];
static atomic_int failures;

static cairn_status ask(size_t q, bool filtered, struct answer *out)
{
    const struct crn_index_query query = {.vector = rows.vectors + (rows.count + q) * rows.dim,
                                          .k = K,
                                          .allow = filtered ? half : NULL,
                                          .allowed = filtered ? half_count : rows.count};
    struct crn_topk top;
    cairn_error err;

    memset(out, 0, sizeof *out);
    crn_topk_init(&top, out->hits, K);
    const cairn_status status = crn_index_faiss.search(shared, &query, &top, &err);
    crn_topk_sort(&top);
    out->count = top.count;
    return status;
}

static void *search_thread(void *arg)
{
    const size_t first = (size_t)(uintptr_t)arg;
    struct answer answer;

    for (size_t i = 0; i < ROUNDS * QUERIES; i++) {
        const size_t q = (first * 13 + i) % QUERIES;
        const bool filtered = (first + i) % 2 == 0;
        if (ask(q, filtered, &answer) != CAIRN_OK || answer.count != expected[q][filtered].count) failures++;
        for (size_t j = 0; j < answer.count; j++) {
            if (answer.hits[j].label != expected[q][filtered].hits[j].label) failures++;
        }
    }
    return NULL;
}

static void check_spec(const char *folder, const char *spec)
{
    pthread_t threads[THREADS];
    struct opened opened;
    cairn_error err;

    assert_status(index_build(folder, spec, &rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
    shared = opened.index;
    for (size_t q = 0; q < QUERIES; q++) {
        for (int filtered = 0; filtered < 2; filtered++) {
            assert_int_equal(ask(q, filtered, &expected[q][filtered]), CAIRN_OK);
            assert_int_equal(expected[q][filtered].count, K);
        }
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, search_thread, (void *)i), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    index_close(&opened);
}

static void threads_find_what_one_finds(void **state)
{
    static const char *const specs[] = {"HNSW8", "IVF16,SQ8", "HNSW8,SQ8", "PCA8,IVF16,Flat", "PQ8x4fs"};
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);

    (void)state;
    rows = (struct crn_index_rows){.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    half = filter_create(&rng, COUNT, 2, &half_count);
    for (size_t i = 0; i < COUNT_OF(specs); i++) check_spec(folder, specs[i]);
    free(half);
    free(vectors);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_find_what_one_finds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
