/*
 * Derived files: immutable containers of named sections, each byte under a checksum. Segments and indexes are
 * kept in them. Written aside, fsynced, renamed, the folder fsynced; never changed or truncated afterwards.
 * Nothing in one is trusted before its block was verified, and every length is checked before it is used:
 * each byte counts as hostile.
 *
 * Layout (little-endian, written field by field): a header of 4096 bytes (magic, format version, kind,
 * database uuid, space, sequence, file size, section table, XXH3 of the table of block checksums, XXH3 of the
 * header); sections, each starting at a multiple of 4096; the table of block checksums, one XXH3 for each 64
 * KiB of the section area.
 *
 * Names: 1..63 letters, digits, '.', '_' and '-', the first no dot. In the folder ".derived" follows.
 */
#ifndef CRN_STORAGE_DERIVED_H
#define CRN_STORAGE_DERIVED_H

#include <cairn/db.h>
#include <string.h>

#define CRN_DERIVED_FORMAT 1
#define CRN_DERIVED_BLOCK 65536u
#define CRN_DERIVED_SECTIONS_MAX 32u

struct crn_derived_header {
    char kind[8]; /* "segment", "faiss" */
    unsigned char uuid[16];
    uint32_t space;
    uint64_t sequence;
};

/* Floats among the words of a section. */
static inline uint32_t crn_derived_word(float value)
{
    uint32_t word;

    memcpy(&word, &value, sizeof word);
    return word;
}

static inline float crn_derived_float(uint32_t word)
{
    float value;

    memcpy(&value, &word, sizeof value);
    return value;
}

/* ---- writing: sections in order, any amounts ---- */
struct crn_derived_writer;
cairn_status crn_derived_create(const char *folder, const char *name, const struct crn_derived_header *header,
                                struct crn_derived_writer **out_writer, cairn_error *err);
/* Begins a section. */
cairn_status crn_derived_section(struct crn_derived_writer *writer, const char tag[4], cairn_error *err);
cairn_status crn_derived_write(struct crn_derived_writer *writer, const void *data, size_t size,
                               cairn_error *err);
/* A whole section. */
cairn_status crn_derived_put(struct crn_derived_writer *writer, const char tag[4], const void *data,
                             size_t size, cairn_error *err);
/* Makes the file appear under its name, durable. The writer is freed; on failure nothing appears. */
cairn_status crn_derived_commit(struct crn_derived_writer *writer, cairn_error *err);
void crn_derived_abort(struct crn_derived_writer *writer); /* NULL accepted */

/* ---- reading: mapped ---- */
struct crn_derived; /* shared; reference-counted by its user */
/* Opens and checks header, sizes, section table and the table of checksums. `expect` (kind, uuid, space)
 * must agree: CORRUPT otherwise; NO_FILE. */
cairn_status crn_derived_open(const char *folder, const char *name, const struct crn_derived_header *expect,
                              struct crn_derived **out_file, cairn_error *err);
void crn_derived_close(struct crn_derived *file);
uint64_t crn_derived_sequence(const struct crn_derived *file);
uint64_t crn_derived_size(const struct crn_derived *file);

/* A section's bytes, mapped, not verified yet. NULL (size 0) when it is not there. */
const void *crn_derived_get(const struct crn_derived *file, const char tag[4], size_t *out_size);

/* A section that must be there with exactly `size` bytes, which are verified when that is asked. CORRUPT tells that `what`
 * ("the graph") is damaged. */
cairn_status crn_derived_need(struct crn_derived *file, const char *what, const char tag[4], size_t size,
                              bool verified, const void **out_data, cairn_error *err);

/* Verifies the blocks that hold [data, data+size), which must lie inside the file's sections; each block
 * only once (an atomic bitmap remembers), so that it costs next to nothing later. CORRUPT names file and
 * block. */
cairn_status crn_derived_verify(struct crn_derived *file, const void *data, size_t size, cairn_error *err);
/* All that was verified counts no more, and everything is read again. For cairn_verify. */
cairn_status crn_derived_verify_all(struct crn_derived *file, cairn_error *err);
/* True when all blocks of the section are verified already: lets a scan skip the call for each block. */
bool crn_derived_verified(const struct crn_derived *file, const void *data, size_t size);

/* Has been read whole, and may not be for a while: its memory counts no more as this process's. What is read
 * again comes back without being verified anew. */
void crn_derived_not_needed(struct crn_derived *file);

/* About to read [data, data+size): asks the system to fetch what may not be in memory yet, without waiting, so
 * that a disk serves many such requests at once. What was verified counts as being in memory, unless the file
 * is larger than half of the machine's or reading was slow a while ago. */
void crn_derived_will_need(struct crn_derived *file, const void *data, size_t size);
/* Reading what was verified took as long as if the system had given the memory to others: the next `calls` of
 * crn_derived_will_need ask for all. Without that a fault reads as much as the disk's readahead. */
void crn_derived_was_slow(struct crn_derived *file, uint32_t calls);

/* Removes leftovers: derived files whose name (as given to crn_derived_create) `keep` does not want, and
 * aside files of writers that died. A file being written, by whatever process, is locked and stays. A file
 * just committed is one like others: the caller keeps its writers from running meanwhile, or its `keep`
 * knows their names. */
cairn_status crn_derived_sweep(const char *folder, bool (*keep)(void *ctx, const char *name), void *ctx,
                               cairn_error *err);

/* Seam for fault tests: NULL = the system's. Each may fail by errno. */
struct crn_derived_io {
    long (*write)(int fd, const void *data, size_t size);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*open)(const char *path, int flags, int mode);
    void *(*map)(size_t size, int fd);
};
void crn_derived_set_io(const struct crn_derived_io *io);

#endif
