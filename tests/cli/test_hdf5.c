/* HDF5 files in the layout of ann-benchmarks, made here with libhdf5; without it, the answer that it is
 * missing. */
#include "cli/bench_data.h"
#include "cli/read_hdf5.h"
#include "tests/cli/support.h"

static char folder[200];
static char path[300];

#ifdef CAIRN_HDF5
#include <hdf5.h>

static void put(hid_t file, const char *name, hid_t type, int rank, const hsize_t *dims, const void *data)
{
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

    assert_true(set >= 0);
    if (data != NULL) assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void put_text(hid_t file, const char *name, const char *text, bool variable)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);

    assert_true(H5Tset_size(type, variable ? H5T_VARIABLE : strlen(text)) >= 0);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, variable ? (const void *)&text : text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void make_file(bool variable)
{
    static const float train[] = {1, 2, 3, 4, 5, 6};
    static const double test[] = {1.5, -2};
    static const int64_t neighbors[] = {0, 2, -1};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);

    put(file, "train", H5T_NATIVE_FLOAT, 2, (hsize_t[]){3, 2}, train);
    put(file, "test", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){1, 2}, test);
    put(file, "neighbors", H5T_NATIVE_INT64, 2, (hsize_t[]){1, 3}, neighbors);
    put(file, "flat", H5T_NATIVE_FLOAT, 1, (hsize_t[]){6}, train);
    put(file, "empty", H5T_NATIVE_FLOAT, 2, (hsize_t[]){0, 2}, NULL);
    put(file, "wide", H5T_NATIVE_FLOAT, 2, (hsize_t[]){1, CAIRN_DIM_MAX + 1}, NULL);
    put_text(file, "distance", "euclidean", variable);
    H5Fclose(file);
}

static void matrices_are_read(void **state)
{
    struct crn_cli_matrix m;
    char distance[64];

    (void)state;
    for (int variable = 0; variable < 2; variable++) {
        make_file(variable == 1);
        assert_int_equal(crn_cli_hdf5_read(path, "train", false, 100, NULL, &m, NULL), CAIRN_OK);
        assert_int_equal(m.rows, 3);
        assert_int_equal(m.columns, 2);
        for (int i = 0; i < 6; i++) assert_true(m.floats[i] == (float)(i + 1));
        crn_cli_matrix_release(&m);
        assert_int_equal(crn_cli_hdf5_read(path, "train", false, 2, NULL, &m, NULL), CAIRN_OK);
        assert_int_equal(m.rows, 2);
        crn_cli_matrix_release(&m);
        assert_int_equal(crn_cli_hdf5_read(path, "test", false, 100, NULL, &m, NULL), CAIRN_OK);
        assert_true(m.floats[0] == 1.5f && m.floats[1] == -2);
        crn_cli_matrix_release(&m);
        assert_int_equal(crn_cli_hdf5_read(path, "neighbors", true, 100, NULL, &m, NULL), CAIRN_OK);
        assert_int_equal(m.ids[1], 2);
        assert_int_equal((int32_t)m.ids[2], -1);
        crn_cli_matrix_release(&m);
        assert_int_equal(crn_cli_hdf5_distance(path, distance, NULL), CAIRN_OK);
        assert_string_equal(distance, "euclidean");
    }
}

static void assert_refused(const char *dataset, bool ids, cairn_status status, const char *message)
{
    struct crn_cli_matrix m;
    cairn_error err;

    assert_int_equal(crn_cli_hdf5_read(path, dataset, ids, 100, NULL, &m, &err), status);
    assert_non_null(strstr(err.message, message));
    assert_non_null(strstr(err.message, path));
    assert_null(m.floats);
    assert_null(m.ids);
}

static void other_layouts_are_refused(void **state)
{
    char distance[64];

    (void)state;
    make_file(false);
    assert_refused("none", false, CAIRN_NOT_FOUND, "no dataset none");
    assert_refused("flat", false, CAIRN_UNSUPPORTED, "not two-dimensional");
    assert_refused("empty", false, CAIRN_INVALID_ARGUMENT, "no rows");
    assert_refused("wide", false, CAIRN_LIMIT, "65537");
    assert_refused("train", true, CAIRN_UNSUPPORTED, "no integers");

    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t text = H5Tcopy(H5T_C_S1);
    put(file, "train", text, 2, (hsize_t[]){1, 2}, "ab");
    H5Tclose(text);
    H5Fclose(file);
    assert_refused("train", false, CAIRN_UNSUPPORTED, "no numbers");
    assert_int_equal(crn_cli_hdf5_distance(path, distance, NULL), CAIRN_OK);
    assert_string_equal(distance, "");
}

/* A file as ann-benchmarks has them: three rows, one query, its neighbors. */
static void make_set(const char *distance, int32_t first)
{
    static const float train[] = {1, 0, 0, 1, 1, 1};
    static const float test[] = {1, 0.1f};
    const int32_t neighbors[] = {first, 2, 1};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);

    put(file, "train", H5T_NATIVE_FLOAT, 2, (hsize_t[]){3, 2}, train);
    put(file, "test", H5T_NATIVE_FLOAT, 2, (hsize_t[]){1, 2}, test);
    put(file, "neighbors", H5T_NATIVE_INT32, 2, (hsize_t[]){1, 3}, neighbors);
    put_text(file, "distance", distance, true);
    H5Fclose(file);
}

static void one_file_holds_all_that_a_benchmark_needs(void **state)
{
    struct crn_cli_bench_source source = {.data = path};
    struct crn_cli_bench_data data;
    struct crn_cli_progress progress;
    cairn_error err;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    make_set("angular", 0);
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 3, &progress, &err), CAIRN_OK);
    assert_int_equal(data.metric, CAIRN_METRIC_COSINE);
    assert_int_equal(data.rows.rows, 3);
    assert_int_equal(data.queries.rows, 1);
    assert_int_equal(data.truth.rows, 1);
    crn_cli_bench_data_release(&data);

    source.metric = CAIRN_METRIC_L2; /* the file's neighbors are by another */
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 3, &progress, &err), CAIRN_OK);
    assert_int_equal(data.metric, CAIRN_METRIC_L2);
    assert_int_equal(data.truth.rows, 0);
    crn_cli_bench_data_release(&data);

    source = (struct crn_cli_bench_source){.data = path, .max_rows = 2}; /* and of other rows */
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 2, &progress, &err), CAIRN_OK);
    assert_int_equal(data.rows.rows, 2);
    assert_int_equal(data.truth.rows, 0);
    crn_cli_bench_data_release(&data);

    source.max_rows = 0;
    make_set("angular", 3);
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 3, &progress, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "neighbor 0 of query 0 is row 3; the rows are 0 to 2"));
    crn_cli_bench_data_release(&data);

    make_set("hamming", 0);
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 3, &progress, &err), CAIRN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'hamming'"));
    crn_cli_bench_data_release(&data);
    source.metric = CAIRN_METRIC_DOT;
    assert_int_equal(crn_cli_bench_data_load(&data, &source, 3, &progress, &err), CAIRN_OK);
    assert_int_equal(data.truth.rows, 0);
    crn_cli_bench_data_release(&data);
}

/* Cut files, and others. Not bytes changed anywhere: libhdf5 1.10 itself uses freed memory then. */
static void damaged_files_are_refused(void **state)
{
    static unsigned char whole[65536];
    struct crn_cli_matrix m;
    char distance[64];
    cairn_error err;

    (void)state;
    make_file(false);
    FILE *file = fopen(path, "rb");
    size_t len = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_in_range(len, 500, sizeof whole - 1);
    for (size_t cut = 0; cut < len; cut += 97) {
        test_write_file(path, whole, cut);
        assert_int_not_equal(crn_cli_hdf5_read(path, "train", false, 100, NULL, &m, &err), CAIRN_OK);
    }
    for (size_t at = 0; at < 8; at++) { /* the signature */
        whole[at] ^= 0xff;
        test_write_file(path, whole, len);
        assert_int_equal(crn_cli_hdf5_read(path, "train", false, 100, NULL, &m, &err), CAIRN_IO);
        assert_int_equal(crn_cli_hdf5_distance(path, distance, &err), CAIRN_IO);
        whole[at] ^= 0xff;
    }
    test_write_file(path, "no HDF5 at all", 14);
    assert_refused("train", false, CAIRN_IO, "no HDF5 file");
    unlink(path);
    assert_refused("train", false, CAIRN_NO_FILE, "cannot open");
}

#else

static void its_absence_is_told(void **state)
{
    struct crn_cli_matrix m;
    char distance[64];
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_hdf5_read(path, "train", false, 1, NULL, &m, &err), CAIRN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libhdf5-dev"));
    assert_int_equal(crn_cli_hdf5_distance(path, distance, &err), CAIRN_UNSUPPORTED);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef CAIRN_HDF5
        cmocka_unit_test(matrices_are_read),
        cmocka_unit_test(other_layouts_are_refused),
        cmocka_unit_test(one_file_holds_all_that_a_benchmark_needs),
        cmocka_unit_test(damaged_files_are_refused),
#else
        cmocka_unit_test(its_absence_is_told),
#endif
    };
    test_folder(folder);
    snprintf(path, sizeof path, "%s/a.hdf5", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
