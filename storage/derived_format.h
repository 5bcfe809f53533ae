/*
 * What the writer, the reader and the sweeper of derived files share: the header's bytes, the names in the
 * folder and the system calls. Internal to storage/derived_*.c; derived.h is the door.
 *
 * A file's name in the folder is the caller's name with ".derived" behind it; while it is written it is
 * called
 * "<name>.<16 hex digits>.aside" and its writer holds an OFD write lock on it, so that anybody can tell a
 * file being written from one whose writer died.
 */
#ifndef CRN_STORAGE_DERIVED_FORMAT_H
#define CRN_STORAGE_DERIVED_FORMAT_H

#include "storage/derived.h"

#define CRN_DERIVED_HEADER_SIZE 4096u
#define CRN_DERIVED_ALIGN 4096u
#define CRN_DERIVED_SIZE_MAX (UINT64_C(1) << 46) /* bytes of a file: far above what one machine maps */
#define CRN_DERIVED_NAME_MAX 63u
#define CRN_DERIVED_SUFFIX ".derived"
#define CRN_DERIVED_ASIDE_SUFFIX ".aside"

struct crn_derived_section {
    char tag[4];
    uint64_t offset; /* in the file, a multiple of CRN_DERIVED_ALIGN */
    uint64_t size;   /* bytes, the padding behind it not counted */
};

/* The header, decoded. The section area is [CRN_DERIVED_HEADER_SIZE, table_offset); the table of checksums
 * follows it and ends the file. */
struct crn_derived_layout {
    struct crn_derived_header header;
    uint64_t file_size;
    uint64_t table_offset;
    uint64_t table_hash;
    uint32_t section_count;
    struct crn_derived_section sections[CRN_DERIVED_SECTIONS_MAX];
};

static inline uint64_t crn_derived_align(uint64_t offset)
{
    return (offset + CRN_DERIVED_ALIGN - 1) / CRN_DERIVED_ALIGN * CRN_DERIVED_ALIGN;
}

static inline uint64_t crn_derived_block_count(uint64_t table_offset)
{
    return (table_offset - CRN_DERIVED_HEADER_SIZE + CRN_DERIVED_BLOCK - 1) / CRN_DERIVED_BLOCK;
}

void crn_derived_put_u64(unsigned char *at, uint64_t value); /* little-endian */
uint64_t crn_derived_get_u64(const unsigned char *at);

void crn_derived_encode(const struct crn_derived_layout *layout, unsigned char out[CRN_DERIVED_HEADER_SIZE]);
/* NULL when the header is whole and describes a file of file_size bytes without gap or overlap; else what is
 * wrong. */
const char *crn_derived_decode(const unsigned char bytes[CRN_DERIVED_HEADER_SIZE], uint64_t file_size,
                               struct crn_derived_layout *out_layout);

/* 1..CRN_DERIVED_NAME_MAX letters, digits, '.', '_' and '-', the first of them no dot: names come from the
 * database, and none may lead out of the folder. */
bool crn_derived_name_valid(const char *name, size_t len);
/* folder/name + suffix; NULL without memory; crn_mem_free. */
char *crn_derived_path(const char *folder, const char *name, const char *suffix);

extern struct crn_derived_io crn_derived_system; /* set by crn_derived_set_io, before any thread uses it */

/* Takes the lock that marks a file as being written (F_WRLCK) or asks for it (F_RDLCK). False: somebody has
 * it, or errno. */
bool crn_derived_lock(int fd, short type);

#endif
