/*
 * Failing allocations, FAISS's own included (failing_new.cpp): each becomes NO_MEMORY, or costs nothing but time. What is
 * left out is what runs in FAISS's parallel regions, where a failure ends the process: training and adding, and the
 * searches of indexes other than HNSW and IVF.
 */
#include "base/mem.h"
#include "tests/engine/index_fixture.h"

#define COUNT 2000
#define DIM 8
#define COUNT_BUILT 700 /* where building is repeated */
#define TRIES 150

struct setting {
    struct crn_rng rng;
    char *folder;
    float *vectors;
    struct crn_index_rows rows;
    const char *spec;
    unsigned threads;
    const struct crn_index *index;
};

static cairn_status try_check(struct setting *setting, cairn_error *err)
{
    LEAKS_BEGIN;
    const cairn_status status = crn_index_faiss.check(setting->spec, DIM, CRN_OP_L2, err);
    LEAKS_END;
    return status;
}

static cairn_status try_build(struct setting *setting, cairn_error *err)
{
    return index_build(setting->folder, setting->spec, &setting->rows, setting->threads, NULL, NULL, err);
}

static cairn_status try_open(struct setting *setting, cairn_error *err)
{
    struct opened opened;

    LEAKS_BEGIN;
    const cairn_status status = index_open(setting->folder, &setting->rows, &opened, err);
    LEAKS_END;
    if (status == CAIRN_OK) index_close(&opened);
    return status;
}

static cairn_status try_search(struct setting *setting, cairn_error *err)
{
    const struct crn_index_query query = {.vector = setting->vectors, .k = K, .allowed = COUNT};
    struct crn_hit hits[K];
    struct crn_topk top;

    crn_topk_init(&top, hits, K);
    return crn_index_faiss.search(setting->index, &query, &top, err);
}

/* Fails allocations of `what`, the first ones and others at random; returns how often it failed with NO_MEMORY. */
static int fail_each(struct setting *setting, cairn_status (*what)(struct setting *, cairn_error *))
{
    cairn_error err;
    int failed = 0;

    crn_mem_fail_at(UINT64_MAX, false);
    assert_status(what(setting, &err), CAIRN_OK, &err);
    const uint64_t total = crn_mem_count();
    for (uint64_t i = 1; i <= (total < TRIES ? total : TRIES); i++) {
        const uint64_t nth = total <= TRIES || i <= TRIES / 3 ? i : 1 + crn_rng_below(&setting->rng, total);
        crn_mem_fail_at(nth, i % 2 == 0);
        const cairn_status status = what(setting, &err);
        crn_mem_fail_at(0, false);
        failed += status == CAIRN_NO_MEMORY;
        if (status != CAIRN_OK) assert_status(status, CAIRN_NO_MEMORY, &err);
    }
    crn_mem_fail_at(0, false);
    assert_status(what(setting, &err), CAIRN_OK, &err);
    return failed;
}

static void setting_init(struct setting *setting, const char *spec)
{
    setting->rng = test_rng();
    setting->folder = folder_create();
    setting->vectors = rows_create(&setting->rng, COUNT, DIM);
    setting->rows =
        (struct crn_index_rows){.vectors = setting->vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    setting->spec = spec;
    setting->threads = 1;
}

static void setting_release(struct setting *setting)
{
    free(setting->vectors);
    folder_remove(setting->folder);
}

static void opening_and_searching_survive(void **state)
{
    static const char *const specs[] = {"HNSW8", "IVF16,Flat", "PCA4,IVF16,SQ8"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        struct setting setting;
        struct opened opened;
        cairn_error err;

        setting_init(&setting, specs[i]);
        assert_status(try_build(&setting, &err), CAIRN_OK, &err);
        if (strncmp(specs[i], "HNSW", 4) != 0) assert_true(fail_each(&setting, try_check) > 0);
        assert_true(fail_each(&setting, try_open) > 0);
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_OK, &err);
        setting.index = opened.index;
        assert_true(fail_each(&setting, try_search) > 0);
        index_close(&opened);
        setting_release(&setting);
    }
}

/* With several threads a worker that fails lets those out that wait for its locks. */
static void building_graphs_survives(void **state)
{
    static const unsigned threads[] = {1, 4};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        struct setting setting;

        setting_init(&setting, "HNSW8");
        setting.threads = threads[i];
        setting.rows.count = COUNT_BUILT;
        assert_true(fail_each(&setting, try_build) > TRIES / 2);
        setting_release(&setting);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_and_searching_survive),
        cmocka_unit_test(building_graphs_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
