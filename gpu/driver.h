/*
 * What a GPU does for the rest of this room, as a table: libcuda's (driver_cuda.c), or none, or a simulated one for tests
 * (simulate/). Nothing else calls CUDA. Pointers to device memory are plain pointers that the host must not follow.
 *
 * All functions may be called from any thread; a stream is used by one at a time. Work in one stream runs in order.
 * Failures: NO_MEMORY, or IO with the device's own words.
 */
#ifndef CRN_GPU_DRIVER_H
#define CRN_GPU_DRIVER_H

#include "gpu/kernels/args.h"
#include "gpu/kernels/list.h"

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum crn_gpu_kernel {
#define CRN_GPU_KERNEL_ID(name, args, body, threads) CRN_GPU_##name,
    CRN_GPU_KERNELS(CRN_GPU_KERNEL_ID)
#undef CRN_GPU_KERNEL_ID
        CRN_GPU_KERNEL_COUNT
};

struct crn_gpu_device;
struct crn_gpu_queue; /* a stream of the driver's */
struct crn_gpu_event;

struct crn_gpu_device_info {
    char name[80];
    unsigned multiprocessors;
    unsigned capability; /* 90 for 9.0 */
    size_t memory_bytes;
    size_t shared_bytes; /* that a block may use */
    size_t l2_bytes;
};

struct crn_gpu_driver {
    const char *name;                                    /* "cuda", "none", "simulated" */
    unsigned (*device_count)(const char **out_why_none); /* *out_why_none: set when 0 */
    cairn_status (*open)(unsigned device, struct crn_gpu_device **out_device,
                         struct crn_gpu_device_info *out_info, cairn_error *err);
    void (*close)(struct crn_gpu_device *device); /* after all else of it was freed; NULL accepted */
    cairn_status (*free_memory)(struct crn_gpu_device *device, size_t *out_bytes, cairn_error *err);

    cairn_status (*alloc)(struct crn_gpu_device *device, size_t size_bytes, void **out,
                          cairn_error *err);                   /* 256-byte aligned */
    void (*free)(struct crn_gpu_device *device, void *memory); /* NULL accepted */
    /* Host memory that copies read at full speed, and asynchronously. */
    cairn_status (*host_alloc)(struct crn_gpu_device *device, size_t size_bytes, void **out,
                               cairn_error *err);
    void (*host_free)(struct crn_gpu_device *device, void *memory);

    cairn_status (*queue_create)(struct crn_gpu_device *device, struct crn_gpu_queue **out, cairn_error *err);
    void (*queue_free)(struct crn_gpu_queue *queue); /* waits for it; NULL accepted */
    cairn_status (*queue_wait)(struct crn_gpu_queue *queue, cairn_error *err);
    cairn_status (*event_create)(struct crn_gpu_device *device, struct crn_gpu_event **out, cairn_error *err);
    void (*event_free)(struct crn_gpu_event *event);
    cairn_status (*event_record)(struct crn_gpu_queue *queue, struct crn_gpu_event *event, cairn_error *err);
    /* What follows in the queue waits for the event's last record, if there was one. */
    cairn_status (*event_await)(struct crn_gpu_queue *queue, struct crn_gpu_event *event, cairn_error *err);
    /* Milliseconds between two events, both over. */
    cairn_status (*event_elapsed)(struct crn_gpu_event *from, struct crn_gpu_event *to, float *out_ms,
                                  cairn_error *err);

    /* The host's side must live, unchanged, until the queue was waited for. */
    cairn_status (*upload)(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                           cairn_error *err);
    cairn_status (*download)(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                             cairn_error *err);
    cairn_status (*copy)(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                         cairn_error *err);
    cairn_status (*fill)(struct crn_gpu_queue *queue, void *to, unsigned char byte, size_t size_bytes,
                         cairn_error *err);
    /* args: the kernel's struct, copied. */
    cairn_status (*launch)(struct crn_gpu_queue *queue, enum crn_gpu_kernel kernel, unsigned blocks,
                           size_t shared_bytes, const void *args, cairn_error *err);
    /* matrix: [rows][pitch], read in boxes of box_rows rows and CRN_GPU_BLOCK_BYTES. UNSUPPORTED where there is no such thing. */
    cairn_status (*map)(struct crn_gpu_device *device, const void *matrix, size_t rows, uint32_t pitch,
                        uint32_t box_rows, struct crn_gpu_map *out_map, cairn_error *err);
};

/* The machine's GPUs; one that has no devices, and says why, when this build has no CUDA or the machine no libcuda. */
const struct crn_gpu_driver *crn_gpu_driver_cuda(void);

#ifdef __cplusplus
}
#endif

#endif
