/*
 * Graphs whose candidates come from a GPU, on a simulated device (gpu/simulate/): they find what a graph built without finds, and are built
 * whatever fails.
 */
#define INDEX_OPS crn_index_graph
#define INDEX_KIND "graph"
#include "tests/engine/index_fixture.h"

#include "base/log.h"
#include "engine/card.h"
#include "engine/graph_seed.h"
#include "gpu/simulate/driver_simulated.h"

#define COUNT 700
#define FEW 100
#define DIM 24

struct setting {
    char *folder;
    float *vectors;
    char log[2048];
    struct crn_log sink;
    struct crn_index_rows rows;
};

static void log_line(void *ctx, cairn_log_level level, const char *message)
{
    struct setting *setting = ctx;
    const size_t used = strlen(setting->log);

    (void)level;
    snprintf(setting->log + used, sizeof setting->log - used, "%s\n", message);
}

static int setting_create(void **state)
{
    struct setting *setting = calloc(1, sizeof *setting);
    struct crn_rng rng = test_rng();

    crn_gpu_simulated_reset();
    crn_card_use(crn_gpu_driver_simulated());
    setting->folder = folder_create();
    setting->vectors = rows_create(&rng, COUNT, DIM);
    setting->sink = (struct crn_log){.fn = log_line, .ctx = setting};
    setting->rows = (struct crn_index_rows){
        .vectors = setting->vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_DOT, .log = &setting->sink};
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

static void use_device(void)
{
    struct crn_gpu *gpu;
    cairn_error err;

    assert_status(crn_card_take(&gpu, &err), CAIRN_OK, &err); /* as a gpu index does */
}

/* Builds, and measures with a small effort, at which a poorer graph shows. */
static double recall_of(struct setting *setting)
{
    struct opened opened;
    struct crn_hit found[K], true_hits[K];
    cairn_error err;
    size_t agreed = 0;

    assert_status(index_build(setting->folder, "", &setting->rows, 2, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(setting->folder, &setting->rows, &opened, &err), CAIRN_OK, &err);
    for (size_t q = 0; q < QUERIES; q++) {
        const struct crn_index_query query = {
            .vector = setting->vectors + (COUNT + q) * DIM, .k = K, .ef = 20, .allowed = setting->rows.count};
        struct crn_topk truth;
        const struct crn_topk top = index_search(opened.index, &setting->rows, &query, found);
        crn_topk_init(&truth, true_hits, K);
        crn_flat_scan_f32(setting->rows.op, query.vector, setting->vectors, DIM, setting->rows.count, 0, NULL,
                          &truth);
        for (size_t i = 0; i < top.count; i++)
            for (size_t j = 0; j < truth.count; j++) agreed += found[i].label == true_hits[j].label;
    }
    index_close(&opened);
    return (double)agreed / (QUERIES * K);
}

static void graphs_from_a_gpu_find_as_much(void **state)
{
    struct setting *setting = *state;

    for (int l2 = 0; l2 < 2; l2++) {
        setting->rows.op = l2 ? CRN_OP_L2 : CRN_OP_DOT;
        crn_card_use(crn_gpu_driver_simulated()); /* closed: nobody uses it */
        const unsigned long before = crn_gpu_simulated()->calls;
        const double without = recall_of(setting);
        assert_int_equal(crn_gpu_simulated()->calls, before);
        use_device();
        const unsigned long opened = crn_gpu_simulated()->calls;
        const double with = recall_of(setting);
        assert_true(crn_gpu_simulated()->calls > opened + 10);
        print_message("%s: recall %.4f without a GPU, %.4f with\n", l2 ? "l2" : "cosine", without, with);
        assert_true(with >= without - 0.03);
    }
    assert_string_equal(setting->log, "");
}

/* By product, lengths differing, the nearest are not those of the graph's space: the card is not asked. */
static void products_of_rows_of_any_length_are_left_to_the_processor(void **state)
{
    struct setting *setting = *state;

    setting->rows.count = FEW;
    for (size_t i = 0; i < (size_t)FEW * DIM; i++) setting->vectors[i] *= (float)(1 + i / DIM % 7);
    use_device();
    const unsigned long before = crn_gpu_simulated()->calls;
    (void)recall_of(setting);
    assert_int_equal(crn_gpu_simulated()->calls, before);
}

/* Every call to the device fails in turn: the graph is built, and the log says once what was done without. */
static void whatever_fails_the_graph_is_built(void **state)
{
    struct setting *setting = *state;
    unsigned failures = 0;

    setting->rows.count = FEW;
    for (unsigned long nth = 1;; nth += 4) {
        crn_card_use(crn_gpu_driver_simulated());
        setting->log[0] = '\0';
        use_device();
        crn_gpu_simulated()->fail_at = nth;
        assert_true(recall_of(setting) >= 0.85);
        const bool all = crn_gpu_simulated()->fail_at != 0;
        crn_gpu_simulated()->fail_at = 0;
        if (all) break;
        const char *line = strstr(setting->log, "is built without the GPU");
        assert_non_null(line);
        assert_null(strstr(line + 1, "is built without the GPU"));
        failures++;
    }
    assert_true(failures > 3);
    crn_card_use(crn_gpu_driver_simulated());
    setting->log[0] = '\0';
    use_device();
    crn_gpu_simulated()->memory_bytes = 5000;
    assert_true(recall_of(setting) >= 0.85);
    assert_non_null(strstr(setting->log, "do not fit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(graphs_from_a_gpu_find_as_much, setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(products_of_rows_of_any_length_are_left_to_the_processor,
                                        setting_create, setting_remove),
        cmocka_unit_test_setup_teardown(whatever_fails_the_graph_is_built, setting_create, setting_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
