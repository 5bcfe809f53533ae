/*
 * The ivf backend over vectors that lie in a derived file: they are verified before they are used, each
 * block when it is first read.
 */
#define INDEX_OPS crn_index_ivf
#define INDEX_KIND "ivf"
#include "tests/engine/index_fixture.h"

#define COUNT 4000
#define DIM 32
#define ROUNDS 40

static const struct crn_derived_header rows_header = {
    .kind = "segment", .uuid = {7}, .space = 3, .sequence = 9};

static void write_rows(const char *folder, const float *vectors)
{
    struct crn_derived_writer *writer;
    cairn_error err;

    assert_status(crn_derived_create(folder, "rows", &rows_header, &writer, &err), CAIRN_OK, &err);
    assert_status(crn_derived_section(writer, "VECS", &err), CAIRN_OK, &err);
    assert_status(crn_derived_write(writer, vectors, (size_t)COUNT * DIM * sizeof(float), &err), CAIRN_OK,
                  &err);
    assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
}

static struct crn_index_rows open_rows(const char *folder)
{
    struct crn_index_rows rows = {.count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    cairn_error err;
    size_t size;

    assert_status(crn_derived_open(folder, "rows", &rows_header, &rows.file, &err), CAIRN_OK, &err);
    rows.vectors = crn_derived_get(rows.file, "VECS", &size);
    assert_int_equal(size, (size_t)COUNT * DIM * sizeof(float));
    return rows;
}

/* A few vectors are read, not all blocks of them; what a damaged block holds is not answered with. */
static void vectors_are_verified_when_they_are_read(void **state)
{
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    const struct crn_index_rows in_memory = {.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    const size_t bytes = (size_t)COUNT * DIM * sizeof(float);
    char *path;
    cairn_error err;
    int told = 0;

    (void)state;
    assert_status(index_build(folder, "", &in_memory, 1, NULL, NULL, &err), CAIRN_OK, &err);
    write_rows(folder, vectors);
    path = file_path(folder, "rows");
    for (int i = 0; i < ROUNDS; i++) {
        const size_t query_row = crn_rng_below(&rng, COUNT), at = crn_rng_below(&rng, bytes);
        const size_t byte = i % 2 == 0 ? query_row * DIM * sizeof(float) : at;
        const unsigned char was = ((const unsigned char *)vectors)[byte], changed = (unsigned char)~was;
        const int fd = open(path, O_WRONLY);
        struct crn_hit hits[K];
        struct opened opened;
        struct crn_topk top;

        assert_int_equal(pwrite(fd, &changed, 1, (off_t)(4096 + byte)), 1);
        struct crn_index_rows rows = open_rows(folder);
        assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
        const struct crn_index_query query = {.vector = vectors + query_row * DIM, .k = K, .allowed = COUNT};
        crn_topk_init(&top, hits, K);
        const cairn_status status = crn_index_ivf.search(opened.index, &query, &top, &err);
        if (i % 2 == 0) assert_status(status, CAIRN_CORRUPT, &err); /* the row itself is always compared */
        if (status == CAIRN_OK) {
            index_search(opened.index, &in_memory, &query, hits);
            assert_int_equal(hits[0].label, query_row);
            assert_false(crn_derived_verified(rows.file, rows.vectors, bytes));
        } else {
            assert_status(status, CAIRN_CORRUPT, &err);
            told++;
        }
        index_close(&opened);
        crn_derived_close(rows.file);
        assert_int_equal(pwrite(fd, &was, 1, (off_t)(4096 + byte)), 1);
        close(fd);
    }
    print_message("%d of %d searches met the damage\n", told, ROUNDS);
    assert_true(told >= ROUNDS / 2);
    free(path);
    free(vectors);
    folder_remove(folder);
}

/* What is outside of the sections is not asked for; what was given back to the system comes again as it was. */
static void hints_are_bounded(void **state)
{
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    cairn_error err;

    (void)state;
    write_rows(folder, vectors);
    const struct crn_index_rows rows = open_rows(folder);
    crn_derived_will_need(rows.file, rows.vectors, 0);
    crn_derived_will_need(rows.file, rows.vectors, SIZE_MAX);
    crn_derived_will_need(rows.file, vectors, sizeof(float));
    crn_derived_will_need(rows.file, rows.vectors + (size_t)(COUNT - 1) * DIM, DIM * sizeof(float));
    assert_status(crn_derived_verify_all(rows.file, &err), CAIRN_OK, &err);
    crn_derived_will_need(rows.file, rows.vectors, (size_t)COUNT * DIM * sizeof(float));
    crn_derived_was_slow(rows.file, 2);
    for (int i = 0; i < 3; i++)
        crn_derived_will_need(rows.file, rows.vectors + (size_t)(COUNT - 1) * DIM, DIM * sizeof(float));
    crn_derived_not_needed(rows.file);
    assert_true(crn_derived_verified(rows.file, rows.vectors, (size_t)COUNT * DIM * sizeof(float)));
    assert_memory_equal(rows.vectors, vectors, (size_t)COUNT * DIM * sizeof(float));
    crn_derived_close(rows.file);
    free(vectors);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_verified_when_they_are_read),
        cmocka_unit_test(hints_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
