/*
 * Segments: immutable files that hold rows of one vector space. A space is its segments, oldest first, and
 * a tail. A row (a local) may stand in several; the newest one counts: each segment masks, in every older one, the
 * locals it holds and the locals it kills (rows deleted since the segment before it was written).
 *
 * Sections: HEAD (counts), LOCL u32 [n] ascending, KILL u32 [m] ascending, IDOF u64 [n+1] and IDBY (encoded ids),
 * VECT f32 [n][dim] (normalised for cosine), and with quantization what its codec keeps (codec.h): MODL, CODE, and f32 [n] for each
 * factor of a row.
 * The small sections are verified when a segment is opened; vectors and codes, and the ids, when they are first used.
 *
 * An approximate index over a segment's rows is a derived file of its own, so that it can come later.
 */
#ifndef CRN_ENGINE_SEGMENT_H
#define CRN_ENGINE_SEGMENT_H

#include "engine/codec.h"
#include "engine/index.h"
#include "engine/segment_card.h"
#include "storage/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct crn_segment {
    _Atomic uint32_t references;
    struct crn_segment_entry entry;
    struct crn_segment
        *lender; /* whose mapping this one uses: the same file with another index; NULL: its own */
    const struct crn_log *log;
    struct crn_derived *file;
    uint32_t count;
    uint32_t dim;
    uint32_t kill_count;
    uint32_t mark;              /* of the codec it was written with */
    const uint32_t *locals;     /* [count] ascending */
    const uint32_t *kills;      /* [kill_count] ascending */
    const uint64_t *id_offsets; /* [count + 1] */
    const char *id_bytes;
    size_t id_size;
    const float *vectors;          /* [count][dim] */
    const struct crn_codec *codec; /* NULL: no quantization */
    const uint8_t *codes;
    const float *factors[CRN_CODEC_FACTORS_MAX]; /* [count] each */
    void *codec_state;                           /* made of the model by the codec; freed with the segment */

    /* The index, opened when scanning has cost as much as opening would (see crn_segment_index). */
    const struct crn_index_ops *index_ops; /* NULL: none */
    struct crn_derived *index_file;
    const char *index_spec;
    enum crn_op op;
    uint32_t open_cost; /* scanned bytes for each of the index's, after which a search opens it */
    _Atomic(struct crn_index *) index;
    _Atomic uint64_t scanned_bytes;
    _Atomic bool index_failed;
    bool copy;                   /* the index is copied into memory of its own */
    pthread_mutex_t index_mutex; /* guards opening, and uploading */
    struct crn_segment_card card;
};

struct crn_segment_context { /* what a segment file must agree with */
    const char *folder;
    unsigned char uuid[16];
    const struct crn_space *space; /* lives as long as the segment */
    enum crn_op op;
    const struct crn_log *log;
    bool copy; /* indexes are copied into memory of their own */
    bool
        patient; /* somebody else opens indexes (crn_segment_open_index): searches do it only after scanning very much */
};

/* Opens a segment of the space; one reference. CORRUPT, NO_FILE: it cannot be used. A damaged index file only
 * means a segment without index (index_failed is set, so that maintenance builds it anew). */
cairn_status crn_segment_open(const struct crn_segment_context *context,
                              const struct crn_segment_entry *entry, struct crn_segment **out_segment,
                              cairn_error *err);
/* The same segment, open already, under an entry that names another index: file, mapping and what of it is verified are shared. */
cairn_status crn_segment_reopen(const struct crn_segment_context *context, struct crn_segment *lender,
                                const struct crn_segment_entry *entry, struct crn_segment **out_segment,
                                cairn_error *err);
void crn_segment_retain(struct crn_segment *segment);
void crn_segment_release(struct crn_segment *segment); /* NULL accepted */

/* The position of a local, or -1. */
int64_t crn_segment_find(const struct crn_segment *segment, uint32_t local);

/* The encoded id at a position, verified. CORRUPT. */
cairn_status crn_segment_id(const struct crn_segment *segment, uint32_t position, const char **out_id,
                            cairn_error *err);

/*
 * The segment's index when it is open. Opening one may read its whole file, so it is put off until scans have read as
 * many bytes as opening would: a program that asks one question never waits for it. `about_to_scan` is what
 * the caller would read instead.
 */
struct crn_index *crn_segment_index(struct crn_segment *segment, uint64_t about_to_scan);

/* Opens the index now, if there is one that is not open and can be. For maintenance: it may take long. */
void crn_segment_open_index(struct crn_segment *segment);

/* Reads and verifies what searches will read, so that none of them has to. CORRUPT. */
cairn_status crn_segment_warm(struct crn_segment *segment, cairn_error *err);

/* The index was found damaged while it was searched: it is not used again, and maintenance builds it anew. */
void crn_segment_distrust_index(struct crn_segment *segment, const char *why);

/* One row to write: where it lies is told by the caller's functions. */
struct crn_segment_row {
    uint32_t local;
    uint32_t source; /* the caller's */
    uint32_t position;
};
struct crn_segment_source {
    const void *ctx;
    cairn_status (*vector)(const void *ctx, const struct crn_segment_row *row, const float **out_vector,
                           cairn_error *err);
    cairn_status (*id)(const void *ctx, const struct crn_segment_row *row, const char **out_id,
                       cairn_error *err);
};

/* Writes a segment file with the rows (ascending by local) and kills (ascending); fills out_entry. */
cairn_status crn_segment_write(const struct crn_segment_context *context,
                               const struct crn_segment_source *source, const struct crn_segment_row *rows,
                               uint32_t count, const uint32_t *kills, uint32_t kill_count, uint64_t sequence,
                               struct crn_segment_entry *out_entry, cairn_error *err);

/* Writes an index over an open segment into a file of its own; fills out_file (a name). `fill` writes its sections. */
struct crn_segment_index_source {
    const void *ctx;
    cairn_status (*fill)(const void *ctx, const struct crn_index_rows *rows,
                         struct crn_derived_writer *writer, cairn_error *err);
};
cairn_status crn_segment_write_index(const struct crn_segment_context *context,
                                     const struct crn_segment *segment, const struct crn_index_ops *ops,
                                     const struct crn_segment_index_source *source, char out_file[64],
                                     cairn_error *err);

/* Builds one. */
cairn_status crn_segment_build_index(const struct crn_segment_context *context,
                                     const struct crn_segment *segment, const struct crn_index_ops *ops,
                                     const char *spec, unsigned threads, bool (*cancelled)(void *ctx),
                                     void *ctx, char out_file[64], cairn_error *err);

#endif
