/*
 * FAISS's own GPU indexes, through its C API, where the FAISS library that was found at configure time has them (Debian's has not). Not
 * run: no such library was at hand; it is written by FAISS's headers.
 *
 * That API sets no nprobe and takes no filter, so an index answers with its default number of lists, for queries without a filter.
 */
#ifndef CRN_ENGINE_FAISS_GPU_H
#define CRN_ENGINE_FAISS_GPU_H

#include <cairn/status.h>
#include <faiss/c_api/Index_c.h>
#include <stdbool.h>
#include <stddef.h>

struct crn_faiss_gpu; /* shared: searches wait for each other */

bool crn_faiss_gpu_built(void); /* into this library */

/* A copy of the index on the first GPU. UNSUPPORTED: it is of a kind that FAISS has not there, or there is no GPU. Freed by crn_faiss_gpu_close. */
cairn_status crn_faiss_gpu_open(const FaissIndex *index, struct crn_faiss_gpu **out_gpu, cairn_error *err);
void crn_faiss_gpu_close(struct crn_faiss_gpu *gpu); /* NULL accepted */

/* positions: [k], nearest first. */
cairn_status crn_faiss_gpu_search(struct crn_faiss_gpu *gpu, const float *vector, size_t k,
                                  uint32_t *positions, size_t *out_count, cairn_error *err);

#endif
