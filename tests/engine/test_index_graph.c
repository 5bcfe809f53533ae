/* The graph backend: recall against exact results, filters, recall targets, and files that are not what was written. */
#define INDEX_OPS crn_index_graph
#define INDEX_KIND "graph"
#include "tests/engine/index_fixture.h"

#include "base/mem.h"
#include "engine/graph_file.h"

#define COUNT 6000
#define DIM 48
#define SMALL 900

struct setting {
    struct crn_rng rng;
    char *folder;
    float *vectors;
    struct crn_index_rows rows;
};

static void setting_init(struct setting *setting, size_t count, enum crn_op op)
{
    setting->rng = test_rng();
    setting->folder = folder_create();
    setting->vectors = rows_create(&setting->rng, count, DIM);
    setting->rows =
        (struct crn_index_rows){.vectors = setting->vectors, .count = count, .dim = DIM, .op = op};
}

static void setting_release(struct setting *setting)
{
    free(setting->vectors);
    folder_remove(setting->folder);
}

static void build_and_open(struct setting *setting, unsigned threads, struct opened *out)
{
    cairn_error err;

    assert_status(index_build(setting->folder, "", &setting->rows, threads, NULL, NULL, &err), CAIRN_OK,
                  &err);
    assert_status(index_open(setting->folder, &setting->rows, out, &err), CAIRN_OK, &err);
}

/* Lengths that differ as those of a recommender's items do. */
static void stretch(struct setting *setting)
{
    for (size_t r = 0; r < setting->rows.count; r++) {
        const float length = expf(0.3f * (float)crn_rng_normal(&setting->rng));
        for (size_t d = 0; d < DIM; d++) setting->vectors[r * DIM + d] *= length;
    }
}

static void recall_is_high_for_every_metric(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct setting setting;
        struct opened opened;
        size_t lacking;

        setting_init(&setting, COUNT, kind == 0 ? CRN_OP_L2 : CRN_OP_DOT);
        if (kind == 2) stretch(&setting);
        for (int copy = 0; copy < 2; copy++) {
            setting.rows.copy = copy == 1;
            build_and_open(&setting, 1 + (unsigned)copy, &opened);
            struct crn_index_query query = {.k = K, .allowed = COUNT};
            const double usual = measure_recall(opened.index, &setting.rows, query, &lacking);
            assert_int_equal(lacking, 0);
            query.ef = 400;
            const double most = measure_recall(opened.index, &setting.rows, query, &lacking);
            print_message("kind %d, copy %d: recall %.4f by default, %.4f with ef 400\n", kind, copy, usual,
                          most);
            assert_true(usual >= 0.93);
            assert_true(most >= 0.99); /* so many visits that all rows are compared instead */
            assert_true((INDEX_OPS.memory_bytes(opened.index) > COUNT * DIM) == (copy == 1));
            index_close(&opened);
        }
        setting_release(&setting);
    }
}

/* What is asked for is found, about: the calibration has 128 queries, this test 100. */
static void a_recall_that_is_asked_for_is_reached(void **state)
{
    static const double targets[] = {0.8, 0.9, 0.95, 0.99};
    struct setting setting;
    struct opened opened;
    size_t lacking;

    (void)state;
    setting_init(&setting, COUNT, CRN_OP_L2);
    build_and_open(&setting, 2, &opened);
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        const struct crn_index_query query = {.k = K, .allowed = COUNT, .recall = targets[i]};
        const double recall = measure_recall(opened.index, &setting.rows, query, &lacking);
        print_message("asked for %.2f: %.4f\n", targets[i], recall);
        assert_true(recall >= targets[i] - 0.04);
    }
    index_close(&opened);
    setting_release(&setting);
}

static void filters_are_kept_to(void **state)
{
    static const uint64_t ofs[] = {1, 2, 10, 50};
    struct setting setting;
    struct opened opened;

    (void)state;
    setting_init(&setting, COUNT, CRN_OP_L2);
    build_and_open(&setting, 2, &opened);
    for (size_t i = 0; i < COUNT_OF(ofs); i++) {
        size_t allowed, lacking;
        uint64_t *allow = filter_create(&setting.rng, COUNT, ofs[i], &allowed);
        const struct crn_index_query query = {.k = K, .allow = allow, .allowed = allowed};
        const double recall = measure_recall(opened.index, &setting.rows, query, &lacking);
        print_message("one in %u: recall %.4f, %zu short\n", (unsigned)ofs[i], recall, lacking);
        assert_true(recall >= 0.93 || lacking != 0); /* whoever gets too few scans instead */
        free(allow);
    }
    index_close(&opened);
    setting_release(&setting);
}

static void equal_rows_and_few_rows_are_indexed(void **state)
{
    struct setting setting;
    struct opened opened;
    struct crn_hit hits[K];

    (void)state;
    setting_init(&setting, SMALL, CRN_OP_L2);
    for (size_t count = 1; count <= SMALL; count = count < 4 ? count + 1 : count * 5) {
        setting.rows.count = count;
        for (int equal = 0; equal < 2; equal++) {
            if (equal == 1) {
                for (size_t r = 1; r < count; r++)
                    memcpy(setting.vectors + r * DIM, setting.vectors, DIM * sizeof(float));
            }
            build_and_open(&setting, 2, &opened);
            const struct crn_index_query query = {.vector = setting.vectors, .k = K, .allowed = count};
            const struct crn_topk top = index_search(opened.index, &setting.rows, &query, hits);
            assert_true(top.count >= 1);
            assert_true(hits[0].distance <= 1e-6f);
            index_close(&opened);
        }
    }
    setting_release(&setting);
}

static bool stop_at_once(void *ctx)
{
    ++*(unsigned *)ctx;
    return true;
}

static void builds_can_be_stopped_and_lack_memory(void **state)
{
    struct setting setting;
    unsigned asked = 0;
    cairn_error err;

    (void)state;
    setting_init(&setting, SMALL, CRN_OP_DOT);
    assert_status(index_build(setting.folder, "", &setting.rows, 1, stop_at_once, &asked, &err),
                  CAIRN_CANCELLED, &err);
    assert_true(asked > 0);
    crn_mem_fail_at(UINT64_MAX, false);
    assert_status(index_build(setting.folder, "", &setting.rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    const uint64_t allocations = crn_mem_count();
    for (uint64_t n = 1; n <= allocations; n++) {
        crn_mem_fail_at(n, false);
        const cairn_status status = index_build(setting.folder, "", &setting.rows, 1, NULL, NULL, &err);
        crn_mem_fail_at(0, false);
        assert_status(status, CAIRN_NO_MEMORY, &err);
    }
    setting_release(&setting);
}

static void what_cannot_be_built_is_refused(void **state)
{
    cairn_error err;

    (void)state;
    assert_status(INDEX_OPS.check("32", 16, CRN_OP_L2, &err), CAIRN_INVALID_OPTION, &err);
    assert_status(INDEX_OPS.check("", 16, CRN_OP_L1, &err), CAIRN_INVALID_OPTION, &err);
    assert_status(INDEX_OPS.check("", CRN_GRAPH_DIMS_MAX + 1, CRN_OP_L2, &err), CAIRN_INVALID_OPTION, &err);
    assert_status(INDEX_OPS.check("", CRN_GRAPH_DIMS_MAX, CRN_OP_L2, &err), CAIRN_OK, &err);
}

/* A walk, all rows compared by blocks, and those that a filter allows, by blocks and signs. What is found must be a row. */
static cairn_status search_all_ways(const struct opened *opened, struct setting *setting, size_t q,
                                    cairn_error *err)
{
    static const uint32_t efforts[] = {SMALL / 50 - 1, SMALL / 3, SMALL / 3};
    size_t allowed;
    uint64_t *allow = filter_create(&setting->rng, SMALL, 2 + q % 5, &allowed);
    cairn_status status = CAIRN_OK;
    struct crn_hit hits[K];
    struct crn_topk top;

    for (size_t way = 0; status == CAIRN_OK && way < COUNT_OF(efforts); way++) {
        struct crn_index_query query = {
            .vector = setting->vectors + (SMALL + q) * DIM, .k = K, .allowed = SMALL, .ef = efforts[way]};
        if (way == 2) {
            query.allow = allow;
            query.allowed = allowed;
        }
        crn_topk_init(&top, hits, K);
        status = INDEX_OPS.search(opened->index, &query, &top, err);
        for (size_t i = 0; status == CAIRN_OK && i < top.count; i++) assert_true(hits[i].label < SMALL);
    }
    free(allow);
    return status;
}

/* One byte changed, or the file cut: opening it or searching it says CORRUPT, or the byte was one that no search read. */
static void damaged_files_are_never_trusted(void **state)
{
    struct setting setting;
    struct opened opened;
    cairn_error err;
    size_t refused = 0;

    (void)state;
    setting_init(&setting, SMALL, CRN_OP_L2);
    build_and_open(&setting, 1, &opened);
    const uint64_t size = crn_derived_size(opened.file);
    index_close(&opened);
    char *path = file_path(setting.folder, "index");
    for (size_t i = 0; i < 120; i++) {
        const int fd = open(path, O_RDWR);
        const off_t at = (off_t)crn_rng_below(&setting.rng, size);
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        const unsigned char changed = byte ^ (unsigned char)(1 + crn_rng_below(&setting.rng, 255));
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        cairn_status status = index_open(setting.folder, &setting.rows, &opened, &err);
        if (status == CAIRN_OK) {
            for (size_t q = 0; status == CAIRN_OK && q < QUERIES; q++)
                status = search_all_ways(&opened, &setting, q, &err);
            index_close(&opened);
        }
        assert_true(status == CAIRN_OK || status == CAIRN_CORRUPT);
        refused += status == CAIRN_CORRUPT;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    assert_true(refused >= 100); /* the others fell between sections */
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(truncate(path, (off_t)crn_rng_below(&setting.rng, size)), 0);
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_CORRUPT, &err);
        build_and_open(&setting, 1, &opened);
        index_close(&opened);
    }
    free(path);
    setting_release(&setting);
}

/* ---- bytes that lie although their checksums are right ---- */

static const char tags[][4] = {"GHED", "GMEA", "GPOS", "GCEL", "GCEN", "GENT", "GROW", "GSGN", "GBLK"};

static void write_lies(struct setting *setting, unsigned char *const sections[], const size_t sizes[])
{
    struct crn_derived_writer *writer;
    cairn_error err;

    assert_status(crn_derived_create(setting->folder, "index", &index_header, &writer, &err), CAIRN_OK, &err);
    for (size_t s = 0; s < COUNT_OF(tags); s++) {
        assert_status(crn_derived_section(writer, tags[s], &err), CAIRN_OK, &err);
        assert_status(crn_derived_write(writer, sections[s], sizes[s], &err), CAIRN_OK, &err);
    }
    assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
}

/* Whether it could be opened. */
static bool search_lies(struct setting *setting)
{
    struct opened opened;
    cairn_error err;
    const cairn_status status = index_open(setting->folder, &setting->rows, &opened, &err);

    if (status != CAIRN_OK) {
        assert_int_equal(status, CAIRN_CORRUPT);
        return false;
    }
    for (size_t q = 0; q < 20; q++) {
        assert_status(search_all_ways(&opened, setting, q, &err), CAIRN_OK, &err);
    }
    index_close(&opened);
    return true;
}

static void lies_do_no_harm(void **state)
{
    unsigned searched = 0;
    unsigned char *sections[COUNT_OF(tags)];
    size_t sizes[COUNT_OF(tags)];
    struct setting setting;
    struct opened opened;

    (void)state;
    setting_init(&setting, SMALL, CRN_OP_L2);
    build_and_open(&setting, 1, &opened);
    for (size_t s = 0; s < COUNT_OF(tags); s++) {
        const void *data = crn_derived_get(opened.file, tags[s], &sizes[s]);
        sections[s] = malloc(sizes[s]);
        memcpy(sections[s], data, sizes[s]);
    }
    index_close(&opened);
    for (size_t round = 0; round < 150; round++) {
        const size_t s = crn_rng_below(&setting.rng, COUNT_OF(tags)),
                     changes = 1 + crn_rng_below(&setting.rng, 64);
        unsigned char *before = malloc(sizes[s]);
        memcpy(before, sections[s], sizes[s]);
        for (size_t i = 0; i < changes; i++) {
            sections[s][crn_rng_below(&setting.rng, sizes[s])] = (unsigned char)crn_rng_u64(&setting.rng);
        }
        write_lies(&setting, sections, sizes);
        searched += search_lies(&setting);
        memcpy(sections[s], before, sizes[s]);
        free(before);
    }
    assert_true(searched >= 50); /* lies about rows, signs and blocks can be opened */
    for (size_t s = 0; s < COUNT_OF(tags); s++) free(sections[s]);
    setting_release(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_is_high_for_every_metric),
        cmocka_unit_test(a_recall_that_is_asked_for_is_reached),
        cmocka_unit_test(filters_are_kept_to),
        cmocka_unit_test(equal_rows_and_few_rows_are_indexed),
        cmocka_unit_test(builds_can_be_stopped_and_lack_memory),
        cmocka_unit_test(what_cannot_be_built_is_refused),
        cmocka_unit_test(damaged_files_are_never_trusted),
        cmocka_unit_test(lies_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
