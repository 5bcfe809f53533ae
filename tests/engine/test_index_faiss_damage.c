/*
 * Index files that are not what was written: other rows, damaged blocks, and bytes that lie although their checksums are
 * right. Opening refuses what would lead a search astray; what it lets through is searched without harm.
 */
#include "tests/engine/index_fixture.h"

#define COUNT 3000
#define DIM 16
#define ROUNDS 100

struct setting {
    char *folder;
    float *vectors;
    struct crn_index_rows rows;
    struct crn_rng rng;
};

static void setting_init(struct setting *setting)
{
    setting->rng = test_rng();
    setting->folder = folder_create();
    setting->vectors = rows_create(&setting->rng, COUNT, DIM);
    setting->rows =
        (struct crn_index_rows){.vectors = setting->vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
}

static void setting_release(struct setting *setting)
{
    free(setting->vectors);
    folder_remove(setting->folder);
}

static void indexes_over_other_rows_are_refused(void **state)
{
    static const char *const specs[] = {"HNSW8", "IVF64,Flat"};
    struct setting setting;
    struct opened opened;
    cairn_error err;

    (void)state;
    setting_init(&setting);
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        const struct crn_index_rows fewer = {
            .vectors = setting.vectors, .count = COUNT - 1, .dim = DIM, .op = CRN_OP_L2};
        const struct crn_index_rows shorter = {
            .vectors = setting.vectors, .count = COUNT, .dim = DIM - 1, .op = CRN_OP_L2};
        const struct crn_index_rows dot = {
            .vectors = setting.vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_DOT};
        assert_status(index_build(setting.folder, specs[i], &setting.rows, 1, NULL, NULL, &err), CAIRN_OK,
                      &err);
        assert_status(index_open(setting.folder, &fewer, &opened, &err), CAIRN_CORRUPT, &err);
        assert_status(index_open(setting.folder, &shorter, &opened, &err), CAIRN_CORRUPT, &err);
        assert_status(index_open(setting.folder, &dot, &opened, &err), CAIRN_CORRUPT, &err);
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_OK, &err);
        index_close(&opened);
    }
    setting_release(&setting);
}

/* A byte changed anywhere in a section: its block's checksum tells. */
static void damaged_blocks_are_refused(void **state)
{
    static const char *const specs[] = {"HNSW8", "SQ8"};
    struct setting setting;
    struct opened opened;
    cairn_error err;

    (void)state;
    setting_init(&setting);
    for (size_t i = 0; i < 40; i++) {
        const bool graph = i % 2 == 0;
        assert_status(index_build(setting.folder, specs[i % 2], &setting.rows, 1, NULL, NULL, &err), CAIRN_OK,
                      &err);
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_OK, &err);
        size_t size;
        const unsigned char *data = crn_derived_get(opened.file, graph ? "LINK" : "FAIS", &size);
        const size_t at = crn_rng_below(&setting.rng, size);
        const unsigned char *head = crn_derived_get(opened.file, graph ? "GRPH" : "FAIS", &size);
        const off_t offset = 4096 + (data - head) + (off_t)at; /* the first section begins there */
        const unsigned char changed = (unsigned char)~data[at];
        index_close(&opened);
        char *path = file_path(setting.folder, "index");
        const int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, &changed, 1, offset), 1);
        close(fd);
        free(path);
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_CORRUPT, &err);
    }
    setting_release(&setting);
}

/* ---- graphs that lie ---- */

static const char tags[][4] = {"GRPH", "LINK", "TALL", "TBEG", "UPPR"};

struct graph_bytes {
    size_t sizes[COUNT_OF(tags)]; /* in words */
    uint32_t *words[COUNT_OF(tags)];
};

static void graph_read(const char *folder, struct graph_bytes *out)
{
    struct crn_derived *file;
    cairn_error err;

    assert_status(crn_derived_open(folder, "index", &index_header, &file, &err), CAIRN_OK, &err);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        size_t size;
        const void *data = crn_derived_get(file, tags[i], &size);
        assert_true(size > 0);
        out->sizes[i] = size / sizeof(uint32_t);
        out->words[i] = malloc(size);
        memcpy(out->words[i], data, size);
    }
    crn_derived_close(file);
}

static void graph_write(const char *folder, const struct graph_bytes *graph)
{
    struct crn_derived_writer *writer;
    cairn_error err;

    assert_status(crn_derived_create(folder, "index", &index_header, &writer, &err), CAIRN_OK, &err);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        assert_status(crn_derived_section(writer, tags[i], &err), CAIRN_OK, &err);
        assert_status(crn_derived_write(writer, graph->words[i], graph->sizes[i] * sizeof(uint32_t), &err),
                      CAIRN_OK, &err);
    }
    assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
}

static void graph_release(struct graph_bytes *graph)
{
    for (size_t i = 0; i < COUNT_OF(tags); i++) free(graph->words[i]);
}

enum { GRPH, LINK, TALL, TBEG, UPPR };

/* One word is changed, and must be refused. */
static void expect_refusal(const struct setting *setting, struct graph_bytes *graph, int section, size_t word,
                           uint32_t value)
{
    const uint32_t before = graph->words[section][word];
    struct opened opened;
    cairn_error err;

    graph->words[section][word] = value;
    graph_write(setting->folder, graph);
    graph->words[section][word] = before;
    assert_status(index_open(setting->folder, &setting->rows, &opened, &err), CAIRN_CORRUPT, &err);
}

static void lying_graphs_are_refused(void **state)
{
    struct setting setting;
    struct graph_bytes graph;
    cairn_error err;
    uint32_t low = 0; /* a row on level 0 only */

    (void)state;
    setting_init(&setting);
    assert_status(index_build(setting.folder, "HNSW8", &setting.rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    graph_read(setting.folder, &graph);
    while (graph.words[TALL][low] == low) low++;
    for (size_t word = 0; word < graph.sizes[GRPH]; word++) {
        expect_refusal(&setting, &graph, GRPH, word, UINT32_MAX);
        if (graph.words[GRPH][word] != 0) expect_refusal(&setting, &graph, GRPH, word, 0);
    }
    expect_refusal(&setting, &graph, GRPH, 4, low); /* the entry */
    expect_refusal(&setting, &graph, LINK, 5, COUNT);
    expect_refusal(&setting, &graph, LINK, graph.sizes[LINK] - 1, UINT32_MAX - 1);
    expect_refusal(&setting, &graph, TALL, 0, graph.words[TALL][1]);
    expect_refusal(&setting, &graph, TALL, graph.sizes[TALL] - 1, COUNT);
    expect_refusal(&setting, &graph, TBEG, 0, 1);
    expect_refusal(&setting, &graph, TBEG, 1, 0);
    expect_refusal(&setting, &graph, TBEG, graph.sizes[TBEG] - 1, UINT32_MAX);
    expect_refusal(&setting, &graph, UPPR, 0, low); /* stands on level 0, is linked on level 1 */
    expect_refusal(&setting, &graph, UPPR, 0, COUNT);
    graph.sizes[LINK]--;
    expect_refusal(&setting, &graph, LINK, 0, 0);
    graph_release(&graph);
    setting_release(&setting);
}

/* Any words changed to anything: refused, or searched without harm (which the sanitizers watch). */
static void scrambled_graphs_do_no_harm(void **state)
{
    struct setting setting;
    struct graph_bytes graph;
    struct crn_hit hits[K];
    cairn_error err;
    int opened_count = 0;

    (void)state;
    setting_init(&setting);
    assert_status(index_build(setting.folder, "HNSW8", &setting.rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    for (int i = 0; i < ROUNDS; i++) {
        struct opened opened;
        graph_read(setting.folder, &graph);
        for (uint64_t left = 1 + crn_rng_below(&setting.rng, 3); left > 0; left--) {
            const size_t section = crn_rng_below(&setting.rng, COUNT_OF(tags));
            const size_t word = crn_rng_below(&setting.rng, graph.sizes[section]);
            graph.words[section][word] = (uint32_t)crn_rng_below(&setting.rng, COUNT + COUNT / 50);
        }
        const struct graph_bytes scrambled = graph;
        struct graph_bytes before;
        graph_read(setting.folder, &before);
        graph_write(setting.folder, &scrambled);
        const cairn_status status = index_open(setting.folder, &setting.rows, &opened, &err);
        assert_true(status == CAIRN_OK || status == CAIRN_CORRUPT);
        if (status == CAIRN_OK) {
            const struct crn_index_query query = {.vector = setting.vectors, .k = K, .allowed = COUNT};
            index_search(opened.index, &setting.rows, &query, hits);
            index_close(&opened);
            opened_count++;
        }
        graph_write(setting.folder, &before);
        graph_release(&before);
        graph_release(&graph);
    }
    print_message("%d of %d could be opened\n", opened_count, ROUNDS);
    assert_true(opened_count > 0 && opened_count < ROUNDS);
    setting_release(&setting);
}

static void files_without_an_index_are_refused(void **state)
{
    static const char *const contents[] = {"", "IxFI nonsense", "IwFl"};
    struct setting setting;
    struct opened opened;
    cairn_error err;

    (void)state;
    setting_init(&setting);
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        struct crn_derived_writer *writer;
        assert_status(crn_derived_create(setting.folder, "index", &index_header, &writer, &err), CAIRN_OK,
                      &err);
        assert_status(crn_derived_section(writer, "FAIS", &err), CAIRN_OK, &err);
        assert_status(crn_derived_write(writer, contents[i], strlen(contents[i]), &err), CAIRN_OK, &err);
        assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
        LEAKS_BEGIN;
        assert_status(index_open(setting.folder, &setting.rows, &opened, &err), CAIRN_CORRUPT, &err);
        LEAKS_END;
    }
    setting_release(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_over_other_rows_are_refused),
        cmocka_unit_test(damaged_blocks_are_refused),
        cmocka_unit_test(lying_graphs_are_refused),
        cmocka_unit_test(scrambled_graphs_do_no_harm),
        cmocka_unit_test(files_without_an_index_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
