/* A folder of its own for each test of derived files, and files of random sections in it. */
#ifndef CRN_TESTS_STORAGE_DERIVED_FIXTURE_H
#define CRN_TESTS_STORAGE_DERIVED_FIXTURE_H

#include "storage/derived.h"
#include "tests/base/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTIONS_MAX 8

static const struct crn_derived_header some_header = {
    .kind = "segment",
    .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .space = 7,
    .sequence = 4711};

struct content {
    size_t count;
    struct {
        char tag[4];
        unsigned char *data;
        size_t size;
    } sections[SECTIONS_MAX];
};

static inline char *folder_create(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];

    snprintf(path, sizeof path, "%s/cairn-derived-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

/* Calls fn for each entry but "." and ".."; returns how many there are. */
static inline int folder_each(const char *folder, void (*fn)(const char *path))
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    int count = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        char path[1024];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (fn) fn(path);
        count++;
    }
    closedir(stream);
    return count;
}

static inline void unlink_path(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static inline void folder_remove(char *folder)
{
    folder_each(folder, unlink_path);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

static inline void content_fill(struct content *content, struct crn_rng *rng, size_t count, size_t size_max)
{
    static const size_t borders[] = {0, 1, 4095, 4096, 4097, 61440, 65535, 65536, 65537, 131072};

    content->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)crn_rng_below(rng, size_max + 1);

        if (crn_rng_below(rng, 2)) size = borders[crn_rng_below(rng, COUNT_OF(borders))];
        memcpy(content->sections[i].tag, (const char[4]){'S', 'E', 'C', (char)('0' + i)}, 4);
        content->sections[i].size = size;
        content->sections[i].data = malloc(size + 1);
        for (size_t j = 0; j < size; j++) content->sections[i].data[j] = (unsigned char)crn_rng_u64(rng);
    }
}

static inline void content_release(struct content *content)
{
    for (size_t i = 0; i < content->count; i++) free(content->sections[i].data);
}

/* The first failure of create, section, write and commit; the writer is gone in any case. */
static inline cairn_status content_write(const struct content *content, const char *folder, const char *name,
                                         struct crn_rng *rng, cairn_error *err)
{
    struct crn_derived_writer *writer;
    cairn_status status = crn_derived_create(folder, name, &some_header, &writer, err);

    if (status != CAIRN_OK) return status;
    for (size_t i = 0; i < content->count && status == CAIRN_OK; i++) {
        size_t at = 0, size = content->sections[i].size;

        status = crn_derived_section(writer, content->sections[i].tag, err);
        while (at < size && status == CAIRN_OK) {
            size_t part = 1 + (size_t)crn_rng_below(rng, size - at);
            status = crn_derived_write(writer, content->sections[i].data + at, part, err);
            at += part;
        }
    }
    if (status == CAIRN_OK) return crn_derived_commit(writer, err);
    crn_derived_abort(writer);
    return status;
}

static inline char *file_path(const char *folder, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s.derived", folder, name) > 0);
    return path;
}

static inline void assert_status(cairn_status status, cairn_status wanted, const cairn_error *err)
{
    if (status == wanted) return;
    print_error("%s instead of %s: %s\n", cairn_status_name(status), cairn_status_name(wanted),
                status == CAIRN_OK ? "" : err->message);
    fail();
}

#endif
