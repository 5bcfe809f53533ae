/*
 * Derived files: what was written comes back; and nothing that was not written is ever trusted, wherever a
 * file is cut or changed.
 */
#include "tests/storage/derived_fixture.h"

#include "base/hash.h"

#define HEADER_SIZE 4096
#define NAME "segment-7-1"

static struct crn_rng rng;

static void write_new(const struct content *content, const char *folder)
{
    cairn_error err;

    assert_status(content_write(content, folder, NAME, &rng, &err), CAIRN_OK, &err);
}

static bool opens(const char *folder)
{
    struct crn_derived *file;
    bool is_open = crn_derived_open(folder, NAME, &some_header, &file, NULL) == CAIRN_OK;

    crn_derived_close(file);
    return is_open;
}

/* Opens, verifies and compares everything. What the first call that refuses says, or OK. */
static cairn_status read_back(const char *folder, const struct content *content)
{
    cairn_error err = {0};
    struct crn_derived *file;
    cairn_status status = crn_derived_open(folder, NAME, &some_header, &file, &err);

    if (status != CAIRN_OK) return status;
    for (size_t i = 0; i < content->count && status == CAIRN_OK; i++) {
        size_t size;
        const void *data = crn_derived_get(file, content->sections[i].tag, &size);

        assert_non_null(data);
        assert_int_equal((uintptr_t)data % 4096, 0);
        assert_int_equal(size, content->sections[i].size);
        status = crn_derived_verify(file, data, size, &err);
        if (status != CAIRN_OK) continue;
        assert_memory_equal(data, content->sections[i].data, size);
        assert_true(crn_derived_verified(file, data, size));
    }
    if (status == CAIRN_OK)
        status = crn_derived_verify_all(file, &err); /* the padding between sections too */
    crn_derived_close(file);
    return status;
}

static void sections_come_back(void **state)
{
    char *folder = folder_create();

    (void)state;
    for (int round = 0; round < 40; round++) {
        struct content content;
        struct crn_derived *file;
        struct stat info;
        cairn_error err;
        size_t size = 1;
        char *path = file_path(folder, NAME);

        content_fill(&content, &rng, (size_t)crn_rng_below(&rng, SECTIONS_MAX + 1), 300000);
        write_new(&content, folder); /* over the one of the last round */
        assert_int_equal(folder_each(folder, NULL), 1);
        assert_int_equal(read_back(folder, &content), CAIRN_OK);

        assert_status(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_OK, &err);
        assert_int_equal(crn_derived_sequence(file), some_header.sequence);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(crn_derived_size(file), info.st_size);
        assert_null(crn_derived_get(file, "NONE", &size));
        assert_int_equal(size, 0);
        crn_derived_close(file);
        content_release(&content);
        free(path);
    }
    folder_remove(folder);
}

static void an_abort_leaves_nothing(void **state)
{
    char *folder = folder_create();
    struct crn_derived_writer *writer;
    struct crn_derived *file;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_derived_create(folder, NAME, &some_header, &writer, &err), CAIRN_OK);
    assert_int_equal(crn_derived_section(writer, "DATA", &err), CAIRN_OK);
    assert_int_equal(crn_derived_write(writer, "abc", 3, &err), CAIRN_OK);
    assert_int_equal(folder_each(folder, NULL), 1);
    crn_derived_abort(writer);
    assert_int_equal(folder_each(folder, NULL), 0);
    assert_int_equal(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_NO_FILE);
    assert_null(file);
    crn_derived_abort(NULL);
    crn_derived_close(NULL);
    folder_remove(folder);
}

static void wrong_use_is_named(void **state)
{
    static const char *const bad_names[] = {
        "",         ".",
        "..",       ".x",
        "a/b",      "../x",
        "a b",      "a\nb",
        "\xc3\xa4", "a123456789012345678901234567890123456789012345678901234567890123"};
    char *folder = folder_create();
    struct crn_derived_writer *writer;
    struct crn_derived *file;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_names); i++) {
        assert_int_equal(crn_derived_create(folder, bad_names[i], &some_header, &writer, &err),
                         CAIRN_INVALID_ARGUMENT);
        assert_null(writer);
        assert_int_equal(crn_derived_open(folder, bad_names[i], &some_header, &file, &err), CAIRN_CORRUPT);
    }
    assert_int_equal(crn_derived_create(folder, NAME, &some_header, &writer, &err), CAIRN_OK);
    assert_int_equal(crn_derived_write(writer, "x", 1, &err), CAIRN_INVALID_ARGUMENT);
    for (unsigned i = 0; i < CRN_DERIVED_SECTIONS_MAX; i++)
        assert_int_equal(crn_derived_section(writer, (const char[4]){'T', 'A', 'G', (char)i}, &err),
                         CAIRN_OK);
    assert_int_equal(crn_derived_section(writer, "MORE", &err), CAIRN_LIMIT);
    assert_int_equal(crn_derived_commit(writer, &err), CAIRN_OK);
    assert_int_equal(crn_derived_create(folder, NAME, &some_header, &writer, &err), CAIRN_OK);
    assert_int_equal(crn_derived_section(writer, "TAG1", &err), CAIRN_OK);
    assert_int_equal(crn_derived_section(writer, "TAG1", &err), CAIRN_INVALID_ARGUMENT);
    crn_derived_abort(writer);
    assert_int_equal(crn_derived_create("/no/such/folder", NAME, &some_header, &writer, &err), CAIRN_NO_FILE);
    folder_remove(folder);
}

static void another_identity_is_refused(void **state)
{
    char *folder = folder_create();
    struct content content;
    struct crn_derived *file;
    struct crn_derived_header other;
    cairn_error err;

    (void)state;
    content_fill(&content, &rng, 2, 1000);
    write_new(&content, folder);
    other = some_header;
    other.sequence++; /* told, not expected */
    assert_status(crn_derived_open(folder, NAME, &other, &file, &err), CAIRN_OK, &err);
    crn_derived_close(file);
    other = some_header;
    other.space++;
    assert_int_equal(crn_derived_open(folder, NAME, &other, &file, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "space 7, not 8"));
    other = some_header;
    other.uuid[15] ^= 1;
    assert_int_equal(crn_derived_open(folder, NAME, &other, &file, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "another database"));
    other = some_header;
    memcpy(other.kind, "faiss\0\0", 8);
    assert_int_equal(crn_derived_open(folder, NAME, &other, &file, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "faiss"));
    assert_null(file);
    content_release(&content);
    folder_remove(folder);
}

/* ---- damage ---- */

struct image {
    unsigned char *bytes;
    size_t size;
    char *path;
};

static void image_read(struct image *image, const char *folder)
{
    struct stat info;
    int fd;

    image->path = file_path(folder, NAME);
    fd = open(image->path, O_RDONLY);
    assert_int_equal(fstat(fd, &info), 0);
    image->size = (size_t)info.st_size;
    image->bytes = malloc(image->size);
    assert_int_equal(pread(fd, image->bytes, image->size, 0), image->size);
    close(fd);
}

static void image_put(const struct image *image, const void *bytes, size_t size)
{
    int fd = open(image->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void image_release(struct image *image)
{
    free(image->bytes);
    free(image->path);
}

static void a_cut_file_is_refused(void **state)
{
    char *folder = folder_create();
    struct content content;
    struct image image;

    (void)state;
    content_fill(&content, &rng, 4, 100000);
    write_new(&content, folder);
    image_read(&image, folder);
    size_t table = image.size - 8 * ((image.size - HEADER_SIZE) / 65536 + 1);
    for (size_t cut = 0; cut < image.size; cut++) {
        bool near_border = cut % 4096 < 3 || cut % 4096 > 4093 || cut < 96 || cut > table - 16;

        if (!near_border && crn_rng_below(&rng, image.size / 200 + 1)) continue;
        image_put(&image, image.bytes, cut);
        assert_int_equal(read_back(folder, &content), CAIRN_CORRUPT);
    }
    image.bytes = realloc(image.bytes, image.size + 8192);
    for (size_t more = 1; more <= 8192; more = more * 2 + 7 * (more == 1)) {
        memset(image.bytes + image.size, 0, more);
        image_put(&image, image.bytes, image.size + more);
        assert_int_equal(read_back(folder, &content), CAIRN_CORRUPT);
    }
    image_put(&image, image.bytes, image.size);
    assert_int_equal(read_back(folder, &content), CAIRN_OK);
    image_release(&image);
    content_release(&content);
    folder_remove(folder);
}

static void a_changed_byte_is_found(void **state)
{
    char *folder = folder_create();
    struct content content;
    struct image image;

    (void)state;
    content_fill(&content, &rng, 5, 100000);
    write_new(&content, folder);
    image_read(&image, folder);
    int fd = open(image.path, O_WRONLY);
    size_t table = image.size - 8 * ((image.size - HEADER_SIZE) / 65536 + 1); /* at or before its begin */
    for (size_t at = 0; at < image.size; at++) {
        unsigned char changed = image.bytes[at] ^ (unsigned char)(1u << crn_rng_below(&rng, 8));

        if (at >= HEADER_SIZE && at < table && crn_rng_below(&rng, image.size / 500 + 1)) continue;
        assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
        if (read_back(folder, &content) != CAIRN_CORRUPT)
            fail_msg("byte %zu of %zu is not guarded", at, image.size);
        if (at > image.size - 8) assert_false(opens(folder)); /* the table is checked before any block */
        assert_int_equal(pwrite(fd, image.bytes + at, 1, (off_t)at), 1);
    }
    close(fd);
    assert_int_equal(read_back(folder, &content), CAIRN_OK);
    image_release(&image);
    content_release(&content);
    folder_remove(folder);
}

static void put_u64(unsigned char *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) at[i] = (unsigned char)(value >> 8 * i);
}

static void put_header(const struct image *image, unsigned char header[HEADER_SIZE])
{
    int fd = open(image->path, O_WRONLY);

    put_u64(header + HEADER_SIZE - 8, crn_hash64(header, HEADER_SIZE - 8, 0));
    assert_int_equal(pwrite(fd, header, HEADER_SIZE, 0), HEADER_SIZE);
    close(fd);
}

/* A header whose own checksum is right can still lie about sizes and places. */
static void a_lying_header_is_refused(void **state)
{
    enum { FILE_SIZE = 48, TABLE = 56, COUNT = 72, OFFSET = 88, SIZE = 96, LAST_SIZE = 96 + 48 };
    static const struct {
        size_t field;
        uint64_t lie;
    } lies[] = {
        {FILE_SIZE, 0},
        {FILE_SIZE, 4096},
        {FILE_SIZE, UINT64_MAX},
        {TABLE, 0},
        {TABLE, 4096},
        {TABLE, 4096 * 3},
        {TABLE, INT64_MAX},
        {TABLE, UINT64_MAX - 4095},
        {COUNT, 0},
        {COUNT, 2},
        {COUNT, 4},
        {COUNT, 33},
        {COUNT, UINT32_MAX},
        {OFFSET, 0},
        {OFFSET, 4097},
        {OFFSET, 8192},
        {OFFSET, UINT64_MAX},
        {SIZE, 4097},
        {SIZE, INT64_MAX},
        {SIZE, UINT64_MAX},
        {LAST_SIZE, 70000},
        {LAST_SIZE, UINT64_MAX},
        {LAST_SIZE, UINT64_MAX / 2},
        {LAST_SIZE, 0},
    };
    char *folder = folder_create();
    struct content content = {.count = 3,
                              .sections = {{.tag = "SEC0", .size = 1},
                                           {.tag = "SEC1", .size = 5000},
                                           {.tag = "SEC2", .size = 60000}}};
    struct image image;
    unsigned char header[HEADER_SIZE];

    (void)state;
    for (size_t i = 0; i < content.count; i++) content.sections[i].data = calloc(1, content.sections[i].size);
    write_new(&content, folder);
    image_read(&image, folder);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        memcpy(header, image.bytes, sizeof header);
        put_u64(header + lies[i].field, lies[i].lie);
        put_header(&image, header);
        if (read_back(folder, &content) != CAIRN_CORRUPT) fail_msg("lie %zu is believed", i);
    }
    /* Sizes that wrap around agree with each other: a section of all bytes, in a file without any. */
    memcpy(header, image.bytes, sizeof header);
    put_u64(header + FILE_SIZE, 4096);
    put_u64(header + TABLE, 4096);
    put_u64(header + TABLE + 8, crn_hash64("", 0, 0));
    put_u64(header + COUNT, 1);
    put_u64(header + SIZE, UINT64_MAX);
    image_put(&image, header, sizeof header);
    put_header(&image, header);
    assert_int_equal(read_back(folder, &content), CAIRN_CORRUPT);
    image_release(&image);
    content_release(&content);
    folder_remove(folder);
}

static void folders_and_devices_are_refused(void **state)
{
    char *folder = folder_create();
    char *path = file_path(folder, NAME);
    struct crn_derived *file;
    cairn_error err;

    (void)state;
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_CORRUPT);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0); /* must not wait for a writer */
    assert_int_equal(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_CORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_NO_FILE);
    free(path);
    folder_remove(folder);
}

static void verify_reads_what_is_asked_for_once(void **state)
{
    char *folder = folder_create();
    struct content content = {.count = 1, .sections = {{.tag = "DATA", .size = 10 * 65536}}};
    struct crn_derived *file;
    char *path = file_path(folder, NAME);
    size_t size;
    cairn_error err;

    (void)state;
    content.sections[0].data = calloc(1, content.sections[0].size);
    write_new(&content, folder);
    assert_status(crn_derived_open(folder, NAME, &some_header, &file, &err), CAIRN_OK, &err);
    const unsigned char *data = crn_derived_get(file, "DATA", &size);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, HEADER_SIZE + 5 * 65536), 1); /* block 5 goes bad */

    assert_false(crn_derived_verified(file, data, 1));
    assert_int_equal(crn_derived_verify(file, data, 5 * 65536, &err), CAIRN_OK);
    assert_true(crn_derived_verified(file, data, 5 * 65536));
    assert_false(crn_derived_verified(file, data, 5 * 65536 + 1));
    assert_int_equal(crn_derived_verify(file, data + 5 * 65536 - 1, 2, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "block 5 of 10"));
    assert_non_null(strstr(err.message, NAME));
    assert_int_equal(crn_derived_verify(file, data + 6 * 65536, size - 6 * 65536, &err), CAIRN_OK);
    assert_false(crn_derived_verified(file, data, size));

    assert_int_equal(pwrite(fd, "x", 1, HEADER_SIZE), 1); /* block 0 as well, but it was verified */
    assert_int_equal(crn_derived_verify(file, data, 1, &err), CAIRN_OK);
    assert_int_equal(crn_derived_verify_all(file, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "block 0 of 10"));
    assert_false(crn_derived_verified(file, data, 1));
    assert_int_equal(crn_derived_verify(file, data, 1, &err), CAIRN_CORRUPT);

    assert_int_equal(crn_derived_verify(file, data, size + 1, &err), CAIRN_CORRUPT);
    assert_non_null(strstr(err.message, "not all in its sections"));
    assert_int_equal(crn_derived_verify(file, data - 1, 1, &err), CAIRN_CORRUPT);
    assert_int_equal(crn_derived_verify(file, data + 1, SIZE_MAX, &err), CAIRN_CORRUPT);
    assert_int_equal(crn_derived_verify(file, &err, 1, &err), CAIRN_CORRUPT);
    assert_int_equal(crn_derived_verify(file, data + size, 0, &err), CAIRN_OK);
    assert_false(crn_derived_verified(file, data - 1, 1));
    close(fd);
    crn_derived_close(file);
    content_release(&content);
    free(path);
    folder_remove(folder);
}

/* ---- sweep ---- */

static bool keep_wanted(void *ctx, const char *name)
{
    (*(int *)ctx)++;
    return strcmp(name, "wanted") == 0;
}

static void touch(const char *folder, const char *name)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    close(open(path, O_WRONLY | O_CREAT, 0644));
    assert_int_equal(access(path, F_OK), 0);
}

static void sweep_removes_what_nobody_wants(void **state)
{
    char *folder = folder_create();
    struct content content;
    struct crn_derived_writer *writer;
    cairn_error err;
    int asked = 0;

    (void)state;
    content_fill(&content, &rng, 1, 100);
    assert_int_equal(content_write(&content, folder, "wanted", &rng, &err), CAIRN_OK);
    assert_int_equal(content_write(&content, folder, "unwanted", &rng, &err), CAIRN_OK);
    assert_int_equal(crn_derived_create(folder, "being-written", &some_header, &writer, &err), CAIRN_OK);
    touch(folder, "lock");
    touch(folder, ".derived");
    touch(folder, "notes.txt");
    touch(folder, "damaged.derived");
    touch(folder, "dead.0123456789abcdef.aside");
    assert_int_equal(folder_each(folder, NULL), 8);

    assert_int_equal(crn_derived_sweep(folder, keep_wanted, &asked, &err), CAIRN_OK);
    assert_int_equal(asked, 3);
    assert_int_equal(folder_each(folder, NULL), 5); /* wanted, being-written, and what is none of ours */
    assert_status(crn_derived_commit(writer, &err), CAIRN_OK, &err);
    assert_int_equal(crn_derived_sweep(folder, keep_wanted, &asked, &err), CAIRN_OK);
    assert_int_equal(folder_each(folder, NULL), 4);
    assert_int_equal(crn_derived_sweep("/no/such/folder", keep_wanted, &asked, &err), CAIRN_NO_FILE);
    content_release(&content);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_come_back),
        cmocka_unit_test(an_abort_leaves_nothing),
        cmocka_unit_test(wrong_use_is_named),
        cmocka_unit_test(another_identity_is_refused),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(a_lying_header_is_refused),
        cmocka_unit_test(folders_and_devices_are_refused),
        cmocka_unit_test(verify_reads_what_is_asked_for_once),
        cmocka_unit_test(sweep_removes_what_nobody_wants),
    };

    rng = test_rng();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
