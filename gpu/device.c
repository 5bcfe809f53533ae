/* Devices and streams. */
#include "gpu/internal.h"

#include "base/error.h"
#include "base/mem.h"

cairn_status crn_gpu_open(const struct crn_gpu_driver *driver, unsigned device, struct crn_gpu **out_gpu,
                          cairn_error *err)
{
    const char *why = "";
    const unsigned count = driver->device_count(&why);

    if (count == 0) return crn_error_set(err, CAIRN_UNSUPPORTED, "no GPU: %s", why);
    if (device >= count) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "GPU %u of %u", device, count);
    struct crn_gpu *gpu = crn_mem_calloc(1, sizeof *gpu);
    if (gpu == NULL) return crn_error_no_memory(err, sizeof *gpu);
    gpu->driver = driver;
    const cairn_status status = driver->open(device, &gpu->device, &gpu->info, err);
    if (status != CAIRN_OK) {
        crn_mem_free(gpu);
        return status;
    }
    *out_gpu = gpu;
    return CAIRN_OK;
}

void crn_gpu_close(struct crn_gpu *gpu)
{
    if (gpu == NULL) return;
    gpu->driver->close(gpu->device);
    crn_mem_free(gpu);
}

const struct crn_gpu_device_info *crn_gpu_info(const struct crn_gpu *gpu)
{
    return &gpu->info;
}

static cairn_status create_parts(struct crn_gpu_stream *stream, cairn_error *err)
{
    const struct crn_gpu_driver *driver = stream->gpu->driver;
    struct crn_gpu_event **events[] = {&stream->ready[0], &stream->ready[1], &stream->used[0],
                                       &stream->used[1],  &stream->begin,    &stream->end};

    CRN_TRY(driver->queue_create(stream->gpu->device, &stream->queue, err));
    CRN_TRY(driver->queue_create(stream->gpu->device, &stream->copies, err));
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        CRN_TRY(driver->event_create(stream->gpu->device, events[i], err));
    return CAIRN_OK;
}

cairn_status crn_gpu_stream_create(struct crn_gpu *gpu, struct crn_gpu_stream **out_stream, cairn_error *err)
{
    struct crn_gpu_stream *stream = crn_mem_calloc(1, sizeof *stream);

    if (stream == NULL) return crn_error_no_memory(err, sizeof *stream);
    stream->gpu = gpu;
    const cairn_status status = create_parts(stream, err);
    if (status != CAIRN_OK) {
        crn_gpu_stream_free(stream);
        return status;
    }
    *out_stream = stream;
    return CAIRN_OK;
}

void crn_gpu_stream_free(struct crn_gpu_stream *stream)
{
    if (stream == NULL) return;
    const struct crn_gpu_driver *driver = stream->gpu->driver;
    struct crn_gpu_event *const events[] = {stream->ready[0], stream->ready[1], stream->used[0],
                                            stream->used[1],  stream->begin,    stream->end};
    driver->queue_free(stream->queue);
    driver->queue_free(stream->copies);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) driver->event_free(events[i]);
    driver->free(stream->gpu->device, stream->memory);
    for (unsigned i = 0; i < 2; i++) driver->free(stream->gpu->device, stream->staging[i]);
    crn_mem_free(stream);
}
