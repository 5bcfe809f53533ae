/*
 * The parts of the ivf index (index_ivf.c): lists of rows around centroids, as codes of two kinds.
 *
 * Of a row x in the list of centroid c, m being the mean of all rows:
 *
 *   block code   the signs of P (x - c), by RaBitQ (quant/binary.h; Gao and Long, SIGMOD 2024). A query's
 *                tables are made once, of P (q - m), and not of P (q - c) for each list: <y, P (q - c)> =
 *                <y, P (q - m)> - <y, P (c - m)>, and the last term is inside the row's add. So a list
 *                costs a query one constant.
 *   int8 code    of x - m (quant/codec.h)
 *
 * A scan takes lower bounds of distances from the block codes, compares the rows below the limit by their
 * int8 codes, and those left by their vectors.
 *
 * A list of n rows, b = blocks of 32 of them (lookup.h), lies in one piece, a multiple of 64 bytes:
 *
 *   blocks u8 [b][padded / 32 words], add f32 [32 b], scale f32 [32 b], int8: scale f32 [n], norm2 f32 [n],
 *   positions u32 [n], zeros up to a multiple of 64 bytes, int8: codes i8 [n][dim]
 */
#ifndef CRN_ENGINE_IVF_H
#define CRN_ENGINE_IVF_H

#include "base/sieve.h"
#include "engine/index.h"
#include "engine/ivf_coarse.h"
#include "quant/binary.h"
#include "quant/codec.h"

#define CRN_IVF_LISTS_MAX 65536u
#define CRN_IVF_PROBES 16u

/* What was measured when the index was built, k = 10. */
struct crn_ivf_calibration {
    uint32_t queries; /* 0: too few rows, nothing measured */
    float error;      /* standard deviation of int8 distances, see crn_ivf_error_unit */
    uint32_t probes[CRN_IVF_PROBES];
    float recalls[CRN_IVF_PROBES]; /* share of the true neighbours that lie in the nearest probes[i] lists */
};

/* What all codes have in common. */
struct crn_ivf_frame {
    struct crn_binary binary; /* about the mean */
    uint64_t seed;
    void *memory;
};

/* What int8 codes may be off by is proportional to it: |q| for dot products, the distance itself for l2. */
float crn_ivf_error_unit(enum crn_op op, float query_norm2, float raw);

/* A list's parts, borrowed. */
struct crn_ivf_list {
    size_t count;
    uint8_t *blocks;
    float *add, *scale;
    float *fine_scale, *fine_norm2;
    uint32_t *positions;
    int8_t *fine;
};

/* ---- ivf_frame.c ---- */

/* The mean, [dim], is copied. Released by crn_ivf_frame_release, also after failing. */
cairn_status crn_ivf_frame_init(struct crn_ivf_frame *frame, enum crn_op op, uint32_t dim, uint64_t seed,
                                const float *mean, cairn_error *err);
void crn_ivf_frame_release(struct crn_ivf_frame *frame);

/* Bytes of a list of count rows, and its parts from its first byte on. */
size_t crn_ivf_list_bytes(const struct crn_ivf_frame *frame, size_t count);
void crn_ivf_list_at(const struct crn_ivf_frame *frame, size_t count, void *bytes, struct crn_ivf_list *out);

/* Floats, aligned to 64 bytes, that encoding wants. */
size_t crn_ivf_encode_floats(const struct crn_ivf_frame *frame);

/* Encodes the rows at positions[0..count) as a list; memory is crn_ivf_encode_floats. */
void crn_ivf_encode_list(const struct crn_ivf_frame *frame, const float *vectors, const float *centroid,
                         const uint32_t *positions, size_t count, float *memory, uint8_t *out);

/* ---- ivf_build.c ---- */

struct crn_ivf_build {
    const struct crn_index_rows *rows;
    unsigned threads;
    bool rough; /* centroids by a smaller sample in fewer rounds: a fifth of the time */
    bool (*cancelled)(void *ctx);
    void *ctx;
    struct crn_ivf_frame frame;
    uint32_t lists;
    float *centroids;   /* [lists][dim] */
    uint32_t *starts;   /* [lists + 1] of order */
    uint32_t *order;    /* [count] positions, list by list */
    uint32_t *assigned; /* [count] the list of each row */
    struct crn_ivf_calibration calibration;
};

/* lists 0: as many as suit the rows. Memory, besides the vectors: 8 bytes a row, the sample, some tens of
 * MiB. Released by crn_ivf_build_release, also after failing. */
cairn_status crn_ivf_build(struct crn_ivf_build *build, uint32_t lists, cairn_error *err);
/* The same without the calibration: centroids and which rows are in which list. */
cairn_status crn_ivf_divide(struct crn_ivf_build *build, uint32_t lists, cairn_error *err);
void crn_ivf_build_release(struct crn_ivf_build *build);
cairn_status crn_ivf_check_cancelled(const struct crn_ivf_build *build, cairn_error *err);

/* ---- ivf_group.c ---- */

#define CRN_IVF_GROUPS_MAX 512u /* twice the square root of CRN_IVF_LISTS_MAX */

/* Groups of near centroids. */
struct crn_ivf_groups {
    uint32_t count;   /* 0: the centroids are few */
    uint32_t *starts; /* [count + 1] of the centroids, which are sorted by group */
    float *centres;   /* [count][dim] */
    float reach;
    uint32_t lists, dim;
    unsigned threads;
    const float *centroids; /* while they are grouped */
    uint32_t *group;        /* [lists] */
    float *sorted;          /* [lists][dim] */
};

/* Released by crn_ivf_groups_release, also after failing. NO_MEMORY. */
cairn_status crn_ivf_groups_init(struct crn_ivf_groups *groups, uint32_t lists, uint32_t dim,
                                 unsigned threads, cairn_error *err);
void crn_ivf_groups_release(struct crn_ivf_groups *groups);

/* Groups the centroids [lists][dim] and sorts them; does nothing where they are few. The same for any number
 * of threads. */
void crn_ivf_groups_make(struct crn_ivf_groups *groups, float *centroids);

/* The centroids of the groups near a row, the nearest group first. Gives how many ranges: 1 or more. One more
 * may be written to. */
size_t crn_ivf_groups_find(const struct crn_ivf_groups *groups, const float *row,
                           struct crn_ivf_range ranges[CRN_IVF_GROUPS_MAX + 1]);

/* ---- ivf_cluster.c ---- */

struct crn_ivf_clusters; /* what finds the nearest centroid */

/* Clusters a sample [count][dim] into build->lists (at most count) centroids, build->centroids. CANCELLED,
 * NO_MEMORY, UNSUPPORTED. The build lives as long as the clusters. */
cairn_status crn_ivf_cluster(const struct crn_ivf_build *build, const float *sample, size_t count,
                             struct crn_ivf_clusters **out_clusters, cairn_error *err);
/* out[i] = the nearest centroid of row i by l2, as codes tell it. CANCELLED. */
cairn_status crn_ivf_assign(struct crn_ivf_clusters *clusters, const float *rows, size_t count, uint32_t *out,
                            cairn_error *err);
void crn_ivf_clusters_free(struct crn_ivf_clusters *clusters); /* NULL accepted */

/* ---- ivf_calibrate.c ---- */

/* Fills build->calibration. */
cairn_status crn_ivf_calibrate(struct crn_ivf_build *build, cairn_error *err);

/* ---- ivf_file.c ---- */

struct crn_ivf_opened {
    struct crn_derived *file;
    struct crn_ivf_frame frame;
    struct crn_ivf_calibration calibration;
    uint32_t lists;
    float *centroid_norms2;       /* [lists] */
    const uint32_t *starts;       /* [lists + 1], ascending, verified */
    uint64_t *offsets;            /* [lists + 1] of lists in `bytes` */
    const uint8_t *bytes;         /* lists, mapped, verified when they are read */
    struct crn_ivf_coarse coarse; /* of the centroids */
    size_t heap_bytes;
};

/* Encodes the lists and writes all. */
cairn_status crn_ivf_write(const struct crn_ivf_build *build, struct crn_derived_writer *writer,
                           cairn_error *err);

/* CORRUPT: no ivf index over these rows. Released by crn_ivf_close, also after failing. */
cairn_status crn_ivf_open(const struct crn_index_rows *rows, struct crn_derived *file,
                          struct crn_ivf_opened *out, cairn_error *err);
void crn_ivf_close(struct crn_ivf_opened *opened);

/* ---- ivf_scan.c ---- */

/* A query on its way through the lists. */
struct crn_ivf_scan {
    const struct crn_ivf_opened *opened;
    const struct crn_index_rows *rows;
    const struct crn_index_query *query;
    struct crn_ivf_coarse_query prepared; /* its blocks' add and table_base are those of a list */
    float base;                           /* table_base of the query alone */
    float norm2;                          /* of the query */
    struct crn_topk nearest;              /* the k nearest by int8 distances */
    struct crn_sieve kept;                /* what may be among them; labels are positions */
    float limit;                          /* of int8 distances: rows beyond it need not be kept */
    struct crn_ivf_pending *pending;
};

/* Rows of a list that are to be compared by int8 codes: asked for now, compared when the next are known. */
#define CRN_IVF_CHUNK 128u
struct crn_ivf_pending {
    struct crn_ivf_list list;
    uint32_t count;
    uint32_t chosen[CRN_IVF_CHUNK];
};

/* Scans lists[0..count), whose distances are those of crn_ivf_coarse_find, and goes on with the scan's heaps.
 * CORRUPT. */
cairn_status crn_ivf_scan_lists(struct crn_ivf_scan *scan, const struct crn_hit *lists, size_t count,
                                cairn_error *err);

/* Rows whose int8 distance is above it are none of the k nearest. */
float crn_ivf_limit(const struct crn_ivf_scan *scan);

/* ---- ivf_search.c ---- */

struct crn_ivf_scratch {
    void *memory; /* for the index's sizes */
    size_t hits_capacity;
    struct crn_hit *hits; /* [hits_capacity] */
    struct crn_ivf_pending pending;
};

/* Pushes up to k rows into top. Scratch begins as zeros; one search at a time uses it. CORRUPT, NO_MEMORY. */
cairn_status crn_ivf_search(const struct crn_ivf_opened *opened, const struct crn_index_rows *rows,
                            const struct crn_index_query *query, struct crn_ivf_scratch *scratch,
                            struct crn_topk *top, cairn_error *err);
void crn_ivf_scratch_release(struct crn_ivf_scratch *scratch);

#endif
