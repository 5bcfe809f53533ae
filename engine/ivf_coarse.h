/*
 * Finding the nearest of many centroids: of all an estimate by 1 bit a dimension (quant/binary.h), of the
 * best by that, about a quarter more than are asked for, their int8 codes. So most of the cost is dim / 8
 * bytes a centroid; what is found lacks now and then one of the farther ones asked for.
 *
 * Used both by searches and by building, where rows are the queries and distances always squared Euclidean.
 */
#ifndef CRN_ENGINE_IVF_COARSE_H
#define CRN_ENGINE_IVF_COARSE_H

#include "base/topk.h"
#include "quant/binary.h"
#include "quant/codec.h"

#include <cairn/status.h>

struct crn_ivf_coarse {
    size_t count;
    struct crn_binary binary;    /* about the mean; borrows rotation and mean */
    struct crn_binary_rows rows; /* 1 bit codes */
    struct crn_scalar_rows fine; /* int8 codes of the centroids less the mean */
    void *memory;                /* where both are */
    size_t memory_bytes;
};

/* A query ready for finding; borrows the memory given to crn_ivf_coarse_prepare. */
struct crn_ivf_coarse_query {
    struct crn_binary_query blocks;
    struct crn_scalar_query fine; /* of the query less the mean for l2, of the query for dot products */
    float fine_add;               /* what its distances lack */
};

/* Room for count centroids. `binary` is about the mean, with the op that distances shall have. Released by
 * crn_ivf_coarse_release, also after failing. NO_MEMORY. */
cairn_status crn_ivf_coarse_init(struct crn_ivf_coarse *coarse, const struct crn_binary *binary, size_t count,
                                 cairn_error *err);
void crn_ivf_coarse_release(struct crn_ivf_coarse *coarse);

/* Encodes the centroids [count][dim], again where there were others. `floats` is [2 * padded] of scratch,
 * aligned to 64 bytes. */
void crn_ivf_coarse_encode(struct crn_ivf_coarse *coarse, const float *centroids, float *floats);

/* Bytes, aligned to 64, that a prepared query wants. */
size_t crn_ivf_coarse_query_bytes(const struct crn_binary *binary);
void crn_ivf_coarse_prepare(const struct crn_binary *binary, const float *query, void *memory,
                            struct crn_ivf_coarse_query *out);

/* Hits of room that finding `wanted` of `count` centroids takes. */
size_t crn_ivf_coarse_hits(size_t count, size_t wanted);

/* The nearest `wanted` (1..count) centroids, nearest first, labels being their numbers, with distances by
 * int8 codes, at hits[0..]. Gives how many there are: fewer where distances are not finite. */
size_t crn_ivf_coarse_find(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                           size_t wanted, struct crn_hit *hits);

/* The nearest of the centroids in some ranges: its number, or 0 where distances are not finite. `hits` as for
 * finding one. */
struct crn_ivf_range {
    uint32_t begin, end;
};
uint32_t crn_ivf_coarse_nearest(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                                const struct crn_ivf_range *ranges, size_t count, struct crn_hit *hits);

#endif
