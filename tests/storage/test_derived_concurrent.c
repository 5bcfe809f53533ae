/*
 * Derived files and threads: many verify one file at once, one of them anew now and then; and a sweep that
 * runs beside writers takes no file that is being written.
 */
#include "tests/storage/derived_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define NAME "segment-7-1"
#define THREADS 8
#define BLOCKS 150

static struct crn_derived *file;
static const unsigned char *data;
static size_t data_size;
static char *folder;
static atomic_int failures;
static atomic_bool stop;

static void *verify_thread(void *arg)
{
    struct crn_rng rng;

    crn_rng_init(&rng, (uint64_t)(uintptr_t)arg);
    for (int i = 0; i < 2000; i++) {
        size_t begin = (size_t)crn_rng_below(&rng, data_size);
        size_t size = (size_t)crn_rng_below(&rng, 3 * 65536);
        cairn_error err;

        if (size > data_size - begin) size = data_size - begin;
        bool bad = begin <= 77 * 65536 &&
                   begin + size > 77 * 65536; /* the block that was changed, at its first byte */
        bool near_bad = begin / 65536 <= 77 && size > 0 && (begin + size - 1) / 65536 >= 77;
        cairn_status status = i % 500 == 0 ? crn_derived_verify_all(file, &err)
                                           : crn_derived_verify(file, data + begin, size, &err);
        if (i % 500 == 0) near_bad = true;
        if (status != (near_bad ? CAIRN_CORRUPT : CAIRN_OK)) failures++;
        if (bad && crn_derived_verified(file, data + begin, size)) failures++;
    }
    return NULL;
}

static void threads_verify_at_once(void **state)
{
    struct content content = {.count = 1, .sections = {{.tag = "DATA", .size = BLOCKS * 65536}}};
    pthread_t threads[THREADS];
    struct crn_rng rng = test_rng();
    cairn_error err;
    char *path;

    (void)state;
    folder = folder_create();
    content.sections[0].data = malloc(content.sections[0].size);
    memset(content.sections[0].data, 'a', content.sections[0].size);
    assert_status(content_write(&content, folder, NAME, &rng, &err), CAIRN_OK, &err);
    path = file_path(folder, NAME);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "b", 1, 4096 + 77 * 65536), 1);
    close(fd);
    assert_status(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_OK, &err);
    data = crn_derived_get(file, "DATA", &data_size);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_thread, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    crn_derived_close(file);
    content_release(&content);
    free(path);
    folder_remove(folder);
}

static bool keep_all(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return true;
}

static void *sweep_thread(void *arg)
{
    cairn_error err;

    (void)arg;
    while (!stop)
        if (crn_derived_sweep(folder, keep_all, NULL, &err) != CAIRN_OK) failures++;
    return NULL;
}

static void *write_thread(void *arg)
{
    struct content content = {.count = 1,
                              .sections = {{.tag = "DATA", .data = (unsigned char *)"abc", .size = 3}}};
    struct crn_rng rng;
    cairn_error err;
    char name[32];

    crn_rng_init(&rng, (uint64_t)(uintptr_t)arg);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%d-%d", (int)(uintptr_t)arg, i);
        if (content_write(&content, folder, name, &rng, &err) != CAIRN_OK) failures++;
    }
    return NULL;
}

static void a_sweep_spares_running_writers(void **state)
{
    pthread_t writers[3], sweeper;

    (void)state;
    folder = folder_create();
    assert_int_equal(pthread_create(&sweeper, NULL, sweep_thread, NULL), 0);
    for (uintptr_t i = 0; i < COUNT_OF(writers); i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_thread, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT_OF(writers); i++) pthread_join(writers[i], NULL);
    stop = true;
    pthread_join(sweeper, NULL);
    assert_int_equal(failures, 0);
    assert_int_equal(folder_each(folder, NULL), 100 * COUNT_OF(writers));
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_verify_at_once),
        cmocka_unit_test(a_sweep_spares_running_writers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
