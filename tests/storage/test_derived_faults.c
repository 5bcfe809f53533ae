/*
 * Derived files while the system fails: whichever call fails, nothing stands under the final name, nothing is
 * left aside, and neither a descriptor nor memory is lost.
 */
#include "tests/storage/derived_fixture.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/mman.h>

#define NAME "segment-7-1"

enum call { CALL_WRITE, CALL_FSYNC, CALL_RENAME, CALL_OPEN, CALL_MAP, CALL_COUNT };

static struct crn_rng rng;
static struct {
    enum call call;
    int nth; /* counts down; the call that makes it 0 fails */
    int error;
    bool stutter; /* writes come short or are interrupted */
} plan;

static char calls[1000]; /* the first letters of the calls, in order */

static bool must_fail(enum call call)
{
    size_t len = strlen(calls);

    if (len < sizeof calls - 1) memcpy(calls + len, &"WFROM"[call], 1);
    if (call != plan.call || plan.nth == 0 || --plan.nth > 0) return false;
    errno = plan.error;
    return true;
}

static long faulty_write(int fd, const void *data, size_t size)
{
    if (must_fail(CALL_WRITE)) return -1;
    if (plan.stutter && crn_rng_below(&rng, 4) == 0) {
        errno = EINTR;
        return -1;
    }
    return write(fd, data, plan.stutter ? 1 + (size_t)crn_rng_below(&rng, size) : size);
}

static int faulty_fsync(int fd)
{
    return must_fail(CALL_FSYNC) ? -1 : fsync(fd);
}

static int faulty_rename(const char *from, const char *to)
{
    return must_fail(CALL_RENAME) ? -1 : rename(from, to);
}

static int faulty_open(const char *path, int flags, int mode)
{
    return must_fail(CALL_OPEN) ? -1 : open(path, flags, mode);
}

static void *faulty_map(size_t size, int fd)
{
    return must_fail(CALL_MAP) ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
}

static const struct crn_derived_io faulty_io = {faulty_write, faulty_fsync, faulty_rename, faulty_open,
                                                faulty_map};

static cairn_status write_and_read(const struct content *content, const char *folder, cairn_error *err)
{
    struct crn_derived *file;
    cairn_status status = content_write(content, folder, NAME, &rng, err);

    if (status != CAIRN_OK) {
        assert_int_equal(folder_each(folder, NULL), 0);
        return status;
    }
    status = crn_derived_open(folder, NAME, &some_header, &file, err);
    if (status == CAIRN_OK) {
        assert_int_equal(crn_derived_verify_all(file, err), CAIRN_OK);
        crn_derived_close(file);
    }
    folder_each(folder, unlink_path);
    return status;
}

static void each_failing_call_leaves_nothing(void **state)
{
    static const struct {
        int error;
        cairn_status status;
    } kinds[] = {{ENOSPC, CAIRN_NO_SPACE},
                 {EDQUOT, CAIRN_NO_SPACE},
                 {EIO, CAIRN_IO},
                 {EROFS, CAIRN_READ_ONLY},
                 {ENOMEM, CAIRN_NO_MEMORY}};
    /* The header twice; the file and the folder; the file, the folder, and to read. */
    static const int calls_min[CALL_COUNT] = {2, 2, 1, 3, 1};
    char *folder = folder_create();
    struct content content;
    int descriptors = folder_each("/proc/self/fd", NULL);

    (void)state;
    content_fill(&content, &rng, 3, 200000);
    crn_derived_set_io(&faulty_io);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        for (size_t kind = 0; kind < COUNT_OF(kinds); kind++) {
            int failures = 0;

            for (int nth = 1;; nth++) {
                cairn_error err = {0};
                plan.call = call;
                plan.nth = nth;
                plan.error = kinds[kind].error;
                cairn_status status = write_and_read(&content, folder, &err);
                assert_int_equal(folder_each("/proc/self/fd", NULL), descriptors);
                if (plan.nth > 0) { /* there was no nth call */
                    assert_status(status, CAIRN_OK, &err);
                    break;
                }
                assert_status(status, kinds[kind].status, &err);
                failures++;
            }
            assert_true(failures >= calls_min[call]);
        }
    }
    crn_derived_set_io(NULL);
    content_release(&content);
    folder_remove(folder);
}

/* The bytes are durable before they have the name, and the name is before the answer. */
static void the_order_is_durable(void **state)
{
    char *folder = folder_create();
    struct content content;
    cairn_error err;

    (void)state;
    content_fill(&content, &rng, 3, 200000);
    plan.nth = 0;
    memset(calls, 0, sizeof calls);
    crn_derived_set_io(&faulty_io);
    assert_status(content_write(&content, folder, NAME, &rng, &err), CAIRN_OK, &err);
    crn_derived_set_io(NULL);
    assert_int_equal(calls[0], 'O');
    assert_string_equal(calls + 1 + strspn(calls + 1, "W"), "FROF");
    content_release(&content);
    folder_remove(folder);
}

static void short_and_interrupted_writes_go_on(void **state)
{
    char *folder = folder_create();
    struct content content;
    cairn_error err;

    (void)state;
    content_fill(&content, &rng, SECTIONS_MAX, 100000);
    crn_derived_set_io(&faulty_io);
    plan.nth = 0;
    plan.stutter = true;
    assert_status(write_and_read(&content, folder, &err), CAIRN_OK, &err);
    plan.stutter = false;
    crn_derived_set_io(NULL);
    content_release(&content);
    folder_remove(folder);
}

static void a_failed_writer_cannot_commit(void **state)
{
    char *folder = folder_create();
    struct crn_derived_writer *writer;
    char *data = calloc(1, 3 * 65536);
    cairn_error err;

    (void)state;
    assert_int_equal(crn_derived_create(folder, NAME, &some_header, &writer, &err), CAIRN_OK);
    assert_int_equal(crn_derived_section(writer, "DATA", &err), CAIRN_OK);
    crn_derived_set_io(&faulty_io);
    plan.call = CALL_WRITE;
    plan.nth = 2;
    plan.error = ENOSPC;
    assert_int_equal(crn_derived_write(writer, data, 3 * 65536, &err), CAIRN_NO_SPACE);
    crn_derived_set_io(NULL);
    assert_int_equal(crn_derived_write(writer, data, 1, &err), CAIRN_IO);
    assert_int_equal(crn_derived_commit(writer, &err), CAIRN_IO);
    assert_int_equal(folder_each(folder, NULL), 0);
    free(data);
    folder_remove(folder);
}

static void each_failing_allocation_leaves_nothing(void **state)
{
    char *folder = folder_create();
    struct content content;
    int descriptors = folder_each("/proc/self/fd", NULL);
    int failures = 0;

    (void)state;
    content_fill(&content, &rng, 3, 200000);
    for (uint64_t nth = 1;; nth++) {
        cairn_error err = {0};
        crn_mem_fail_at(nth, false);
        cairn_status status = write_and_read(&content, folder, &err);
        bool failed = crn_mem_count() >= nth;
        crn_mem_fail_at(0, false);
        assert_int_equal(folder_each("/proc/self/fd", NULL), descriptors);
        assert_status(status, failed ? CAIRN_NO_MEMORY : CAIRN_OK, &err);
        if (!failed) break;
        failures++;
    }
    assert_true(failures >= 5);
    content_release(&content);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failing_call_leaves_nothing),
        cmocka_unit_test(the_order_is_durable),
        cmocka_unit_test(short_and_interrupted_writes_go_on),
        cmocka_unit_test(a_failed_writer_cannot_commit),
        cmocka_unit_test(each_failing_allocation_leaves_nothing),
    };

    rng = test_rng();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
