#include "gpu/simulate/driver_simulated.h"

extern "C" {
#include "base/error.h"
}
#include "gpu/kernels/fill.cuh"
#include "gpu/kernels/hopper.cuh"
#include "gpu/kernels/rescore.cuh"
#include "gpu/kernels/scan.cuh"
#include "gpu/kernels/select.cuh"
#include "gpu/kernels/tile.cuh"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

namespace crn_gpu
{
copy_queue copy_queues[threads_most];
tensor_copies pending_tensors;
wgmma_calls wgmma_queues[threads_most / 128];
} // namespace crn_gpu

struct crn_gpu_device {
    size_t used_bytes;
};
struct crn_gpu_queue {
    crn_gpu_device *device;
};
struct crn_gpu_event {
    std::chrono::steady_clock::time_point at;
};

namespace
{

using namespace crn_gpu;

constexpr crn_gpu_simulation as_new = {2, 90, size_t(256) << 20, 227 * 1024, 3, 0, false, 0, 0};
constexpr size_t shared_most = 228 * 1024, header_bytes = 256;

crn_gpu_simulation simulation = as_new;
std::mutex simulator; /* one thing at a time, in the whole process */
alignas(1024) unsigned char shared_memory[shared_most];

#define CRN_BODY(...) __VA_ARGS__
#define CRN_GPU_DEFINE(name, args, body, threads)                    \
    void run_##name(void *a)                                         \
    {                                                                \
        CRN_BODY body(*static_cast<const args *>(a), shared_memory); \
    }
CRN_GPU_KERNELS(CRN_GPU_DEFINE)

struct kernel {
    void (*run)(void *args);
    unsigned threads;
    size_t args_bytes;
};
#define CRN_GPU_ENTRY(name, args, body, threads) {run_##name, threads, sizeof(args)},
const kernel kernels[] = {CRN_GPU_KERNELS(CRN_GPU_ENTRY)};

cairn_status may_fail(const char *what, cairn_error *err)
{
    simulation.calls++;
    if (simulation.fail_no_memory && strstr(what, "alloc") == nullptr) return CAIRN_OK;
    if (simulation.fail_at == 0 || --simulation.fail_at > 0) return CAIRN_OK;
    return crn_error_set(err, simulation.fail_no_memory ? CAIRN_NO_MEMORY : CAIRN_IO,
                         "simulated GPU: %s failed, as it was told to", what);
}

unsigned device_count(const char **out_why_none)
{
    if (simulation.devices == 0) *out_why_none = "the simulation has none";
    return simulation.devices;
}

cairn_status open_device(unsigned, crn_gpu_device **out_device, crn_gpu_device_info *out_info,
                         cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("open", err));
    *out_device = static_cast<crn_gpu_device *>(calloc(1, sizeof **out_device));
    if (*out_device == nullptr) return crn_error_no_memory(err, sizeof **out_device);
    snprintf(out_info->name, sizeof out_info->name, "simulated");
    out_info->multiprocessors = simulation.multiprocessors;
    out_info->capability = simulation.capability;
    out_info->memory_bytes = simulation.memory_bytes;
    out_info->shared_bytes = simulation.shared_bytes;
    out_info->l2_bytes = size_t(4) << 20;
    return CAIRN_OK;
}

void close_device(crn_gpu_device *device)
{
    if (device != nullptr && device->used_bytes != 0) {
        fprintf(stderr, "simulated GPU: %zu bytes were not freed\n", device->used_bytes);
        abort();
    }
    free(device);
}

cairn_status free_memory(crn_gpu_device *device, size_t *out_bytes, cairn_error *)
{
    std::lock_guard<std::mutex> lock(simulator);
    *out_bytes =
        device->used_bytes < simulation.memory_bytes ? simulation.memory_bytes - device->used_bytes : 0;
    return CAIRN_OK;
}

/* The size lies in front of it; what is not written yet is not zero. */
cairn_status alloc(crn_gpu_device *device, size_t size_bytes, void **out, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("alloc", err));
    if (size_bytes > simulation.memory_bytes || device->used_bytes > simulation.memory_bytes - size_bytes)
        return crn_error_set(err, CAIRN_NO_MEMORY, "simulated GPU: no %zu bytes are left", size_bytes);
    void *memory;
    if (posix_memalign(&memory, 256, header_bytes + size_bytes) != 0)
        return crn_error_no_memory(err, size_bytes);
    memcpy(memory, &size_bytes, sizeof size_bytes);
    memset(static_cast<char *>(memory) + header_bytes, 0x7e, size_bytes);
    device->used_bytes += size_bytes;
    simulation.used_bytes += size_bytes;
    *out = static_cast<char *>(memory) + header_bytes;
    return CAIRN_OK;
}

void free_device(crn_gpu_device *device, void *memory)
{
    std::lock_guard<std::mutex> lock(simulator);
    size_t size_bytes;
    if (memory == nullptr) return;
    memcpy(&size_bytes, static_cast<char *>(memory) - header_bytes, sizeof size_bytes);
    device->used_bytes -= size_bytes;
    simulation.used_bytes -= size_bytes;
    free(static_cast<char *>(memory) - header_bytes);
}

cairn_status host_alloc(crn_gpu_device *, size_t size_bytes, void **out, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("host_alloc", err));
    *out = malloc(size_bytes);
    return *out != nullptr ? CAIRN_OK : crn_error_no_memory(err, size_bytes);
}
void host_free(crn_gpu_device *, void *memory)
{
    free(memory);
}

cairn_status queue_create(crn_gpu_device *device, crn_gpu_queue **out, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("queue_create", err));
    *out = static_cast<crn_gpu_queue *>(calloc(1, sizeof **out));
    if (*out == nullptr) return crn_error_no_memory(err, sizeof **out);
    (*out)->device = device;
    return CAIRN_OK;
}
void queue_free(crn_gpu_queue *queue)
{
    free(queue);
}
cairn_status queue_wait(crn_gpu_queue *, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    return may_fail("queue_wait", err);
}
cairn_status event_create(crn_gpu_device *, crn_gpu_event **out, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("event_create", err));
    *out = new (std::nothrow) crn_gpu_event{};
    return *out != nullptr ? CAIRN_OK : crn_error_no_memory(err, sizeof **out);
}
void event_free(crn_gpu_event *event)
{
    delete event;
}
cairn_status event_record(crn_gpu_queue *, crn_gpu_event *event, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    event->at = std::chrono::steady_clock::now();
    return may_fail("event_record", err);
}
cairn_status event_await(crn_gpu_queue *, crn_gpu_event *, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    return may_fail("event_await", err);
}
/* The host's time: it tells nothing about a GPU. */
cairn_status event_elapsed(crn_gpu_event *from, crn_gpu_event *to, float *out_ms, cairn_error *)
{
    *out_ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return CAIRN_OK;
}

cairn_status copy(crn_gpu_queue *, void *to, const void *from, size_t size_bytes, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("copy", err));
    if (size_bytes > 0) memcpy(to, from, size_bytes);
    return CAIRN_OK;
}
cairn_status fill(crn_gpu_queue *, void *to, unsigned char byte, size_t size_bytes, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("fill", err));
    if (size_bytes > 0) memset(to, byte, size_bytes);
    return CAIRN_OK;
}

cairn_status launch(crn_gpu_queue *, enum crn_gpu_kernel which, unsigned blocks, size_t shared_bytes,
                    const void *args, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    alignas(64) unsigned char copy_of_args[512];

    CRN_TRY(may_fail("launch", err));
    if (shared_bytes > simulation.shared_bytes || blocks == 0)
        return crn_error_set(err, CAIRN_IO, "simulated GPU: %u blocks with %zu bytes of shared memory",
                             blocks, shared_bytes);
    memcpy(copy_of_args, args, kernels[which].args_bytes);
    for (unsigned b = 0; b < blocks; b++) {
        memset(shared_memory, 0xa5, shared_bytes);
        for (copy_queue &queue : copy_queues) queue.count = queue.groups = 0;
        pending_tensors.count = 0;
        for (wgmma_calls &calls : wgmma_queues) calls.count = calls.groups = 0;
        run_block(b, blocks, kernels[which].threads, kernels[which].run, copy_of_args);
    }
    return CAIRN_OK;
}

cairn_status map(crn_gpu_device *, const void *matrix, size_t rows, uint32_t pitch, uint32_t box_rows,
                 crn_gpu_map *out_map, cairn_error *err)
{
    std::lock_guard<std::mutex> lock(simulator);
    CRN_TRY(may_fail("map", err));
    const host_map host = {static_cast<const char *>(matrix), rows, pitch, box_rows};
    memcpy(out_map->opaque, &host, sizeof host);
    return CAIRN_OK;
}

} // namespace

struct crn_gpu_simulation *crn_gpu_simulated(void)
{
    return &simulation;
}
void crn_gpu_simulated_reset(void)
{
    const size_t used_bytes = simulation.used_bytes;
    simulation = as_new;
    simulation.used_bytes = used_bytes;
}

const struct crn_gpu_driver *crn_gpu_driver_simulated(void)
{
    static const struct crn_gpu_driver driver = {
        "simulated",  device_count, open_device,   close_device, free_memory, alloc,        free_device,
        host_alloc,   host_free,    queue_create,  queue_free,   queue_wait,  event_create, event_free,
        event_record, event_await,  event_elapsed, copy,         copy,        copy,         fill,
        launch,       map};
    return &driver;
}
