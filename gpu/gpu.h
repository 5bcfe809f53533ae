/*
 * Exact nearest neighbours on a GPU: sets of rows in its memory, and searches that never write a matrix of distances.
 *
 * A set holds rows of one codec and metric; a row's label is its number, counted from 0 as rows were appended. What does not fit
 * into the card's memory is kept in the host's and brought over in tiles for each search. A search gives, for each
 * query of a batch, the k nearest rows, nearest first, ties by label; their distances are raw ones as in quant/: minus
 * the dot product (minus the cosine), or squared L2.
 *
 *   CRN_GPU_F32  as they are. Results are exact in f32 arithmetic; tensor cores only choose candidates (TF32), whose distances are
 *                computed anew, and what could have been missed is searched again.
 *   CRN_GPU_F16  rows and queries rounded to halves (magnitudes up to 65504); exact for these.
 *   CRN_GPU_I8   rows and queries as int8 with a step each; sums are exact.
 *   CRN_GPU_B1   the signs of rows and queries with a mean size each (cosine: without): distances by differing bits.
 *
 * With the last two, ask for more than k and compare the candidates with the full vectors.
 *
 * Threads: a device is shared. A set is shared for searches; append and delete need it alone. A stream is exclusive.
 * Failures: NO_MEMORY (host or card), IO (the device failed; nothing of it can be relied on), INVALID_ARGUMENT, UNSUPPORTED,
 * INVALID_VECTOR. A failed append leaves the set as it was.
 */
#ifndef CRN_GPU_GPU_H
#define CRN_GPU_GPU_H

#include "gpu/driver.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CRN_GPU_K_MAX 2048u
#define CRN_GPU_NONE UINT32_MAX /* the label where there are fewer rows than k; its distance is +inf */

enum crn_gpu_codec { CRN_GPU_F32, CRN_GPU_F16, CRN_GPU_I8, CRN_GPU_B1 };
enum crn_gpu_metric { CRN_GPU_COSINE, CRN_GPU_L2, CRN_GPU_DOT };

/* ---- devices ---- */

struct crn_gpu; /* a device with its kernels */

/* Freed by crn_gpu_close. driver: crn_gpu_driver_cuda(). */
cairn_status crn_gpu_open(const struct crn_gpu_driver *driver, unsigned device, struct crn_gpu **out_gpu,
                          cairn_error *err);
void crn_gpu_close(struct crn_gpu *gpu); /* after its sets and streams; NULL accepted */
const struct crn_gpu_device_info *crn_gpu_info(const struct crn_gpu *gpu);

/* ---- sets ---- */

struct crn_gpu_set;

struct crn_gpu_set_options {
    enum crn_gpu_codec codec;
    enum crn_gpu_metric metric;
    uint32_t dim;
    size_t reserve_rows; /* room made at once: rows in one piece are searched fastest */
    size_t device_bytes; /* most that rows may take on the card; 0: nine tenths of what is free */
    size_t tile_bytes;   /* of rows that stay on the host, brought over at a time; 0: 256 MiB */
    bool device_only;    /* rows that do not fit are NO_MEMORY instead of staying on the host */
    float step;          /* I8: one step for all rows and queries; 0: each its own */
};

cairn_status crn_gpu_set_create(struct crn_gpu *gpu, const struct crn_gpu_set_options *options,
                                struct crn_gpu_set **out_set, cairn_error *err);
void crn_gpu_set_free(struct crn_gpu_set *set); /* NULL accepted */
/* vectors: [count][dim]; encoded here. INVALID_VECTOR: a NaN or an infinity, or beyond the codec's range. */
cairn_status crn_gpu_set_append(struct crn_gpu_set *set, const float *vectors, size_t count,
                                cairn_error *err);
/* Rows that are not found any more; labels stay as they are. */
cairn_status crn_gpu_set_delete(struct crn_gpu_set *set, const uint32_t *labels, size_t count,
                                cairn_error *err);
/* Benchmarks: appends made-up rows, written by the card itself. With I8 the set's step must be given. */
cairn_status crn_gpu_set_append_made_up(struct crn_gpu_set *set, size_t count, uint32_t seed,
                                        cairn_error *err);
size_t crn_gpu_set_count(const struct crn_gpu_set *set); /* deleted ones included */
size_t crn_gpu_set_device_bytes(const struct crn_gpu_set *set);
size_t crn_gpu_set_host_bytes(const struct crn_gpu_set *set);

/* ---- searches ---- */

struct crn_gpu_stream; /* order, and memory that is used again from search to search */
cairn_status crn_gpu_stream_create(struct crn_gpu *gpu, struct crn_gpu_stream **out_stream, cairn_error *err);
void crn_gpu_stream_free(struct crn_gpu_stream *stream); /* NULL accepted */

enum crn_gpu_path { /* which kernels */
                    CRN_GPU_PATH_AUTO,
                    CRN_GPU_PATH_NARROW, /* few queries: no tensor cores */
                    CRN_GPU_PATH_TILE,   /* tensor cores */
                    CRN_GPU_PATH_HOPPER, /* tensor cores of 9.0, not for 1-bit rows; what cannot use them takes TILE */
};

struct crn_gpu_query {
    const float *vectors;  /* [batch][dim] */
    size_t batch;          /* 1 or more; memory is used for up to 4096 at a time */
    size_t k;              /* 1..CRN_GPU_K_MAX */
    const uint64_t *allow; /* bit l: label l may be found, of all the set's rows; NULL: all */
    bool allow_each;       /* one such bitmap for each query, one after the other, each of whole words */
    enum crn_gpu_path path;
};

/* out_distances and out_labels: [batch][k]. */
cairn_status crn_gpu_search(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                            const struct crn_gpu_query *query, float *out_distances, uint32_t *out_labels,
                            cairn_error *err);

/*
 * Only the rows of some lists for each query (an inverted file): list l is rows offsets[l]..offsets[l + 1] - 1, appended in
 * this order. Lists are gone through one by one for all queries that ask for them, so that each is read once for many.
 * probes: [batch][probe_count] lists, nearest first, each at most once a query; CRN_GPU_NONE: none. The set must be on the card.
 */
struct crn_gpu_lists {
    const uint32_t *offsets; /* [count + 1] */
    uint32_t count;
    const uint32_t *probes;
    uint32_t probe_count;
};
cairn_status crn_gpu_search_lists(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                  const struct crn_gpu_query *query, const struct crn_gpu_lists *lists,
                                  float *out_distances, uint32_t *out_labels, cairn_error *err);

/* The k nearest other rows of some rows, whose labels and vectors are given: a k-nearest-neighbour graph, part by part.
 * query: k up to CRN_GPU_K_MAX - 1, one bitmap for all; rows: [batch] labels; the outputs are [batch][k]. */
cairn_status crn_gpu_neighbours(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                const struct crn_gpu_query *query, const uint32_t *rows, float *out_distances,
                                uint32_t *out_labels, cairn_error *err);

/* Benchmarks: runs the last search of the stream's kernels again, `repeats` times, and gives each one's milliseconds. */
struct crn_gpu_timing {
    float *ms; /* [repeats] */
    size_t repeats;
};
cairn_status crn_gpu_search_timed(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                  const struct crn_gpu_query *query, const struct crn_gpu_timing *timing,
                                  float *out_distances, uint32_t *out_labels, cairn_error *err);

#ifdef __cplusplus
}
#endif

#endif
