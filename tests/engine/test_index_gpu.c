/*
 * The gpu backend on a simulated device (gpu/simulate/), whose kernels run on the host: what is found, what is filtered, and that
 * whatever fails the rows are found by a scan.
 */
#define INDEX_OPS crn_index_gpu
#define INDEX_KIND "gpu"
#include "tests/engine/index_fixture.h"

#include "base/log.h"
#include "engine/card.h"
#include "gpu/simulate/driver_simulated.h"

#define COUNT 900
#define DIM 24

struct log_lines {
    char text[4096];
};

static void log_line(void *ctx, cairn_log_level level, const char *message)
{
    struct log_lines *lines = ctx;
    const size_t used = strlen(lines->text);

    (void)level;
    snprintf(lines->text + used, sizeof lines->text - used, "%s\n", message);
}

struct setting {
    char *folder;
    float *vectors;
    struct log_lines lines;
    struct crn_log log;
    struct crn_index_rows rows;
};

static int setting_create(void **state)
{
    struct setting *setting = calloc(1, sizeof *setting);
    struct crn_rng rng = test_rng();

    crn_gpu_simulated_reset();
    crn_card_use(crn_gpu_driver_simulated());
    setting->folder = folder_create();
    setting->vectors = rows_create(&rng, COUNT, DIM);
    setting->log = (struct crn_log){.fn = log_line, .ctx = &setting->lines};
    setting->rows = (struct crn_index_rows){
        .vectors = setting->vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_DOT, .log = &setting->log};
    *state = setting;
    return 0;
}

static int setting_remove(void **state)
{
    struct setting *setting = *state;

    crn_gpu_simulated_reset();
    crn_card_use(NULL); /* closes the device, which checks that all of its memory was freed */
    folder_remove(setting->folder);
    free(setting->vectors);
    free(setting);
    return 0;
}

static struct opened open_built(struct setting *setting, const char *spec)
{
    struct opened opened;
    cairn_error err;

    assert_status(index_build(setting->folder, spec, &setting->rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(setting->folder, &setting->rows, &opened, &err), CAIRN_OK, &err);
    return opened;
}

/* Twelve queries' recall. */
static double recall_of(const struct setting *setting, const struct crn_index *index, const uint64_t *allow,
                        size_t allowed, size_t *out_short)
{
    struct crn_hit found[K], true_hits[K];
    size_t agreed = 0, possible = 0;

    *out_short = 0;
    for (size_t q = 0; q < 12; q++) {
        const struct crn_index_query query = {
            .vector = setting->vectors + (COUNT + q) * DIM, .k = K, .allow = allow, .allowed = allowed};
        struct crn_topk truth;
        const struct crn_topk top = index_search(index, &setting->rows, &query, found);
        crn_topk_init(&truth, true_hits, K);
        crn_flat_scan_f32(setting->rows.op, query.vector, setting->vectors, DIM, COUNT, 0, allow, &truth);
        *out_short += top.count < truth.count;
        possible += truth.count;
        for (size_t i = 0; i < top.count; i++) {
            for (size_t j = 0; j < truth.count; j++) agreed += found[i].label == true_hits[j].label;
        }
    }
    return possible == 0 ? 1 : (double)agreed / (double)possible;
}

static void nearest_rows_are_found(void **state)
{
    static const struct {
        const char *spec;
        double least;
    } kinds[] = {{"", 1}, {"f16", 1}, {"f32", 1}, {"int8", 0.99}, {"bit", 0.9}};
    struct setting *setting = *state;
    struct crn_rng rng = test_rng();
    size_t fewer;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (int l2 = 0; l2 < 2; l2++) {
            size_t allowed;
            uint64_t *allow = filter_create(&rng, COUNT, 3, &allowed);
            setting->rows.op = l2 ? CRN_OP_L2 : CRN_OP_DOT;
            struct opened opened = open_built(setting, kinds[i].spec);
            assert_true(recall_of(setting, opened.index, NULL, COUNT, &fewer) >= kinds[i].least);
            assert_int_equal(fewer, 0);
            assert_true(recall_of(setting, opened.index, allow, allowed, &fewer) >= kinds[i].least);
            assert_int_equal(fewer, 0);
            index_close(&opened);
            free(allow);
        }
    }
    assert_string_equal(setting->lines.text, "");
}

/* FAISS's inverted lists: what the card finds is what FAISS finds, at any number of lists read, with a filter and without. */
#define LIST_SEARCHES (4 * 2 * 6)
struct list_hits {
    struct crn_hit hits[LIST_SEARCHES][K];
    size_t counts[LIST_SEARCHES];
};

static void search_lists(struct setting *setting, const char *spec, const uint64_t *allow, size_t allowed,
                         struct list_hits *out)
{
    static const uint32_t probes[] = {0, 1, 3, 16};
    struct opened opened = open_built(setting, spec);
    size_t at = 0;

    memset(out, 0, sizeof *out);
    for (size_t p = 0; p < COUNT_OF(probes); p++) {
        for (int filtered = 0; filtered < 2; filtered++) {
            for (size_t q = 0; q < 6; q++) {
                const struct crn_index_query query = {.vector = setting->vectors + (COUNT + q) * DIM,
                                                      .k = K,
                                                      .nprobe = probes[p],
                                                      .allow = filtered ? allow : NULL,
                                                      .allowed = filtered ? allowed : COUNT};
                out->counts[at] = index_search(opened.index, &setting->rows, &query, out->hits[at]).count;
                at++;
            }
        }
    }
    index_close(&opened);
}

/* Hits that differ. Lists of few bytes a row have rows at equal distances, of which either may be compared anew. */
static size_t differences(const struct list_hits *card, const struct list_hits *faiss)
{
    size_t count = 0;

    for (size_t i = 0; i < LIST_SEARCHES; i++) {
        assert_int_equal(card->counts[i], faiss->counts[i]);
        for (size_t j = 0; j < card->counts[i]; j++) {
            count += card->hits[i][j].label != faiss->hits[i][j].label ||
                     card->hits[i][j].distance != faiss->hits[i][j].distance;
        }
    }
    return count;
}

static void lists_find_what_faiss_finds(void **state)
{
    static const struct {
        const char *spec;
        size_t differ_most;
    } kinds[] = {{"IVF16", 0}, {"IVF16,SQ8", 0}, {"IVF16,PQ6x4", LIST_SEARCHES * K / 50}};
    struct setting *setting = *state;
    struct crn_rng rng = test_rng();
    struct crn_card_state is;
    size_t allowed;
    uint64_t *allow = filter_create(&rng, COUNT, 2, &allowed);
    struct list_hits *card = malloc(sizeof *card), *faiss = malloc(sizeof *faiss);

    for (size_t i = 0; i < 2 * COUNT_OF(kinds); i++) {
        const char *spec = kinds[i / 2].spec;
        setting->rows.op = i % 2 == 1 ? CRN_OP_L2 : CRN_OP_DOT;
        crn_gpu_simulated_reset();
        crn_card_use(crn_gpu_driver_simulated());
        search_lists(setting, spec, allow, allowed, card);
        crn_card_get_state(&is);
        assert_true(is.searches >
                    LIST_SEARCHES / 2); /* where a few lists hold fewer than k, FAISS reads more */
        assert_int_equal(is.fallbacks, 0);
        crn_gpu_simulated()->devices = 0;
        crn_card_use(crn_gpu_driver_simulated());
        search_lists(setting, spec, allow, allowed, faiss);
        crn_card_get_state(&is);
        assert_int_equal(is.searches, 0);
        const size_t differ = differences(card, faiss);
        print_message("%s, %s: %zu of %d hits differ\n", spec, i % 2 == 1 ? "l2" : "cosine", differ,
                      LIST_SEARCHES * K);
        assert_true(differ <= kinds[i / 2].differ_most);
    }
    free(card);
    free(faiss);
    free(allow);
}

static void specs_are_checked(void **state)
{
    cairn_error err;

    (void)state;
    assert_status(crn_index_gpu.check("f64", DIM, CRN_OP_DOT, &err), CAIRN_INVALID_OPTION, &err);
    assert_non_null(strstr(err.message, "f64"));
    assert_status(crn_index_gpu.check("", DIM, CRN_OP_L1, &err), CAIRN_INVALID_OPTION, &err);
    assert_status(crn_index_gpu.check("IVF16,PQ6x", DIM, CRN_OP_DOT, &err), CAIRN_INVALID_OPTION, &err);
    LEAKS_BEGIN;
    assert_status(crn_index_gpu.check("IVF16,PQ5", DIM, CRN_OP_DOT, &err), CAIRN_INVALID_OPTION, &err);
    LEAKS_END;
    assert_status(crn_index_gpu.check("IVF16,SQ4", DIM, CRN_OP_DOT, &err), CAIRN_INVALID_OPTION, &err);
    assert_status(crn_index_gpu.check("IVF16,SQ8", DIM, CRN_OP_DOT, &err), CAIRN_OK, &err);
    assert_status(crn_index_gpu.check("bit", DIM, CRN_OP_L2, &err), CAIRN_OK, &err);
}

/* The index finds nothing then, so that its caller scans, and says why once. Also where k rows elsewhere are near: it is not that
 * none of these is nearer. */
static void expect_fallback(struct setting *setting, const struct crn_index *index, const char *why)
{
    struct crn_hit hits[K];
    bool declined = false, on_card = false;
    struct crn_index_query query = {
        .vector = setting->vectors, .k = K, .allowed = COUNT, .declined = &declined, .on_card = &on_card};

    assert_int_equal(index_search(index, &setting->rows, &query, hits).count, 0);
    assert_true(declined);
    declined = false;
    query.limited = true;
    query.limit = 1e30f;
    assert_int_equal(index_search(index, &setting->rows, &query, hits).count, 0);
    assert_true(declined && !on_card);
    const char *line = strstr(setting->lines.text, why);
    assert_non_null(line);
    assert_null(strstr(line + 1, why));
}

static void without_a_device_the_caller_scans(void **state)
{
    struct setting *setting = *state;
    struct crn_card_state is;

    crn_gpu_simulated()->devices = 0;
    struct opened opened = open_built(setting, "");
    expect_fallback(setting, opened.index, "the simulation has none");
    crn_card_get_state(&is);
    assert_int_equal(is.devices, 0);
    assert_int_equal(is.fallbacks, 1);
    assert_int_equal(is.indexes, 0);
    index_close(&opened);
}

static void without_memory_the_caller_scans(void **state)
{
    struct setting *setting = *state;
    struct crn_card_state is;
    size_t fewer;

    crn_gpu_simulated()->memory_bytes = 20000;
    struct opened opened = open_built(setting, "f32");
    expect_fallback(setting, opened.index, "do not fit");
    index_close(&opened);
    /* The device is as good as before. */
    crn_card_use(crn_gpu_driver_simulated());
    crn_gpu_simulated_reset();
    opened = open_built(setting, "f32");
    assert_true(recall_of(setting, opened.index, NULL, COUNT, &fewer) == 1);
    crn_card_get_state(&is);
    assert_int_equal(is.indexes, 1);
    assert_true(is.device_bytes >= COUNT * DIM * sizeof(float));
    assert_int_equal(is.fallbacks, 0);
    assert_int_equal(is.searches, 12);
    index_close(&opened);
}

/* The card is full: this search is left to the processor, the next one finds memory again. */
static void without_memory_for_a_search_the_next_one_finds_it(void **state)
{
    struct setting *setting = *state;
    struct crn_hit hits[K];
    bool declined = false, on_card = false;
    const struct crn_index_query query = {
        .vector = setting->vectors, .k = K, .allowed = COUNT, .declined = &declined, .on_card = &on_card};

    struct opened opened = open_built(setting, "f16");
    const size_t memory = crn_gpu_simulated()->memory_bytes;
    crn_gpu_simulated()->memory_bytes = 100;
    assert_int_equal(index_search(opened.index, &setting->rows, &query, hits).count, 0);
    assert_true(declined && !on_card);
    assert_non_null(strstr(setting->lines.text, "are left"));
    declined = false;
    crn_gpu_simulated()->memory_bytes = memory;
    assert_int_equal(index_search(opened.index, &setting->rows, &query, hits).count, K);
    assert_true(on_card && !declined);
    index_close(&opened);
}

/* Where the query wants the processor the card is not asked. */
static void the_processor_can_be_asked_for(void **state)
{
    struct setting *setting = *state;
    static const char *const specs[] = {"f16", "IVF16"};

    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        struct crn_hit hits[K];
        bool declined = false, on_card = false;
        struct crn_index_query query = {.vector = setting->vectors,
                                        .k = K,
                                        .nprobe = 16,
                                        .allowed = COUNT,
                                        .processor_only = true,
                                        .declined = &declined,
                                        .on_card = &on_card};
        struct opened opened = open_built(setting, specs[i]);
        const unsigned long calls = crn_gpu_simulated()->calls;
        const size_t count = index_search(opened.index, &setting->rows, &query, hits).count;
        assert_int_equal(count, i == 0 ? 0 : K); /* FAISS answers for its lists */
        assert_true(declined == (i == 0) && !on_card);
        assert_int_equal(crn_gpu_simulated()->calls, calls);
        query.processor_only = false;
        assert_int_equal(index_search(opened.index, &setting->rows, &query, hits).count, K);
        assert_true(on_card);
        index_close(&opened);
    }
    assert_string_equal(setting->lines.text, "");
}

/* Each call to the device fails in turn, while it opens or searches, or each allocation: never an error, never a wrong row. A lack of
 * memory leaves the device in use. */
static unsigned fail_each(struct setting *setting, bool no_memory)
{
    const struct crn_index_query query = {.vector = setting->vectors + COUNT * DIM, .k = K, .allowed = COUNT};
    unsigned failures = 0;

    for (unsigned long nth = 1; nth < 200; nth++) {
        struct crn_hit hits[K];
        crn_card_use(crn_gpu_driver_simulated());
        setting->lines.text[0] = '\0';
        crn_gpu_simulated()->fail_at = nth;
        crn_gpu_simulated()->fail_no_memory = no_memory;
        struct opened opened = open_built(setting, "f16");
        const size_t count = index_search(opened.index, &setting->rows, &query, hits).count;
        assert_true(count == 0 || count == K);
        if (count == 0) {
            failures++;
            assert_non_null(strstr(setting->lines.text, "as it was told to"));
            assert_int_equal(crn_card_ready(), no_memory);
        }
        index_close(&opened);
        const bool all = crn_gpu_simulated()->fail_at != 0;
        crn_gpu_simulated()->fail_at = 0;
        if (all) break;
    }
    return failures;
}

static void whatever_fails_rows_are_found_or_scanned(void **state)
{
    const unsigned failures = fail_each(*state, false), lacks = fail_each(*state, true);

    assert_true(failures > 15 && failures < 150);
    assert_true(lacks > 2 && lacks < 15);
}

static void a_device_that_failed_is_not_used_again(void **state)
{
    struct setting *setting = *state;
    struct crn_card_state is;
    struct crn_hit hits[K];
    const struct crn_index_query query = {.vector = setting->vectors, .k = K, .allowed = COUNT};

    struct opened opened = open_built(setting, "f16");
    assert_int_equal(index_search(opened.index, &setting->rows, &query, hits).count, K);
    crn_gpu_simulated()->fail_at = 3;
    expect_fallback(setting, opened.index, "as it was told to");
    crn_card_get_state(&is);
    assert_non_null(strstr(is.why_none, "as it was told to"));
    index_close(&opened);
    const unsigned long calls = crn_gpu_simulated()->calls;
    opened = open_built(setting, "f16");
    assert_int_equal(index_search(opened.index, &setting->rows, &query, hits).count, 0);
    assert_int_equal(crn_gpu_simulated()->calls, calls);
    index_close(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nearest_rows_are_found, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(lists_find_what_faiss_finds, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(specs_are_checked, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(without_a_device_the_caller_scans, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(without_memory_the_caller_scans, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(without_memory_for_a_search_the_next_one_finds_it, setting_create,
                                        setting_remove),
        cmocka_unit_test_setup_teardown(the_processor_can_be_asked_for, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(whatever_fails_rows_are_found_or_scanned, setting_create,
                                        setting_remove),
        cmocka_unit_test_setup_teardown(a_device_that_failed_is_not_used_again, setting_create,
                                        setting_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
