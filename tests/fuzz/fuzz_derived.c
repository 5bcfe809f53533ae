/*
 * Any bytes as a derived file: opened, all sections read, all blocks verified. First as they are; then with
 * the checksums of header, table and blocks put right, so that what stands behind the checksums is reached as
 * well.
 */
#include "storage/derived_format.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TABLE_OFFSET = 56, TABLE_HASH = 64, HEADER_HASH = CRN_DERIVED_HEADER_SIZE - 8 };

static const uint8_t *input;
static size_t input_size;

/* What is opened is always the input, in anonymous memory. */
static int open_input(const char *path, int flags, int mode)
{
    int fd = memfd_create("derived", MFD_CLOEXEC);

    (void)path;
    (void)flags;
    (void)mode;
    if (fd < 0 || write(fd, input, input_size) != (ssize_t)input_size) abort();
    return fd;
}

static void *map_input(size_t size, int fd)
{
    return mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
}

static void read_sections(struct crn_derived *file)
{
    volatile unsigned char sum = 0;
    cairn_error err;

    for (unsigned i = 0; i < 256; i++) {
        size_t size;
        const unsigned char *bytes = crn_derived_get(file, (const char[4]){'S', 'E', 'C', (char)i}, &size);

        if (!bytes || crn_derived_verify(file, bytes, size, &err) != CAIRN_OK) continue;
        if (!crn_derived_verified(file, bytes, size)) abort();
        for (size_t at = 0; at < size; at++) sum = (unsigned char)(sum + bytes[at]);
    }
    if (crn_derived_verify_all(file, &err) == CAIRN_OK && crn_derived_size(file) != input_size) abort();
}

static void run(const uint8_t *data, size_t size)
{
    static const struct crn_derived_io io = {.open = open_input, .map = map_input};
    struct crn_derived_header expect = {0};
    struct crn_derived *file;
    cairn_error err;

    input = data;
    input_size = size;
    if (size >= CRN_DERIVED_HEADER_SIZE) { /* whatever identity it claims is the wanted one */
        memcpy(expect.kind, data + 16, sizeof(expect.kind));
        memcpy(expect.uuid, data + 24, sizeof(expect.uuid));
        memcpy(&expect.space, data + 12, sizeof(expect.space));
    }
    crn_derived_set_io(&io);
    if (crn_derived_open("folder", "name", &expect, &file, &err) == CAIRN_OK) {
        read_sections(file);
        crn_derived_close(file);
    } else if (err.status != CAIRN_CORRUPT) {
        abort();
    }
}

/* Puts the checksums right, as far as the sizes the header tells lie inside the input. */
static void repair(uint8_t *bytes, size_t size)
{
    uint64_t table = crn_derived_get_u64(bytes + TABLE_OFFSET);

    if (table >= CRN_DERIVED_HEADER_SIZE && table <= size) {
        for (uint64_t block = 0; block < (size - table) / 8; block++) {
            uint64_t begin = CRN_DERIVED_HEADER_SIZE + block * CRN_DERIVED_BLOCK;
            uint64_t end = begin + CRN_DERIVED_BLOCK < table ? begin + CRN_DERIVED_BLOCK : table;

            if (begin >= table) break;
            crn_derived_put_u64(bytes + table + block * 8,
                                crn_hash64(bytes + begin, (size_t)(end - begin), 0));
        }
        crn_derived_put_u64(bytes + TABLE_HASH, crn_hash64(bytes + table, (size_t)(size - table), 0));
    }
    crn_derived_put_u64(bytes + HEADER_HASH, crn_hash64(bytes, HEADER_HASH, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    run(data, size);
    if (size < CRN_DERIVED_HEADER_SIZE) return 0;
    copy = malloc(size);
    if (!copy) abort();
    memcpy(copy, data, size);
    repair(copy, size);
    run(copy, size);
    free(copy);
    return 0;
}
