/*
 * What FAISS's C API lacks, in C: searches that take a filter and parameters, and HNSW graphs over rows that FAISS does
 * not hold. No exception leaves: NO_MEMORY for a failed allocation, UNSUPPORTED with FAISS's own words for all else.
 * But inside FAISS's parallel regions (training, adding, some searches) a failed allocation ends the process, because
 * no exception may leave an OpenMP region. Nothing of an HNSW graph runs in one.
 *
 * The functions of FAISS's C API itself come from libfaiss_c or, where there is none, from faiss_c.cpp.
 */
#ifndef CRN_ENGINE_FAISS_EXT_H
#define CRN_ENGINE_FAISS_EXT_H

#include "engine/hnsw.h"

#include <faiss/c_api/Index_c.h>

/* ---- any index ---- */

struct crn_faiss_traits {
    bool searchable;      /* by position and with a filter; false for what Cairn does not know */
    bool exact;           /* it ranks by the rows' distances, not by those of codes */
    size_t train_least;   /* rows; 0: it is not trained, or not by k-means */
    size_t train_most;    /* rows; more do not make it better */
    size_t bytes_per_row; /* of what add() stores, about */
};

/* Sets its default parameters of search, too. */
cairn_status crn_faiss_prepare(FaissIndex *index, struct crn_faiss_traits *out_traits, cairn_error *err);

/* Up to `wanted` allowed positions, the nearest as the index sees them, in no order; at least k where the index can find
 * so many. positions: [wanted]. Shared. */
cairn_status crn_faiss_search(const FaissIndex *index, const struct crn_index_query *query, size_t wanted,
                              uint32_t *positions, size_t *out_count, cairn_error *err);

/* From now on FAISS asks `cancelled` when it trains on this thread, and fails when it says true. NULL: no more. */
void crn_faiss_ask(bool (*cancelled)(void *ctx), void *ctx);

/* What FAISS says is wrong, without the place in its sources. Points into `message`. */
const char *crn_faiss_words(const char *message);

/* ---- inverted lists ("IVF<n>,Flat", "IVF<n>,SQ8", "IVF<n>,PQ<m>"; faiss_lists.cpp) ---- */

size_t crn_faiss_list_count(const FaissIndex *index); /* 0: the index is of another kind */
size_t crn_faiss_list_size(const FaissIndex *index, size_t list);
bool crn_faiss_lists_exact(const FaissIndex *index); /* of whole vectors, not of codes */
/* vectors: [size][dim], decoded where lists keep codes: FAISS compares with these. positions: [size]. */
cairn_status crn_faiss_list_copy(const FaissIndex *index, size_t list, float *vectors, uint32_t *positions,
                                 cairn_error *err);
/* The lists that crn_faiss_search would read for a vector when a share of all rows is allowed, nearest first. lists: [list count].
 * nprobe 0: the index's default. Shared. */
cairn_status crn_faiss_probe(const FaissIndex *index, const float *vector, uint32_t nprobe, double share,
                             uint32_t *lists, uint32_t *out_count, cairn_error *err);

/* FAISS's own index of an open index of the faiss backend; NULL: it is Cairn's graph. */
const FaissIndex *crn_index_faiss_of(const struct crn_index *index);

/* ---- graphs ---- */

struct crn_faiss_hnsw;

/* Keeps nothing of rows. Runs on `threads` threads; cancelled is asked on the caller's. */
cairn_status crn_faiss_hnsw_build(const struct crn_index_rows *rows, uint32_t m, unsigned threads,
                                  bool (*cancelled)(void *ctx), void *ctx, struct crn_faiss_hnsw **out_graph,
                                  cairn_error *err);
void crn_faiss_hnsw_get(const struct crn_faiss_hnsw *graph,
                        struct crn_hnsw_source *out_source); /* borrowed */
void crn_faiss_hnsw_free(struct crn_faiss_hnsw *graph);      /* NULL accepted */

#endif
