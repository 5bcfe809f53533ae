/*
 * The header of a derived file, to bytes and back. Decoding trusts nothing: the hash first, then every number
 * against the size the file really has.
 */
#include "storage/derived_format.h"

#include "base/hash.h"

#include <string.h>

static const char magic[8] = {'C', 'R', 'N', 'D', 'E', 'R', 'I', 'V'};

/* Where the header's fields are. What lies between the section table and the hash is zero. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_SPACE = 12,
    AT_KIND = 16,
    AT_UUID = 24,
    AT_SEQUENCE = 40,
    AT_FILE_SIZE = 48,
    AT_TABLE_OFFSET = 56,
    AT_TABLE_HASH = 64,
    AT_SECTION_COUNT = 72,
    AT_SECTIONS = 80, /* of SECTION_SIZE each: tag, four zero bytes, offset, size */
    SECTION_SIZE = 24,
    AT_HEADER_HASH = CRN_DERIVED_HEADER_SIZE - 8,
};

static void put_u32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void crn_derived_put_u64(unsigned char *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

uint64_t crn_derived_get_u64(const unsigned char *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

void crn_derived_encode(const struct crn_derived_layout *layout, unsigned char out[CRN_DERIVED_HEADER_SIZE])
{
    memset(out, 0, CRN_DERIVED_HEADER_SIZE);
    memcpy(out + AT_MAGIC, magic, sizeof(magic));
    put_u32(out + AT_FORMAT, CRN_DERIVED_FORMAT);
    put_u32(out + AT_SPACE, layout->header.space);
    memcpy(out + AT_KIND, layout->header.kind, sizeof(layout->header.kind));
    memcpy(out + AT_UUID, layout->header.uuid, sizeof(layout->header.uuid));
    crn_derived_put_u64(out + AT_SEQUENCE, layout->header.sequence);
    crn_derived_put_u64(out + AT_FILE_SIZE, layout->file_size);
    crn_derived_put_u64(out + AT_TABLE_OFFSET, layout->table_offset);
    crn_derived_put_u64(out + AT_TABLE_HASH, layout->table_hash);
    put_u32(out + AT_SECTION_COUNT, layout->section_count);
    for (uint32_t i = 0; i < layout->section_count; i++) {
        unsigned char *at = out + AT_SECTIONS + i * SECTION_SIZE;
        memcpy(at, layout->sections[i].tag, sizeof(layout->sections[i].tag));
        crn_derived_put_u64(at + 8, layout->sections[i].offset);
        crn_derived_put_u64(at + 16, layout->sections[i].size);
    }
    crn_derived_put_u64(out + AT_HEADER_HASH, crn_hash64(out, AT_HEADER_HASH, 0));
}

/* Each section begins where the padding of the one before ends; the table of checksums closes the file. */
static const char *check_sizes(const struct crn_derived_layout *layout)
{
    uint64_t end = CRN_DERIVED_HEADER_SIZE;

    for (uint32_t i = 0; i < layout->section_count; i++) {
        const struct crn_derived_section *section = &layout->sections[i];

        if (section->offset != end) return "a section is not where it should be";
        if (end > layout->file_size || section->size > layout->file_size - end)
            return "a section leaves the file";
        end = crn_derived_align(end + section->size);
    }
    if (layout->table_offset != end || end > layout->file_size)
        return "the table of checksums is not where it should be";
    if (layout->file_size - end != crn_derived_block_count(end) * 8)
        return "the table of checksums has a wrong size";
    return NULL;
}

const char *crn_derived_decode(const unsigned char bytes[CRN_DERIVED_HEADER_SIZE], uint64_t file_size,
                               struct crn_derived_layout *out_layout)
{
    struct crn_derived_layout *layout = out_layout;

    if (memcmp(bytes + AT_MAGIC, magic, sizeof(magic)) != 0) return "it is no derived file";
    if (crn_derived_get_u64(bytes + AT_HEADER_HASH) != crn_hash64(bytes, AT_HEADER_HASH, 0))
        return "the header does not match its checksum";
    if (get_u32(bytes + AT_FORMAT) != CRN_DERIVED_FORMAT) return "its format version is another";
    memset(layout, 0, sizeof(*layout));
    layout->header.space = get_u32(bytes + AT_SPACE);
    memcpy(layout->header.kind, bytes + AT_KIND, sizeof(layout->header.kind));
    memcpy(layout->header.uuid, bytes + AT_UUID, sizeof(layout->header.uuid));
    layout->header.sequence = crn_derived_get_u64(bytes + AT_SEQUENCE);
    layout->file_size = crn_derived_get_u64(bytes + AT_FILE_SIZE);
    layout->table_offset = crn_derived_get_u64(bytes + AT_TABLE_OFFSET);
    layout->table_hash = crn_derived_get_u64(bytes + AT_TABLE_HASH);
    layout->section_count = get_u32(bytes + AT_SECTION_COUNT);
    if (layout->file_size != file_size || file_size > CRN_DERIVED_SIZE_MAX)
        return "its size is not the recorded one";
    if (layout->section_count > CRN_DERIVED_SECTIONS_MAX) return "it has too many sections";
    for (uint32_t i = 0; i < layout->section_count; i++) {
        const unsigned char *at = bytes + AT_SECTIONS + i * SECTION_SIZE;
        memcpy(layout->sections[i].tag, at, sizeof(layout->sections[i].tag));
        layout->sections[i].offset = crn_derived_get_u64(at + 8);
        layout->sections[i].size = crn_derived_get_u64(at + 16);
    }
    return check_sizes(layout);
}
