/*
 * Writing a derived file: blocks go out as they fill, their checksums gather in memory, the header is written
 * last, and only then does the file get its name. Whatever fails before that leaves an aside file at most,
 * which is removed here, or by the next sweep when the process died.
 *
 * A writer is confined to one thread at a time.
 */
#include "storage/derived_format.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_TRIES 16

struct crn_derived_writer {
    struct crn_derived_layout layout;
    char *folder;
    char *path;           /* under its final name */
    char *aside;          /* while it is written */
    int fd;               /* of the aside file, locked; -1 = none */
    bool failed;          /* a write failed: the file cannot be committed */
    uint64_t position;    /* bytes of header and sections so far, those in `block` included */
    struct crn_buf table; /* checksums, little-endian */
    unsigned char *block; /* [CRN_DERIVED_BLOCK], filled up to `fill` */
    size_t fill;
};

static void free_writer(struct crn_derived_writer *writer)
{
    if (writer->fd >= 0) close(writer->fd);
    crn_buf_release(&writer->table);
    crn_mem_free(writer->block);
    crn_mem_free(writer->aside);
    crn_mem_free(writer->path);
    crn_mem_free(writer->folder);
    crn_mem_free(writer);
}

static cairn_status write_all(struct crn_derived_writer *writer, const void *data, size_t size,
                              cairn_error *err)
{
    const char *at = data;

    while (size > 0) {
        long written = crn_derived_system.write(writer->fd, at, size);

        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            writer->failed = true;
            return crn_error_errno(err, written < 0 ? errno : EIO, "write", writer->aside);
        }
        at += written;
        size -= (size_t)written;
    }
    return CAIRN_OK;
}

static cairn_status write_block(struct crn_derived_writer *writer, cairn_error *err)
{
    unsigned char checksum[8];

    crn_derived_put_u64(checksum, crn_hash64(writer->block, writer->fill, 0));
    if (crn_buf_append(&writer->table, checksum, sizeof(checksum)) != CAIRN_OK) {
        writer->failed = true;
        return crn_error_no_memory(err, writer->table.len + sizeof(checksum));
    }
    CRN_TRY(write_all(writer, writer->block, writer->fill, err));
    writer->fill = 0;
    return CAIRN_OK;
}

/* Adds bytes to the section area; NULL data stands for zeros. */
static cairn_status append(struct crn_derived_writer *writer, const void *data, size_t size, cairn_error *err)
{
    const unsigned char *at = data;

    if (writer->failed) return crn_error_set(err, CAIRN_IO, "an earlier write of %s failed", writer->aside);
    if (size > CRN_DERIVED_SIZE_MAX - writer->position)
        return crn_error_set(err, CAIRN_LIMIT, "%s would be above %llu bytes", writer->path,
                             (unsigned long long)CRN_DERIVED_SIZE_MAX);
    while (size > 0) {
        size_t room = CRN_DERIVED_BLOCK - writer->fill;
        size_t part = size < room ? size : room;

        if (at) {
            memcpy(writer->block + writer->fill, at, part);
            at += part;
        } else {
            memset(writer->block + writer->fill, 0, part);
        }
        writer->fill += part;
        writer->position += part;
        size -= part;
        if (writer->fill == CRN_DERIVED_BLOCK) CRN_TRY(write_block(writer, err));
    }
    return CAIRN_OK;
}

/* Zeros up to the next multiple of CRN_DERIVED_ALIGN: they are under the checksums like all else. */
static cairn_status pad(struct crn_derived_writer *writer, cairn_error *err)
{
    return append(writer, NULL, (size_t)(crn_derived_align(writer->position) - writer->position), err);
}

/* Creates and locks one aside file. A sweep between the two may take it for a dead writer's: *out_again. */
static cairn_status open_aside(struct crn_derived_writer *writer, const char *name, bool *out_again,
                               cairn_error *err)
{
    unsigned char random[16];
    char suffix[32];
    struct stat info;

    *out_again = false;
    crn_rng_entropy(random);
    snprintf(suffix, sizeof(suffix), ".%016llx" CRN_DERIVED_ASIDE_SUFFIX,
             (unsigned long long)crn_derived_get_u64(random));
    writer->aside = crn_derived_path(writer->folder, name, suffix);
    if (!writer->aside)
        return crn_error_no_memory(err, strlen(writer->folder) + strlen(name) + sizeof(suffix));
    writer->fd = crn_derived_system.open(writer->aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0) return crn_error_errno(err, errno, "create", writer->aside);
    if (!crn_derived_lock(writer->fd, F_WRLCK)) {
        if (errno != EAGAIN && errno != EACCES) return crn_error_errno(err, errno, "lock", writer->aside);
        *out_again = true;
    } else if (fstat(writer->fd, &info) != 0) {
        return crn_error_errno(err, errno, "stat", writer->aside);
    } else if (info.st_nlink == 0) {
        *out_again = true;
    }
    return CAIRN_OK;
}

static cairn_status create_aside(struct crn_derived_writer *writer, const char *name, cairn_error *err)
{
    bool again = true;

    for (int i = 0; i < ASIDE_TRIES && again; i++) {
        if (writer->fd >= 0) close(writer->fd);
        writer->fd = -1;
        crn_mem_free(writer->aside);
        writer->aside = NULL;
        CRN_TRY(open_aside(writer, name, &again, err));
    }
    if (again) return crn_error_set(err, CAIRN_BUSY, "no file to write %s in could be kept", writer->path);
    return CAIRN_OK;
}

cairn_status crn_derived_create(const char *folder, const char *name, const struct crn_derived_header *header,
                                struct crn_derived_writer **out_writer, cairn_error *err)
{
    static const unsigned char empty_header[CRN_DERIVED_HEADER_SIZE];
    struct crn_derived_writer *writer;
    cairn_status status;

    *out_writer = NULL;
    if (!crn_derived_name_valid(name, strlen(name)))
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "'%.80s' cannot name a derived file", name);
    writer = crn_mem_calloc(1, sizeof(*writer));
    if (!writer) return crn_error_no_memory(err, sizeof(*writer));
    writer->fd = -1;
    writer->layout.header = *header;
    writer->position = CRN_DERIVED_HEADER_SIZE;
    crn_buf_init(&writer->table, (size_t)(CRN_DERIVED_SIZE_MAX / CRN_DERIVED_BLOCK * 8));
    writer->folder = crn_mem_strdup(folder);
    writer->path = crn_derived_path(folder, name, CRN_DERIVED_SUFFIX);
    writer->block = crn_mem_alloc(CRN_DERIVED_BLOCK);
    if (!writer->folder || !writer->path || !writer->block) {
        status = crn_error_no_memory(err, CRN_DERIVED_BLOCK);
    } else {
        status = create_aside(writer, name, err);
        if (status == CAIRN_OK) status = write_all(writer, empty_header, sizeof(empty_header), err);
    }
    if (status != CAIRN_OK) {
        crn_derived_abort(writer);
        return status;
    }
    *out_writer = writer;
    return CAIRN_OK;
}

cairn_status crn_derived_section(struct crn_derived_writer *writer, const char tag[4], cairn_error *err)
{
    struct crn_derived_layout *layout = &writer->layout;
    struct crn_derived_section *section;

    if (layout->section_count == CRN_DERIVED_SECTIONS_MAX)
        return crn_error_set(err, CAIRN_LIMIT, "%s would have more than %u sections", writer->path,
                             CRN_DERIVED_SECTIONS_MAX);
    for (uint32_t i = 0; i < layout->section_count; i++)
        if (memcmp(layout->sections[i].tag, tag, 4) == 0)
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s has a section %.4s already", writer->path,
                                 tag);
    CRN_TRY(pad(writer, err));
    section = &layout->sections[layout->section_count++];
    memcpy(section->tag, tag, sizeof(section->tag));
    section->offset = writer->position;
    return CAIRN_OK;
}

cairn_status crn_derived_write(struct crn_derived_writer *writer, const void *data, size_t size,
                               cairn_error *err)
{
    struct crn_derived_layout *layout = &writer->layout;

    if (layout->section_count == 0)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s has no section to write to yet", writer->path);
    if (size == 0) return CAIRN_OK;
    CRN_TRY(append(writer, data, size, err));
    layout->sections[layout->section_count - 1].size += size;
    return CAIRN_OK;
}

cairn_status crn_derived_put(struct crn_derived_writer *writer, const char tag[4], const void *data,
                             size_t size, cairn_error *err)
{
    CRN_TRY(crn_derived_section(writer, tag, err));
    return crn_derived_write(writer, data, size, err);
}

/* The rest of the sections, the table of checksums, and the header over the zeros that kept its place. */
static cairn_status finish(struct crn_derived_writer *writer, cairn_error *err)
{
    struct crn_derived_layout *layout = &writer->layout;
    unsigned char header[CRN_DERIVED_HEADER_SIZE];

    CRN_TRY(pad(writer, err));
    if (writer->fill > 0) CRN_TRY(write_block(writer, err));
    layout->table_offset = writer->position;
    layout->file_size = writer->position + writer->table.len;
    layout->table_hash = crn_hash64(writer->table.data, writer->table.len, 0);
    CRN_TRY(write_all(writer, writer->table.data, writer->table.len, err));
    crn_derived_encode(layout, header);
    if (lseek(writer->fd, 0, SEEK_SET) != 0) return crn_error_errno(err, errno, "seek", writer->aside);
    CRN_TRY(write_all(writer, header, sizeof(header), err));
    if (crn_derived_system.fsync(writer->fd) != 0) return crn_error_errno(err, errno, "fsync", writer->aside);
    return CAIRN_OK;
}

static cairn_status sync_folder(const char *folder, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    int fd = crn_derived_system.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (fd < 0) return crn_error_errno(err, errno, "open folder", folder);
    if (crn_derived_system.fsync(fd) != 0) status = crn_error_errno(err, errno, "fsync folder", folder);
    close(fd);
    return status;
}

cairn_status crn_derived_commit(struct crn_derived_writer *writer, cairn_error *err)
{
    cairn_status status = finish(writer, err);

    if (status == CAIRN_OK && crn_derived_system.rename(writer->aside, writer->path) != 0)
        status = crn_error_errno(err, errno, "rename", writer->aside);
    if (status != CAIRN_OK) {
        crn_derived_abort(writer);
        return status;
    }
    status = sync_folder(writer->folder, err);
    if (status != CAIRN_OK) unlink(writer->path);
    free_writer(writer);
    return status;
}

void crn_derived_abort(struct crn_derived_writer *writer)
{
    if (!writer) return;
    if (writer->fd >= 0) unlink(writer->aside);
    free_writer(writer);
}
