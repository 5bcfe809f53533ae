/*
 * Reading a derived file: mapped whole, so that what is not looked at costs nothing. The header and the table
 * of checksums are checked at open; a section's blocks when somebody first asks for them.
 *
 * The mapping is as long as the file was when it was opened, and a derived file never shrinks: whoever
 * truncates one from outside, or a disk that fails under a mapped page, makes its readers die of SIGBUS.
 */
#include "storage/derived_format.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct crn_derived {
    struct crn_derived_layout layout;
    char *path;
    const unsigned char *map; /* [layout.file_size]; NULL until mapped */
    size_t map_size;
    uint64_t block_count;
    uint64_t memory_half;     /* of the machine */
    _Atomic uint32_t doubted; /* calls of will_need left that trust nothing verified. Relaxed: a hint */
    _Atomic uint64_t
        *verified; /* a bit a block. Relaxed: the bits publish nothing, the file's bytes never change */
};

static cairn_status map_file(struct crn_derived *file, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct stat info;
    void *map;
    int fd = crn_derived_system.open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

    if (fd < 0) return crn_error_errno(err, errno, "open", file->path);
    if (fstat(fd, &info) != 0) {
        status = crn_error_errno(err, errno, "stat", file->path);
    } else if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size < CRN_DERIVED_HEADER_SIZE) {
        status = crn_error_set(err, CAIRN_CORRUPT, "%s: it is no derived file", file->path);
    } else if ((map = crn_derived_system.map((size_t)info.st_size, fd)) == MAP_FAILED) {
        status = crn_error_errno(err, errno, "map", file->path);
    } else {
        file->map = map;
        file->map_size = (size_t)info.st_size;
    }
    close(fd);
    return status;
}

static cairn_status check_identity(const struct crn_derived *file, const struct crn_derived_header *expect,
                                   cairn_error *err)
{
    const struct crn_derived_header *header = &file->layout.header;

    if (memcmp(header->kind, expect->kind, sizeof(header->kind)) != 0)
        return crn_error_set(err, CAIRN_CORRUPT, "%s: it is a '%.8s' file, not a '%.8s' file", file->path,
                             header->kind, expect->kind);
    if (memcmp(header->uuid, expect->uuid, sizeof(header->uuid)) != 0)
        return crn_error_set(err, CAIRN_CORRUPT, "%s: it belongs to another database", file->path);
    if (header->space != expect->space)
        return crn_error_set(err, CAIRN_CORRUPT, "%s: it is of space %u, not %u", file->path, header->space,
                             expect->space);
    return CAIRN_OK;
}

/* Half of the machine's memory; all of it where the system does not say. */
static uint64_t memory_half(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);

    return pages > 0 && page_size > 0 ? (uint64_t)pages / 2 * (uint64_t)page_size : UINT64_MAX;
}

static cairn_status check_file(struct crn_derived *file, const struct crn_derived_header *expect,
                               cairn_error *err)
{
    struct crn_derived_layout *layout = &file->layout;
    const char *wrong = crn_derived_decode(file->map, file->map_size, layout);

    if (wrong) return crn_error_set(err, CAIRN_CORRUPT, "%s: %s", file->path, wrong);
    CRN_TRY(check_identity(file, expect, err));
    file->memory_half = memory_half();
    file->block_count = crn_derived_block_count(layout->table_offset);
    if (crn_hash64(file->map + layout->table_offset, (size_t)file->block_count * 8, 0) != layout->table_hash)
        return crn_error_set(err, CAIRN_CORRUPT, "%s: the table of checksums does not match its checksum",
                             file->path);
    file->verified = crn_mem_calloc((size_t)(file->block_count / 64 + 1), sizeof(*file->verified));
    if (!file->verified) return crn_error_no_memory(err, (size_t)(file->block_count / 8 + 8));
    return CAIRN_OK;
}

cairn_status crn_derived_open(const char *folder, const char *name, const struct crn_derived_header *expect,
                              struct crn_derived **out_file, cairn_error *err)
{
    struct crn_derived *file;
    cairn_status status;

    *out_file = NULL;
    if (!crn_derived_name_valid(name, strlen(name)))
        return crn_error_set(err, CAIRN_CORRUPT, "'%.80s' cannot name a derived file", name);
    file = crn_mem_calloc(1, sizeof(*file));
    if (!file) return crn_error_no_memory(err, sizeof(*file));
    file->path = crn_derived_path(folder, name, CRN_DERIVED_SUFFIX);
    status = file->path ? map_file(file, err) : crn_error_no_memory(err, strlen(folder) + strlen(name));
    if (status == CAIRN_OK) status = check_file(file, expect, err);
    if (status != CAIRN_OK) {
        crn_derived_close(file);
        return status;
    }
    *out_file = file;
    return CAIRN_OK;
}

void crn_derived_close(struct crn_derived *file)
{
    if (!file) return;
    if (file->map) munmap((void *)file->map, file->map_size);
    crn_mem_free((void *)file->verified);
    crn_mem_free(file->path);
    crn_mem_free(file);
}

uint64_t crn_derived_sequence(const struct crn_derived *file)
{
    return file->layout.header.sequence;
}

uint64_t crn_derived_size(const struct crn_derived *file)
{
    return file->layout.file_size;
}

const void *crn_derived_get(const struct crn_derived *file, const char tag[4], size_t *out_size)
{
    for (uint32_t i = 0; i < file->layout.section_count; i++) {
        const struct crn_derived_section *section = &file->layout.sections[i];

        if (memcmp(section->tag, tag, sizeof(section->tag)) != 0) continue;
        *out_size = (size_t)section->size;
        return file->map + section->offset;
    }
    *out_size = 0;
    return NULL;
}

cairn_status crn_derived_need(struct crn_derived *file, const char *what, const char tag[4], size_t size,
                              bool verified, const void **out_data, cairn_error *err)
{
    size_t found;

    *out_data = crn_derived_get(file, tag, &found);
    if (*out_data == NULL)
        return crn_error_set(err, CAIRN_CORRUPT, "%s is damaged: section %.4s is missing", what, tag);
    if (found != size) {
        return crn_error_set(err, CAIRN_CORRUPT, "%s is damaged: section %.4s has %zu bytes, not %zu", what,
                             tag, found, size);
    }
    return verified && size != 0 ? crn_derived_verify(file, *out_data, size, err) : CAIRN_OK;
}

/* The blocks [*out_first, *out_end) that hold the bytes. False when these are not all in the section area. */
static bool find_blocks(const struct crn_derived *file, const void *data, size_t size, uint64_t *out_first,
                        uint64_t *out_end)
{
    uint64_t area_size = file->layout.table_offset - CRN_DERIVED_HEADER_SIZE;
    uint64_t at = (uint64_t)((uintptr_t)data - ((uintptr_t)file->map + CRN_DERIVED_HEADER_SIZE));

    if (at > area_size || size > area_size - at) return false;
    *out_first = at / CRN_DERIVED_BLOCK;
    *out_end = size == 0 ? *out_first : (at + size - 1) / CRN_DERIVED_BLOCK + 1;
    return true;
}

static bool is_verified(const struct crn_derived *file, uint64_t block)
{
    return atomic_load_explicit(&file->verified[block / 64], memory_order_relaxed) >> (block % 64) & 1;
}

static cairn_status verify_block(struct crn_derived *file, uint64_t block, cairn_error *err)
{
    uint64_t begin = CRN_DERIVED_HEADER_SIZE + block * CRN_DERIVED_BLOCK;
    uint64_t left = file->layout.table_offset - begin;
    uint64_t checksum = crn_derived_get_u64(file->map + file->layout.table_offset + block * 8);

    if (crn_hash64(file->map + begin, left < CRN_DERIVED_BLOCK ? (size_t)left : CRN_DERIVED_BLOCK, 0) !=
        checksum)
        return crn_error_set(err, CAIRN_CORRUPT, "%s: block %llu of %llu does not match its checksum",
                             file->path, (unsigned long long)block, (unsigned long long)file->block_count);
    atomic_fetch_or_explicit(&file->verified[block / 64], UINT64_C(1) << (block % 64), memory_order_relaxed);
    return CAIRN_OK;
}

cairn_status crn_derived_verify(struct crn_derived *file, const void *data, size_t size, cairn_error *err)
{
    uint64_t first, end;

    /* Where to look is often computed from what the file says, so a wrong place is damage as well. */
    if (!find_blocks(file, data, size, &first, &end))
        return crn_error_set(err, CAIRN_CORRUPT, "%s: %zu bytes asked for are not all in its sections",
                             file->path, size);
    for (uint64_t block = first; block < end; block++)
        if (!is_verified(file, block)) CRN_TRY(verify_block(file, block, err));
    return CAIRN_OK;
}

cairn_status crn_derived_verify_all(struct crn_derived *file, cairn_error *err)
{
    for (uint64_t word = 0; word < file->block_count / 64 + 1; word++)
        atomic_store_explicit(&file->verified[word], 0, memory_order_relaxed);
    for (uint64_t block = 0; block < file->block_count; block++) CRN_TRY(verify_block(file, block, err));
    return CAIRN_OK;
}

bool crn_derived_verified(const struct crn_derived *file, const void *data, size_t size)
{
    uint64_t first, end;

    if (!find_blocks(file, data, size, &first, &end)) return false;
    for (uint64_t block = first; block < end; block++)
        if (!is_verified(file, block)) return false;
    return true;
}

void crn_derived_not_needed(struct crn_derived *file)
{
    (void)madvise((void *)file->map, file->map_size,
                  MADV_DONTNEED); /* read-only and of a file: nothing is lost */
}

void crn_derived_was_slow(struct crn_derived *file, uint32_t calls)
{
    atomic_store_explicit(&file->doubted, calls, memory_order_relaxed);
}

/* Whether verified bytes are not to be taken for being in memory, this time. */
static bool is_doubted(struct crn_derived *file)
{
    const uint32_t left = atomic_load_explicit(&file->doubted, memory_order_relaxed);

    if (left != 0) atomic_store_explicit(&file->doubted, left - 1, memory_order_relaxed);
    return left != 0;
}

void crn_derived_will_need(struct crn_derived *file, const void *data, size_t size)
{
    uint64_t first, end, begin;

    if (size == 0 || !find_blocks(file, data, size, &first, &end)) return;
    if (crn_derived_verified(file, data, size)) {
        if (file->map_size < file->memory_half && !is_doubted(file)) return;
        begin = (uint64_t)((const unsigned char *)data - file->map);
        end = begin + size;
    } else { /* to be verified, which reads whole blocks */
        begin = CRN_DERIVED_HEADER_SIZE + first * CRN_DERIVED_BLOCK;
        end = CRN_DERIVED_HEADER_SIZE + end * CRN_DERIVED_BLOCK;
    }
    begin -= begin % (uint64_t)sysconf(_SC_PAGESIZE);
    if (end > file->map_size) end = file->map_size;
    (void)madvise((void *)(file->map + begin), (size_t)(end - begin), MADV_WILLNEED); /* only a hint */
}
