/* What stands in for FAISS's GPU indexes where the library that was found has none: nothing is asked of it. */
#include "engine/faiss_gpu.h"

#include "base/error.h"

bool crn_faiss_gpu_built(void)
{
    return false;
}

cairn_status crn_faiss_gpu_open(const FaissIndex *index, struct crn_faiss_gpu **out_gpu, cairn_error *err)
{
    (void)index;
    *out_gpu = NULL;
    return crn_error_set(err, CAIRN_UNSUPPORTED, "the FAISS library of this build has no GPU indexes");
}

void crn_faiss_gpu_close(struct crn_faiss_gpu *gpu)
{
    (void)gpu;
}

cairn_status crn_faiss_gpu_search(struct crn_faiss_gpu *gpu, const float *vector, size_t k,
                                  uint32_t *positions, size_t *out_count, cairn_error *err)
{
    (void)gpu;
    (void)vector;
    (void)k;
    (void)positions;
    *out_count = 0;
    return crn_error_set(err, CAIRN_UNSUPPORTED, "the FAISS library of this build has no GPU indexes");
}
