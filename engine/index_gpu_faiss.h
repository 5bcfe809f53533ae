/*
 * FAISS's inverted lists on the card: "gpu:IVF<n>" is trained and filled by FAISS ("IVF<n>,Flat"), asked by FAISS which lists are nearest,
 * and its lists are searched by Cairn's kernels. The same lists hold the same rows, so what is found is what FAISS finds. Lists of codes ("IVF<n>,SQ8",
 * "IVF<n>,PQ<m>") lie decoded on the card, 4 bytes a dimension: FAISS too compares a query with what the codes stand for.
 * Where the FAISS library has GPU indexes of its own (faiss_gpu.h) they are used instead.
 */
#ifndef CRN_ENGINE_INDEX_GPU_FAISS_H
#define CRN_ENGINE_INDEX_GPU_FAISS_H

#include "engine/index.h"
#include "gpu/gpu.h"

struct crn_gpu_faiss; /* shared */

/* What of a gpu spec is FAISS's: "IVF100" -> "IVF100,Flat" in `out`. False: nothing. */
bool crn_gpu_faiss_spec(const char *spec, char out[32]);

/* What the faiss backend compares anew for k. */
size_t crn_gpu_faiss_candidates(const struct crn_index *faiss, size_t k);

/* Uploads the lists of an open index of the faiss backend, which must live as long. Freed by crn_gpu_faiss_free. */
cairn_status crn_gpu_faiss_open(struct crn_gpu *gpu, const struct crn_index *faiss,
                                const struct crn_index_rows *rows, struct crn_gpu_faiss **out_lists,
                                cairn_error *err);
void crn_gpu_faiss_free(struct crn_gpu_faiss *lists); /* NULL accepted */
size_t crn_gpu_faiss_device_bytes(const struct crn_gpu_faiss *lists);
size_t crn_gpu_faiss_heap_bytes(const struct crn_gpu_faiss *lists);

/* False: FAISS's own GPU index, which takes no filter and no nprobe, is there instead of the lists. */
bool crn_gpu_faiss_answers(const struct crn_gpu_faiss *lists, const struct crn_index_query *query);

/* positions: [k], the nearest as FAISS would find them; query->k is not looked at. */
cairn_status crn_gpu_faiss_search(const struct crn_gpu_faiss *lists, struct crn_gpu_stream *stream,
                                  const struct crn_index_query *query, size_t k, uint32_t *positions,
                                  size_t *out_count, cairn_error *err);

#endif
