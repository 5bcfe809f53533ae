/*
 * The ivf backend: recall has floors for each metric and grows with nprobe and with the recall that is
 * asked for; filters leave k rows whenever k match; damaged and lying files are refused or do no harm;
 * failing allocations and cancelled builds are statuses.
 */
#define INDEX_OPS crn_index_ivf
#define INDEX_KIND "ivf"
#include "base/mem.h"
#include "engine/ivf.h"
#include "tests/engine/index_fixture.h"

#define COUNT 6000
#define DIM 24
#define ROUNDS 80
#define TRIES 36

struct setting {
    char *folder;
    float *vectors;
    struct crn_index_rows rows;
    struct crn_rng rng;
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

static void build_and_open(struct setting *setting, const char *spec, unsigned threads, struct opened *out)
{
    cairn_error err;

    assert_status(index_build(setting->folder, spec, &setting->rows, threads, NULL, NULL, &err), CAIRN_OK,
                  &err);
    assert_status(index_open(setting->folder, &setting->rows, out, &err), CAIRN_OK, &err);
}

/* ---- recall ---- */

/* Rows off the unit sphere and off the origin, so that dot products and distances rank them differently. */
static void make_uneven(struct setting *setting)
{
    for (size_t i = 0; i < (setting->rows.count + QUERIES) * DIM; i++) {
        setting->vectors[i] = setting->vectors[i] * (1 + 0.5f * (float)(i / DIM % 5)) + 0.3f;
    }
}

static void recall_has_floors(void **state)
{
    static const struct {
        enum crn_op op;
        bool uneven;
    } cases[] = {{CRN_OP_DOT, false}, {CRN_OP_DOT, true}, {CRN_OP_L2, false}, {CRN_OP_L2, true}};

    (void)state;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct setting setting;
        struct opened opened;
        size_t fewer;

        setting_init(&setting, COUNT, cases[c].op);
        if (cases[c].uneven) make_uneven(&setting);
        build_and_open(&setting, "", 2, &opened);
        const struct crn_index_query usual = {.k = K, .allowed = COUNT};
        const struct crn_index_query one = {.k = K, .allowed = COUNT, .nprobe = 1};
        const struct crn_index_query all = {.k = K, .allowed = COUNT, .nprobe = UINT32_MAX};
        const struct crn_index_query low = {.k = K, .allowed = COUNT, .recall = 0.7};
        const double recall_all = measure_recall(opened.index, &setting.rows, all, &fewer);
        assert_int_equal(fewer, 0);
        const double recall_usual = measure_recall(opened.index, &setting.rows, usual, &fewer);
        assert_int_equal(fewer, 0);
        const double recall_low = measure_recall(opened.index, &setting.rows, low, &fewer);
        const double recall_one = measure_recall(opened.index, &setting.rows, one, &fewer);
        assert_int_equal(fewer, 0);
        print_message("op %d %s: recall %.4f by all lists, %.4f by default, %.4f of 0.7, %.4f by one list\n",
                      cases[c].op, cases[c].uneven ? "uneven" : "even", recall_all, recall_usual, recall_low,
                      recall_one);
        assert_true(recall_all >= 0.99);
        assert_true(recall_usual >= 0.94);
        assert_true(recall_low >= 0.55 && recall_low <= recall_usual);
        assert_true(recall_one < recall_usual);
        index_close(&opened);
        setting_release(&setting);
    }
}

/* Codes find nearly all of the nearest centroids, at first try or when all are compared; nothing is found
 * twice, and distances ascend. */
static void centroids_are_found(void **state)
{
    static const size_t wanted[] = {1, 10, 60, 400, 2000};

    (void)state;
    for (enum crn_op op = CRN_OP_DOT; op <= CRN_OP_L2; op++) {
        struct setting setting;
        struct crn_ivf_frame frame;
        struct crn_ivf_coarse coarse;
        const float mean[DIM] = {0.1f};
        cairn_error err;

        setting_init(&setting, 2000, op);
        assert_status(crn_ivf_frame_init(&frame, op, DIM, 5, mean, &err), CAIRN_OK, &err);
        assert_status(crn_ivf_coarse_init(&coarse, &frame.binary, 2000, &err), CAIRN_OK, &err);
        float *floats = crn_mem_aligned(2 * frame.binary.padded * sizeof *floats);
        void *memory = crn_mem_aligned(crn_ivf_coarse_query_bytes(&frame.binary));
        crn_ivf_coarse_encode(&coarse, setting.vectors, floats);
        for (size_t w = 0; w < COUNT_OF(wanted); w++) {
            const size_t most = crn_ivf_coarse_hits(2000, wanted[w]);
            struct crn_hit *hits = malloc(most * sizeof *hits), *truth = malloc(wanted[w] * sizeof *truth);
            size_t right = 0;

            for (size_t q = 0; q < QUERIES; q++) {
                const float *vector = setting.vectors + (2000 + q) * DIM;
                struct crn_ivf_coarse_query query;
                struct crn_topk top;

                crn_ivf_coarse_prepare(&frame.binary, vector, memory, &query);
                assert_int_equal(crn_ivf_coarse_find(&coarse, &query, wanted[w], hits), wanted[w]);
                crn_topk_init(&top, truth, wanted[w]);
                crn_flat_scan_f32(op, vector, setting.vectors, DIM, 2000, 0, NULL, &top);
                for (size_t i = 0; i < wanted[w]; i++) {
                    assert_true(i == 0 || hits[i].distance >= hits[i - 1].distance);
                    size_t same = 0;
                    for (size_t j = 0; j < wanted[w]; j++) {
                        right += truth[j].label == hits[i].label;
                        same += hits[j].label == hits[i].label;
                    }
                    assert_int_equal(same, 1);
                }
            }
            const double share = (double)right / (double)(QUERIES * wanted[w]);
            print_message("op %d: %.4f of the nearest %zu of 2000\n", op, share, wanted[w]);
            assert_true(share >= 0.7);
            free(hits);
            free(truth);
        }
        crn_mem_free(memory);
        crn_mem_free(floats);
        crn_ivf_coarse_release(&coarse);
        crn_ivf_frame_release(&frame);
        setting_release(&setting);
    }
}

/* Grouping many centroids sorts them, each to the group nearest to it; and most rows' nearest centroid is in one
 * of the groups near the row, which are a small part of all. */
static void centroids_are_grouped(void **state)
{
    enum { LISTS = 4500, ROWS = 500 };
    struct setting setting;
    float *sorted[2];

    (void)state;
    setting_init(&setting, LISTS + ROWS, CRN_OP_L2);
    for (unsigned t = 0; t < 2; t++) {
        struct crn_ivf_groups groups;
        struct crn_ivf_range ranges[CRN_IVF_GROUPS_MAX + 1];
        double right = 0, seen = 0;
        cairn_error err;

        float *copy = malloc(LISTS * DIM * sizeof *copy);
        memcpy(copy, setting.vectors, LISTS * DIM * sizeof *copy);
        assert_status(crn_ivf_groups_init(&groups, LISTS, DIM, 1 + 2 * t, &err), CAIRN_OK, &err);
        assert_true(groups.count > 1);
        crn_ivf_groups_make(&groups, copy);
        assert_int_equal(groups.starts[0], 0);
        assert_int_equal(groups.starts[groups.count], LISTS);
        for (size_t l = 0; l < LISTS; l += 9) {
            const float *row = setting.vectors + l * DIM;
            const size_t found = crn_ivf_groups_find(&groups, row, ranges);
            struct crn_hit hit;
            struct crn_topk top;

            assert_in_range(found, 1, groups.count);
            crn_topk_init(&top, &hit, 1);
            crn_flat_scan_f32(CRN_OP_L2, row, copy, DIM, LISTS, 0, NULL, &top);
            assert_true(hit.distance == 0); /* none is lost */
            assert_in_range(hit.label, ranges[0].begin, ranges[0].end - 1);
        }
        for (size_t i = LISTS; i < LISTS + ROWS; i++) {
            const float *row = setting.vectors + i * DIM;
            const size_t found = crn_ivf_groups_find(&groups, row, ranges);
            struct crn_hit hit;
            struct crn_topk top;

            crn_topk_init(&top, &hit, 1);
            crn_flat_scan_f32(CRN_OP_L2, row, copy, DIM, LISTS, 0, NULL, &top);
            for (size_t r = 0; r < found; r++) {
                seen += ranges[r].end - ranges[r].begin;
                right += hit.label >= ranges[r].begin && hit.label < ranges[r].end;
            }
        }
        print_message("%.4f of the nearest centroids, %.3f of all looked at\n", right / ROWS,
                      seen / ROWS / LISTS);
        assert_true(right / ROWS >= 0.85);
        assert_true(seen / ROWS / LISTS <= 0.5);
        sorted[t] = copy;
        crn_ivf_groups_release(&groups);
    }
    assert_memory_equal(sorted[0], sorted[1], LISTS * DIM * sizeof *sorted[0]);
    setting_release(&setting);
    free(sorted[0]);
    free(sorted[1]);
}

/* The grouped centroids' lists are as good as any: nearly all neighbours lie in few of them. */
static void many_lists_find_as_much(void **state)
{
    struct setting setting;
    struct opened opened;
    size_t fewer;

    (void)state;
    setting_init(&setting, 9000, CRN_OP_L2);
    build_and_open(&setting, "4200", 2, &opened);
    const struct crn_index_query some = {.k = K, .allowed = 9000, .nprobe = 600};
    const struct crn_index_query all = {.k = K, .allowed = 9000, .nprobe = UINT32_MAX};
    const double recall_some = measure_recall(opened.index, &setting.rows, some, &fewer);
    print_message("recall %.4f by 600 of 4200 lists\n", recall_some);
    assert_true(recall_some >= 0.9);
    assert_true(measure_recall(opened.index, &setting.rows, all, &fewer) >= 0.99);
    assert_int_equal(fewer, 0);
    index_close(&opened);
    setting_release(&setting);
}

static void codes_are_compact(void **state)
{
    struct setting setting;
    struct opened opened;
    size_t size = 0;

    (void)state;
    setting_init(&setting, COUNT, CRN_OP_L2);
    build_and_open(&setting, "", 1, &opened);
    assert_non_null(crn_derived_get(opened.file, "ILST", &size));
    /* int8, its two floats, a position; signs padded to 64 dimensions, two floats, blocks of 32 rows half
     * empty at worst. */
    assert_true(size <= COUNT * (DIM + 8 + 4) + (COUNT + 32 * 4 * 78) * (size_t)(8 + 8) + 64 * 4 * 78);
    index_close(&opened);
    setting_release(&setting);
}

static void lists_are_as_many_as_asked_for(void **state)
{
    static const struct {
        const char *spec;
        size_t lists;
    } cases[] = {{"1", 1}, {"17", 17}, {"700", 500}, {"", 62}};

    (void)state;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct setting setting;
        struct opened opened;
        size_t size, fewer;

        setting_init(&setting, 500, CRN_OP_DOT);
        build_and_open(&setting, cases[c].spec, 1, &opened);
        assert_non_null(crn_derived_get(opened.file, "ICEN", &size));
        assert_int_equal(size, cases[c].lists * DIM * sizeof(float));
        const struct crn_index_query all = {.k = K, .allowed = 500, .nprobe = UINT32_MAX};
        assert_true(measure_recall(opened.index, &setting.rows, all, &fewer) >= 0.99);
        assert_int_equal(fewer, 0);
        index_close(&opened);
        setting_release(&setting);
    }
}

static void specs_are_checked(void **state)
{
    static const char *const wrong[] = {"0", "-1", "x", "10x", " 10", "65537", "99999999999999999999", ","};
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_status(crn_index_ivf.check(wrong[i], DIM, CRN_OP_DOT, &err), CAIRN_INVALID_OPTION, &err);
        assert_non_null(strstr(err.message, wrong[i]));
    }
    assert_status(crn_index_ivf.check("65536", DIM, CRN_OP_DOT, &err), CAIRN_OK, &err);
    assert_status(crn_index_ivf.check("", DIM, CRN_OP_L2, &err), CAIRN_OK, &err);
    assert_status(crn_index_ivf.check("", DIM, CRN_OP_L1, &err), CAIRN_INVALID_OPTION, &err);
}

/* ---- filters ---- */

static void filters_leave_k_rows(void **state)
{
    static const uint64_t of[] = {2, 20, 300, 2000, COUNT * 4};
    struct setting setting;
    struct opened opened;

    (void)state;
    setting_init(&setting, COUNT, CRN_OP_L2);
    build_and_open(&setting, "", 1, &opened);
    for (size_t i = 0; i < COUNT_OF(of); i++) {
        struct crn_index_query query = {.k = K};
        size_t fewer;
        uint64_t *allow = filter_create(&setting.rng, COUNT, of[i], &query.allowed);
        query.allow = allow;
        const double recall = measure_recall(opened.index, &setting.rows, query, &fewer);
        print_message("%zu rows allowed: recall %.4f\n", query.allowed, recall);
        assert_int_equal(fewer, 0);
        assert_true(recall >= 0.9);
        query.nprobe = 1;
        measure_recall(opened.index, &setting.rows, query, &fewer);
        assert_int_equal(fewer, 0);
        free(allow);
    }
    index_close(&opened);
    setting_release(&setting);
}

static void any_k_is_answered(void **state)
{
    static const size_t ks[] = {1, 2, 100, 700, 1500};
    struct setting setting;
    struct opened opened;

    (void)state;
    setting_init(&setting, 1200, CRN_OP_DOT);
    build_and_open(&setting, "40", 1, &opened);
    for (size_t i = 0; i < COUNT_OF(ks); i++) {
        struct crn_hit *hits = malloc(ks[i] * sizeof *hits);
        const struct crn_index_query query = {
            .vector = setting.vectors + 1200 * DIM, .k = ks[i], .allowed = 1200, .nprobe = 1};
        assert_int_equal(index_search(opened.index, &setting.rows, &query, hits).count,
                         ks[i] < 1200 ? ks[i] : 1200);
        free(hits);
    }
    index_close(&opened);
    setting_release(&setting);
}

/* Equal rows, zeros, and vectors beyond the range of float: answered, or left to a scan, never worse. */
static void odd_rows_do_no_harm(void **state)
{
    static const float values[] = {0, 1, 1e-38f, 1e19f, 3e38f};

    (void)state;
    for (size_t v = 0; v < COUNT_OF(values); v++) {
        for (enum crn_op op = CRN_OP_DOT; op <= CRN_OP_L2; op++) {
            struct setting setting;
            struct opened opened;
            struct crn_hit hits[K];
            struct crn_topk top;
            cairn_error err;

            setting_init(&setting, 1500, op);
            for (size_t i = 0; i < 1500 * DIM; i++) setting.vectors[i] = i % 7 == 0 ? -values[v] : values[v];
            const cairn_status status = index_build(setting.folder, "", &setting.rows, 1, NULL, NULL, &err);
            if (status != CAIRN_OK) {
                assert_status(status, CAIRN_UNSUPPORTED, &err);
            } else {
                assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_OK, &err);
                const struct crn_index_query query = {.vector = setting.vectors, .k = K, .allowed = 1500};
                crn_topk_init(&top, hits, K);
                assert_status(crn_index_ivf.search(opened.index, &query, &top, &err), CAIRN_OK, &err);
                if (values[v] < 1e18f) assert_int_equal(top.count, K);
                index_close(&opened);
            }
            setting_release(&setting);
        }
    }
}

/* ---- damage ---- */

static void indexes_over_other_rows_are_refused(void **state)
{
    struct setting setting;
    struct opened opened;
    cairn_error err;

    (void)state;
    setting_init(&setting, 2000, CRN_OP_L2);
    build_and_open(&setting, "", 1, &opened);
    index_close(&opened);
    struct crn_index_rows fewer = setting.rows, shorter = setting.rows, dot = setting.rows;
    fewer.count--;
    shorter.dim--;
    dot.op = CRN_OP_DOT;
    assert_status(index_open(setting.folder, &fewer, &opened, &err), CAIRN_CORRUPT, &err);
    assert_status(index_open(setting.folder, &shorter, &opened, &err), CAIRN_CORRUPT, &err);
    assert_status(index_open(setting.folder, &dot, &opened, &err), CAIRN_CORRUPT, &err);
    setting_release(&setting);
}

/* Opens and searches all lists: right answers, or CORRUPT. */
static bool refused(struct setting *setting)
{
    struct crn_hit hits[K], true_hits[K];
    struct crn_topk top, truth;
    struct opened opened;
    cairn_error err;
    cairn_status status = index_open(setting->folder, &setting->rows, &opened, &err);

    if (status == CAIRN_OK) {
        const struct crn_index_query query = {
            .vector = setting->vectors, .k = K, .allowed = setting->rows.count, .nprobe = UINT32_MAX};
        crn_topk_init(&top, hits, K);
        status = crn_index_ivf.search(opened.index, &query, &top, &err);
        if (status == CAIRN_OK) {
            crn_topk_sort(&top);
            crn_topk_init(&truth, true_hits, K);
            crn_flat_scan_f32(setting->rows.op, query.vector, setting->rows.vectors, DIM, setting->rows.count,
                              0, NULL, &truth);
            crn_topk_sort(&truth);
            assert_int_equal(top.count, K);
            assert_int_equal(hits[0].label, true_hits[0].label);
        }
        index_close(&opened);
    }
    if (status != CAIRN_OK) assert_status(status, CAIRN_CORRUPT, &err);
    return status != CAIRN_OK;
}

/* A byte changed anywhere in the file, or the file cut anywhere: told by a checksum, or of no weight. */
static void damage_is_told(void **state)
{
    struct setting setting;
    struct opened opened;
    int refusals = 0;

    (void)state;
    setting_init(&setting, 3000, CRN_OP_L2);
    build_and_open(&setting, "", 1, &opened);
    const size_t size = (size_t)crn_derived_size(opened.file);
    index_close(&opened);
    char *path = file_path(setting.folder, "index");
    unsigned char *bytes = malloc(size);
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, bytes, size, 0), size);
    close(fd);
    for (int i = 0; i < ROUNDS; i++) {
        const size_t at = crn_rng_below(&setting.rng, size);
        const bool cut = i % 5 == 0;
        fd = open(path, O_WRONLY | O_TRUNC);
        bytes[at] ^= 0x55;
        assert_int_equal(pwrite(fd, bytes, cut ? at : size, 0), cut ? at : size);
        bytes[at] ^= 0x55;
        close(fd);
        const bool told = refused(&setting);
        assert_true(told || !cut);
        refusals += told;
    }
    print_message("%d of %d were refused\n", refusals, ROUNDS);
    assert_true(refusals > ROUNDS / 2);
    free(bytes);
    free(path);
    setting_release(&setting);
}

static const char tags[][4] = {"IHED", "IMEA", "ICEN", "ISTA", "ILST"};

struct words {
    size_t sizes[COUNT_OF(tags)]; /* bytes */
    uint32_t *of[COUNT_OF(tags)];
};

static void words_read(const char *folder, struct words *out)
{
    struct crn_derived *file;
    cairn_error err;

    assert_status(crn_derived_open(folder, "index", &index_header, &file, &err), CAIRN_OK, &err);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        const void *data = crn_derived_get(file, tags[i], &out->sizes[i]);
        assert_true(out->sizes[i] > 0);
        out->of[i] = malloc(out->sizes[i]);
        memcpy(out->of[i], data, out->sizes[i]);
    }
    crn_derived_close(file);
}

static void words_write(const char *folder, const struct words *words)
{
    struct crn_derived_writer *writer;
    cairn_error err;

    assert_status(crn_derived_create(folder, "index", &index_header, &writer, &err), CAIRN_OK, &err);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        assert_status(crn_derived_section(writer, tags[i], &err), CAIRN_OK, &err);
        assert_status(crn_derived_write(writer, words->of[i], words->sizes[i], &err), CAIRN_OK, &err);
    }
    assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
}

/* Words changed to anything, under right checksums: refused, or searched without harm (which the sanitizers
 * watch), and what is found is a row with its distance, each once. */
static void lies_do_no_harm(void **state)
{
    struct setting setting;
    struct opened opened;
    struct words words;
    cairn_error err;
    int opens = 0;

    (void)state;
    setting_init(&setting, 2000, CRN_OP_DOT);
    build_and_open(&setting, "", 1, &opened);
    index_close(&opened);
    words_read(setting.folder, &words);
    for (int i = 0; i < ROUNDS; i++) {
        const size_t section = crn_rng_below(&setting.rng, COUNT_OF(tags));
        const size_t word = crn_rng_below(&setting.rng, words.sizes[section] / 4), cut = i % 10 == 0 ? 4 : 0;
        const uint32_t before = words.of[section][word];
        words.of[section][word] =
            (uint32_t)(i % 2 == 0 ? crn_rng_u64(&setting.rng)
                                  : crn_rng_below(&setting.rng, setting.rows.count + 50));
        words.sizes[section] -= cut;
        words_write(setting.folder, &words);
        words.sizes[section] += cut;
        words.of[section][word] = before;
        const cairn_status status = index_open(setting.folder, &setting.rows, &opened, &err);
        if (status != CAIRN_OK) {
            assert_status(status, CAIRN_CORRUPT, &err);
            continue;
        }
        assert_int_equal(cut, 0);
        opens++;
        for (size_t q = 0; q < 10; q++) {
            struct crn_hit hits[K];
            struct crn_topk top;
            const struct crn_index_query query = {
                .vector = setting.vectors + q * DIM, .k = K, .allowed = 2000, .nprobe = 1u << q};
            crn_topk_init(&top, hits, K);
            const cairn_status searched = crn_index_ivf.search(opened.index, &query, &top, &err);
            if (searched == CAIRN_OK) {
                index_search(opened.index, &setting.rows, &query, hits);
            } else {
                assert_status(searched, CAIRN_CORRUPT, &err);
            }
        }
        index_close(&opened);
    }
    print_message("%d of %d could be opened\n", opens, ROUNDS);
    assert_true(opens > 0 && opens < ROUNDS);
    for (size_t i = 0; i < COUNT_OF(tags); i++) free(words.of[i]);
    setting_release(&setting);
}

/* ---- stopping and failing ---- */

static bool count_down(void *ctx)
{
    int *left = ctx;

    return (*left)-- <= 0;
}

static void builds_are_cancelled(void **state)
{
    struct setting setting;
    cairn_error err;
    int asked = 1 << 20;

    (void)state;
    setting_init(&setting, 3000, CRN_OP_L2);
    assert_status(index_build(setting.folder, "", &setting.rows, 2, count_down, &asked, &err), CAIRN_OK,
                  &err);
    asked = (1 << 20) - asked;
    assert_true(asked > 10);
    for (int i = 0; i < asked; i++) {
        int left = i;
        assert_status(index_build(setting.folder, "", &setting.rows, 2, count_down, &left, &err),
                      CAIRN_CANCELLED, &err);
    }
    setting_release(&setting);
}

static void failing_allocations_are_statuses(void **state)
{
    struct setting setting;
    struct opened opened;
    struct crn_hit hits[K];
    struct crn_topk top;
    cairn_error err;
    int failed[3] = {0};

    (void)state;
    setting_init(&setting, 1500, CRN_OP_L2);
    build_and_open(&setting, "20", 2, &opened);
    index_close(&opened);
    const struct crn_index_query query = {.vector = setting.vectors, .k = K, .allowed = 1500};
    for (uint64_t nth = 1; nth <= TRIES; nth++) {
        crn_mem_fail_at(nth, nth % 2 == 0);
        cairn_status status = index_build(setting.folder, "20", &setting.rows, 2, NULL, NULL, &err);
        crn_mem_fail_at(0, false);
        failed[0] += status != CAIRN_OK;
        if (status != CAIRN_OK) assert_status(status, CAIRN_NO_MEMORY, &err);
        crn_mem_fail_at(nth, nth % 2 == 0);
        status = index_open(setting.folder, &setting.rows, &opened, &err);
        crn_mem_fail_at(0, false);
        failed[1] += status != CAIRN_OK;
        if (status != CAIRN_OK) {
            assert_status(status, CAIRN_NO_MEMORY, &err);
            assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_OK, &err);
        }
        crn_topk_init(&top, hits, K);
        crn_mem_fail_at(nth, nth % 2 == 0);
        status = crn_index_ivf.search(opened.index, &query, &top, &err);
        crn_mem_fail_at(0, false);
        failed[2] += status != CAIRN_OK;
        if (status != CAIRN_OK) assert_status(status, CAIRN_NO_MEMORY, &err);
        assert_int_equal(index_search(opened.index, &setting.rows, &query, hits).count, K);
        index_close(&opened);
    }
    print_message("failed: %d builds, %d opens, %d searches\n", failed[0], failed[1], failed[2]);
    assert_true(failed[0] > 10 && failed[1] > 5 && failed[2] > 2);
    setting_release(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_has_floors),
        cmocka_unit_test(centroids_are_found),
        cmocka_unit_test(centroids_are_grouped),
        cmocka_unit_test(many_lists_find_as_much),
        cmocka_unit_test(codes_are_compact),
        cmocka_unit_test(lists_are_as_many_as_asked_for),
        cmocka_unit_test(specs_are_checked),
        cmocka_unit_test(filters_leave_k_rows),
        cmocka_unit_test(any_k_is_answered),
        cmocka_unit_test(odd_rows_do_no_harm),
        cmocka_unit_test(indexes_over_other_rows_are_refused),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(lies_do_no_harm),
        cmocka_unit_test(builds_are_cancelled),
        cmocka_unit_test(failing_allocations_are_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
