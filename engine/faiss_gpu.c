/* Not run: see faiss_gpu.h. */
#include "engine/faiss_gpu.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/faiss_ext.h"

#include <faiss/c_api/error_c.h>
#include <faiss/c_api/gpu/DeviceUtils_c.h>
#include <faiss/c_api/gpu/GpuAutoTune_c.h>
#include <faiss/c_api/gpu/StandardGpuResources_c.h>
#include <pthread.h>
#include <string.h>

struct crn_faiss_gpu {
    pthread_mutex_t mutex; /* guards searching: FAISS's GPU indexes take one caller at a time */
    FaissStandardGpuResources *resources;
    FaissGpuIndex *index;
};

bool crn_faiss_gpu_built(void)
{
    return true;
}

static cairn_status translate(int code, cairn_error *err)
{
    if (code == OK) return CAIRN_OK;
    const char *message = code == UNKNOWN_EXCEPT ? NULL : faiss_get_last_error();
    if (message == NULL) message = "it failed and did not say why";
    /* What FAISS throws where cudaMalloc fails, and std::bad_alloc. */
    const bool memory = strstr(message, "out of memory") != NULL || strstr(message, "bad_alloc") != NULL;
    return crn_error_set(err, memory ? CAIRN_NO_MEMORY : CAIRN_UNSUPPORTED, "FAISS on a GPU: %s",
                         crn_faiss_words(message));
}

static cairn_status open_parts(const FaissIndex *index, struct crn_faiss_gpu *gpu, cairn_error *err)
{
    int devices = 0;

    CRN_TRY(translate(faiss_get_num_gpus(&devices), err));
    if (devices == 0) return crn_error_set(err, CAIRN_UNSUPPORTED, "FAISS finds no GPU");
    CRN_TRY(translate(faiss_StandardGpuResources_new(&gpu->resources), err));
    return translate(faiss_index_cpu_to_gpu(gpu->resources, 0, index, &gpu->index), err);
}

cairn_status crn_faiss_gpu_open(const FaissIndex *index, struct crn_faiss_gpu **out_gpu, cairn_error *err)
{
    struct crn_faiss_gpu *gpu = crn_mem_calloc(1, sizeof *gpu);

    if (gpu == NULL) return crn_error_no_memory(err, sizeof *gpu);
    pthread_mutex_init(&gpu->mutex, NULL);
    const cairn_status status = open_parts(index, gpu, err);
    if (status != CAIRN_OK) {
        crn_faiss_gpu_close(gpu);
        return status;
    }
    *out_gpu = gpu;
    return CAIRN_OK;
}

void crn_faiss_gpu_close(struct crn_faiss_gpu *gpu)
{
    if (gpu == NULL) return;
    if (gpu->index != NULL) faiss_Index_free(gpu->index);
    if (gpu->resources != NULL) faiss_StandardGpuResources_free(gpu->resources);
    pthread_mutex_destroy(&gpu->mutex);
    crn_mem_free(gpu);
}

cairn_status crn_faiss_gpu_search(struct crn_faiss_gpu *gpu, const float *vector, size_t k,
                                  uint32_t *positions, size_t *out_count, cairn_error *err)
{
    float *distances = crn_mem_array(k, sizeof *distances);
    int64_t *labels = crn_mem_array(k, sizeof *labels);
    cairn_status status;

    *out_count = 0;
    if (distances == NULL || labels == NULL) {
        status = crn_error_no_memory(err, k * (sizeof *distances + sizeof *labels));
    } else {
        pthread_mutex_lock(&gpu->mutex);
        status = translate(faiss_Index_search(gpu->index, 1, vector, (int64_t)k, distances, labels), err);
        pthread_mutex_unlock(&gpu->mutex);
    }
    for (size_t i = 0; status == CAIRN_OK && i < k; i++) {
        if (labels[i] >= 0) positions[(*out_count)++] = (uint32_t)labels[i]; /* -1 behind the last */
    }
    crn_mem_free(distances);
    crn_mem_free(labels);
    return status;
}
