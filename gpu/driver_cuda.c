/*
 * CUDA through libcuda alone, which is opened when the first caller asks for devices: the library runs where there is none. The
 * kernels come with it as one fat binary, from which the driver takes what fits the card.
 */
#include "gpu/driver.h"

#include "base/error.h"
#include "base/mem.h"

#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The functions of libcuda, by the names that its header gives their present versions. */
#define STRING_OF(x) #x
#define NAME_OF(x) STRING_OF(x)
#define FUNCTIONS(X)                                                                                    \
    X(cuInit)                                                                                           \
    X(cuGetErrorString)                                                                                 \
    X(cuDeviceGetCount)                                                                                 \
    X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute) X(cuDeviceTotalMem)                       \
        X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease) X(cuCtxPushCurrent) X(cuCtxPopCurrent) \
            X(cuModuleLoadData) X(cuModuleUnload) X(cuModuleGetFunction) X(cuFuncSetAttribute)          \
                X(cuLaunchKernel) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemFree) X(cuMemHostAlloc)          \
                    X(cuMemFreeHost) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) X(cuMemcpyDtoDAsync)     \
                        X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize)  \
                            X(cuStreamWaitEvent) X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord)    \
                                X(cuEventSynchronize) X(cuEventElapsedTime) X(cuTensorMapEncodeTiled)

static struct {
#define MEMBER(name) __typeof__(name) *name##_fn;
    FUNCTIONS(MEMBER)
#undef MEMBER
    bool usable;
    char why[200];
} cuda;

#define CALL(name) cuda.name##_fn

static const char *const kernel_names[] = {
#define KERNEL_NAME(name, args, body, threads) "crn_gpu_" #name,
    CRN_GPU_KERNELS(KERNEL_NAME)
#undef KERNEL_NAME
};
static const unsigned kernel_threads[] = {
#define KERNEL_THREADS(name, args, body, threads) threads,
    CRN_GPU_KERNELS(KERNEL_THREADS)
#undef KERNEL_THREADS
};

/* The fat binary (fatbin.S). */
extern const unsigned char crn_gpu_fatbin[];

struct crn_gpu_device {
    CUdevice device;
    CUcontext context;
    CUmodule module;
    CUfunction kernels[CRN_GPU_KERNEL_COUNT];
    char name[80];
};
struct crn_gpu_queue {
    struct crn_gpu_device *device;
    CUstream stream;
};
struct crn_gpu_event {
    struct crn_gpu_device *device;
    CUevent event;
};

/* ---- libcuda ---- */

static void load_functions(void *library)
{
#define LOAD(name)                                                                               \
    *(void **)(&cuda.name##_fn) = dlsym(library, NAME_OF(name));                                 \
    if (cuda.name##_fn == NULL) {                                                                \
        snprintf(cuda.why, sizeof cuda.why, "libcuda.so.1 is too old: it lacks " NAME_OF(name)); \
        return;                                                                                  \
    }
    FUNCTIONS(LOAD)
#undef LOAD
    const CUresult result = CALL(cuInit)(0);
    cuda.usable = result == CUDA_SUCCESS;
    if (!cuda.usable) snprintf(cuda.why, sizeof cuda.why, "cuInit: error %d", (int)result);
}

static void load_library(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); /* stays open until the process ends */

    if (library == NULL) {
        snprintf(cuda.why, sizeof cuda.why, "this machine has no libcuda.so.1");
    } else {
        load_functions(library);
    }
}

static unsigned device_count(const char **out_why_none)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int count = 0;

    pthread_once(&once, load_library);
    *out_why_none = cuda.why;
    if (!cuda.usable) return 0;
    if (CALL(cuDeviceGetCount)(&count) != CUDA_SUCCESS || count <= 0) {
        *out_why_none = "libcuda finds no device";
        return 0;
    }
    return (unsigned)count;
}

static cairn_status translate(CUresult result, const struct crn_gpu_device *device, const char *what,
                              cairn_error *err)
{
    const char *words = NULL;

    if (result == CUDA_SUCCESS) return CAIRN_OK;
    if (CALL(cuGetErrorString)(result, &words) != CUDA_SUCCESS || words == NULL) words = "an unknown error";
    return crn_error_set(err, result == CUDA_ERROR_OUT_OF_MEMORY ? CAIRN_NO_MEMORY : CAIRN_IO,
                         "GPU %s: %s: %s", device->name, what, words);
}

/* Calls a function in the device's context, which is no longer current afterwards. */
#define IN_CONTEXT(device, what, call)                                \
    do {                                                              \
        CUcontext popped_;                                            \
        CUresult result_ = CALL(cuCtxPushCurrent)((device)->context); \
        if (result_ == CUDA_SUCCESS) {                                \
            result_ = (call);                                         \
            CALL(cuCtxPopCurrent)(&popped_);                          \
        }                                                             \
        return translate(result_, (device), what, err);               \
    } while (0)

static void in_context_quietly(const struct crn_gpu_device *device, bool begin)
{
    CUcontext popped;

    if (begin) {
        CALL(cuCtxPushCurrent)(device->context);
    } else {
        CALL(cuCtxPopCurrent)(&popped);
    }
}

/* ---- devices ---- */

static int attribute(const struct crn_gpu_device *device, CUdevice_attribute which)
{
    int value = 0;

    CALL(cuDeviceGetAttribute)(&value, which, device->device);
    return value < 0 ? 0 : value;
}

static CUresult load_kernels(struct crn_gpu_device *device, int shared_bytes)
{
    CUresult result = CALL(cuModuleLoadData)(&device->module, crn_gpu_fatbin);

    for (int i = 0; result == CUDA_SUCCESS && i < CRN_GPU_KERNEL_COUNT; i++) {
        result = CALL(cuModuleGetFunction)(&device->kernels[i], device->module, kernel_names[i]);
        if (result == CUDA_SUCCESS)
            result = CALL(cuFuncSetAttribute)(device->kernels[i],
                                              CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes);
    }
    return result;
}

static void close_device(struct crn_gpu_device *device)
{
    if (device == NULL) return;
    if (device->context != NULL) {
        in_context_quietly(device, true);
        if (device->module != NULL) CALL(cuModuleUnload)(device->module);
        in_context_quietly(device, false);
        CALL(cuDevicePrimaryCtxRelease)(device->device);
    }
    crn_mem_free(device);
}

static cairn_status open_parts(struct crn_gpu_device *device, unsigned number,
                               struct crn_gpu_device_info *info, cairn_error *err)
{
    snprintf(device->name, sizeof device->name, "%u", number);
    CRN_TRY(translate(CALL(cuDeviceGet)(&device->device, (int)number), device, "cuDeviceGet", err));
    CRN_TRY(translate(CALL(cuDeviceGetName)(device->name, (int)sizeof device->name, device->device), device,
                      "cuDeviceGetName", err));
    memcpy(info->name, device->name, sizeof info->name);
    info->multiprocessors = (unsigned)attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    info->capability = (unsigned)(attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
                                  attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
    /* Less what the system may keep for itself of it (1 KiB on 9.0). */
    info->shared_bytes = (size_t)attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    info->shared_bytes = info->shared_bytes > 2048 ? info->shared_bytes - 1024 : 0;
    info->l2_bytes = (size_t)attribute(device, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
    CRN_TRY(translate(CALL(cuDeviceTotalMem)(&info->memory_bytes, device->device), device, "cuDeviceTotalMem",
                      err));
    if (info->capability < 80)
        return crn_error_set(err, CAIRN_UNSUPPORTED, "GPU %s has compute capability %u.%u: 8.0 is needed",
                             info->name, info->capability / 10, info->capability % 10);
    CRN_TRY(translate(CALL(cuDevicePrimaryCtxRetain)(&device->context, device->device), device,
                      "cuDevicePrimaryCtxRetain", err));
    IN_CONTEXT(device, "loading the kernels", load_kernels(device, (int)info->shared_bytes));
}

static cairn_status open_device(unsigned number, struct crn_gpu_device **out_device,
                                struct crn_gpu_device_info *out_info, cairn_error *err)
{
    struct crn_gpu_device *device = crn_mem_calloc(1, sizeof *device);

    if (device == NULL) return crn_error_no_memory(err, sizeof *device);
    const cairn_status status = open_parts(device, number, out_info, err);
    if (status != CAIRN_OK) {
        close_device(device);
        return status;
    }
    *out_device = device;
    return CAIRN_OK;
}

/* ---- memory ---- */

static cairn_status free_memory(struct crn_gpu_device *device, size_t *out_bytes, cairn_error *err)
{
    size_t total;

    IN_CONTEXT(device, "cuMemGetInfo", CALL(cuMemGetInfo)(out_bytes, &total));
}

static cairn_status alloc(struct crn_gpu_device *device, size_t size_bytes, void **out, cairn_error *err)
{
    CUdeviceptr *const pointer = (CUdeviceptr *)out; /* both are the address, in 64 bits */

    _Static_assert(sizeof(CUdeviceptr) == sizeof(void *), "a device pointer is a pointer");
    IN_CONTEXT(device, "allocating memory", CALL(cuMemAlloc)(pointer, size_bytes == 0 ? 1 : size_bytes));
}

static void free_device_memory(struct crn_gpu_device *device, void *memory)
{
    if (memory == NULL) return;
    in_context_quietly(device, true);
    CALL(cuMemFree)((CUdeviceptr)(uintptr_t)memory);
    in_context_quietly(device, false);
}

static cairn_status host_alloc(struct crn_gpu_device *device, size_t size_bytes, void **out, cairn_error *err)
{
    IN_CONTEXT(device, "allocating pinned memory",
               CALL(cuMemHostAlloc)(out, size_bytes == 0 ? 1 : size_bytes, CU_MEMHOSTALLOC_PORTABLE));
}

static void host_free(struct crn_gpu_device *device, void *memory)
{
    if (memory == NULL) return;
    in_context_quietly(device, true);
    CALL(cuMemFreeHost)(memory);
    in_context_quietly(device, false);
}

/* ---- queues and events ---- */

static cairn_status create_stream(struct crn_gpu_device *device, CUstream *out_stream, cairn_error *err)
{
    IN_CONTEXT(device, "cuStreamCreate", CALL(cuStreamCreate)(out_stream, CU_STREAM_NON_BLOCKING));
}

static cairn_status queue_create(struct crn_gpu_device *device, struct crn_gpu_queue **out, cairn_error *err)
{
    struct crn_gpu_queue *queue = crn_mem_calloc(1, sizeof *queue);

    if (queue == NULL) return crn_error_no_memory(err, sizeof *queue);
    queue->device = device;
    const cairn_status status = create_stream(device, &queue->stream, err);
    if (status != CAIRN_OK) {
        crn_mem_free(queue);
        return status;
    }
    *out = queue;
    return CAIRN_OK;
}

static void queue_free(struct crn_gpu_queue *queue)
{
    if (queue == NULL) return;
    in_context_quietly(queue->device, true);
    CALL(cuStreamSynchronize)(queue->stream);
    CALL(cuStreamDestroy)(queue->stream);
    in_context_quietly(queue->device, false);
    crn_mem_free(queue);
}

static cairn_status queue_wait(struct crn_gpu_queue *queue, cairn_error *err)
{
    IN_CONTEXT(queue->device, "waiting for its work", CALL(cuStreamSynchronize)(queue->stream));
}

static cairn_status create_event(struct crn_gpu_device *device, CUevent *out_event, cairn_error *err)
{
    IN_CONTEXT(device, "cuEventCreate", CALL(cuEventCreate)(out_event, CU_EVENT_DEFAULT));
}

static cairn_status event_create(struct crn_gpu_device *device, struct crn_gpu_event **out, cairn_error *err)
{
    struct crn_gpu_event *event = crn_mem_calloc(1, sizeof *event);

    if (event == NULL) return crn_error_no_memory(err, sizeof *event);
    event->device = device;
    const cairn_status status = create_event(device, &event->event, err);
    if (status != CAIRN_OK) {
        crn_mem_free(event);
        return status;
    }
    *out = event;
    return CAIRN_OK;
}

static void event_free(struct crn_gpu_event *event)
{
    if (event == NULL) return;
    in_context_quietly(event->device, true);
    CALL(cuEventDestroy)(event->event);
    in_context_quietly(event->device, false);
    crn_mem_free(event);
}

static cairn_status event_record(struct crn_gpu_queue *queue, struct crn_gpu_event *event, cairn_error *err)
{
    IN_CONTEXT(queue->device, "cuEventRecord", CALL(cuEventRecord)(event->event, queue->stream));
}

static cairn_status event_await(struct crn_gpu_queue *queue, struct crn_gpu_event *event, cairn_error *err)
{
    IN_CONTEXT(queue->device, "cuStreamWaitEvent", CALL(cuStreamWaitEvent)(queue->stream, event->event, 0));
}

static cairn_status event_elapsed(struct crn_gpu_event *from, struct crn_gpu_event *to, float *out_ms,
                                  cairn_error *err)
{
    IN_CONTEXT(from->device, "cuEventElapsedTime", CALL(cuEventElapsedTime)(out_ms, from->event, to->event));
}

/* ---- work ---- */

static cairn_status upload(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                           cairn_error *err)
{
    if (size_bytes == 0) return CAIRN_OK;
    IN_CONTEXT(queue->device, "copying to it",
               CALL(cuMemcpyHtoDAsync)((CUdeviceptr)(uintptr_t)to, from, size_bytes, queue->stream));
}

static cairn_status download(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                             cairn_error *err)
{
    if (size_bytes == 0) return CAIRN_OK;
    IN_CONTEXT(queue->device, "copying from it",
               CALL(cuMemcpyDtoHAsync)(to, (CUdeviceptr)(uintptr_t)from, size_bytes, queue->stream));
}

static cairn_status copy(struct crn_gpu_queue *queue, void *to, const void *from, size_t size_bytes,
                         cairn_error *err)
{
    if (size_bytes == 0) return CAIRN_OK;
    IN_CONTEXT(queue->device, "copying on it",
               CALL(cuMemcpyDtoDAsync)((CUdeviceptr)(uintptr_t)to, (CUdeviceptr)(uintptr_t)from, size_bytes,
                                       queue->stream));
}

static cairn_status fill(struct crn_gpu_queue *queue, void *to, unsigned char byte, size_t size_bytes,
                         cairn_error *err)
{
    if (size_bytes == 0) return CAIRN_OK;
    IN_CONTEXT(queue->device, "filling memory",
               CALL(cuMemsetD8Async)((CUdeviceptr)(uintptr_t)to, byte, size_bytes, queue->stream));
}

static cairn_status launch(struct crn_gpu_queue *queue, enum crn_gpu_kernel kernel, unsigned blocks,
                           size_t shared_bytes, const void *args, cairn_error *err)
{
    void *parameters[] = {(void *)(uintptr_t)args};

    IN_CONTEXT(queue->device, kernel_names[kernel],
               CALL(cuLaunchKernel)(queue->device->kernels[kernel], blocks, 1, 1, kernel_threads[kernel], 1,
                                    1, (unsigned)shared_bytes, queue->stream, parameters, NULL));
}

static cairn_status encode_map(struct crn_gpu_device *device, const void *matrix, size_t rows, uint32_t pitch,
                               uint32_t box_rows, CUtensorMap *out_tensor, cairn_error *err)
{
    const cuuint64_t sizes[2] = {pitch, rows}, pitches[1] = {pitch};
    const cuuint32_t box[2] = {CRN_GPU_BLOCK_BYTES, box_rows}, steps[2] = {1, 1};

    IN_CONTEXT(device, "cuTensorMapEncodeTiled",
               CALL(cuTensorMapEncodeTiled)(
                   out_tensor, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, (void *)(uintptr_t)matrix, sizes, pitches,
                   box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

static cairn_status map(struct crn_gpu_device *device, const void *matrix, size_t rows, uint32_t pitch,
                        uint32_t box_rows, struct crn_gpu_map *out_map, cairn_error *err)
{
    CUtensorMap tensor;

    _Static_assert(sizeof(CUtensorMap) == sizeof(struct crn_gpu_map), "a tensor map has 128 bytes");
    CRN_TRY(encode_map(device, matrix, rows, pitch, box_rows, &tensor, err));
    memcpy(out_map, &tensor, sizeof tensor);
    return CAIRN_OK;
}

const struct crn_gpu_driver *crn_gpu_driver_cuda(void)
{
    static const struct crn_gpu_driver driver = {.name = "cuda",
                                                 .device_count = device_count,
                                                 .open = open_device,
                                                 .close = close_device,
                                                 .free_memory = free_memory,
                                                 .alloc = alloc,
                                                 .free = free_device_memory,
                                                 .host_alloc = host_alloc,
                                                 .host_free = host_free,
                                                 .queue_create = queue_create,
                                                 .queue_free = queue_free,
                                                 .queue_wait = queue_wait,
                                                 .event_create = event_create,
                                                 .event_free = event_free,
                                                 .event_record = event_record,
                                                 .event_await = event_await,
                                                 .event_elapsed = event_elapsed,
                                                 .upload = upload,
                                                 .download = download,
                                                 .copy = copy,
                                                 .fill = fill,
                                                 .launch = launch,
                                                 .map = map};

    return &driver;
}
