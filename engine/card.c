#include "engine/card.h"

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define STREAMS_MOST 8u /* kept for the next searches */

static struct {
    pthread_mutex_t mutex;               /* guards all of it */
    const struct crn_gpu_driver *driver; /* NULL: the machine's */
    struct crn_gpu *gpu;
    bool tried, broken;
    char why[200];
    struct crn_gpu_stream *streams[STREAMS_MOST];
    uint32_t stream_count, indexes;
    uint64_t device_bytes;
} device = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static atomic_uint_fast64_t searches, fallbacks;
static atomic_bool ready; /* device.gpu is there and works: for searches that only want to know */

static const struct crn_gpu_driver *driver_in_use(void)
{
    return device.driver != NULL ? device.driver : crn_gpu_driver_cuda();
}

/* mutex held. */
static void close_device(void)
{
    for (uint32_t i = 0; i < device.stream_count; i++) crn_gpu_stream_free(device.streams[i]);
    device.stream_count = 0;
    crn_gpu_close(device.gpu);
    device.gpu = NULL;
    device.tried = device.broken = false;
    atomic_store_explicit(&ready, false, memory_order_relaxed);
    device.why[0] = '\0';
}

void crn_card_use(const struct crn_gpu_driver *driver)
{
    pthread_mutex_lock(&device.mutex);
    close_device();
    device.driver = driver;
    pthread_mutex_unlock(&device.mutex);
    atomic_store_explicit(&searches, 0, memory_order_relaxed);
    atomic_store_explicit(&fallbacks, 0, memory_order_relaxed);
}

void crn_card_get_state(struct crn_card_state *out_state)
{
    const char *why = "";

    pthread_mutex_lock(&device.mutex);
    *out_state = (struct crn_card_state){
        .driver = driver_in_use()->name, .indexes = device.indexes, .device_bytes = device.device_bytes};
    out_state->devices = driver_in_use()->device_count(&why);
    if (device.gpu != NULL) out_state->info = *crn_gpu_info(device.gpu);
    if (device.tried && (device.gpu == NULL || device.broken)) why = device.why;
    snprintf(out_state->why_none, sizeof out_state->why_none, "%s", why);
    pthread_mutex_unlock(&device.mutex);
    /* Relaxed: counters alone. */
    out_state->searches = atomic_load_explicit(&searches, memory_order_relaxed);
    out_state->fallbacks = atomic_load_explicit(&fallbacks, memory_order_relaxed);
}

cairn_status crn_card_take(struct crn_gpu **out_gpu, cairn_error *err)
{
    cairn_error cause;
    cairn_status status = CAIRN_OK;

    pthread_mutex_lock(&device.mutex);
    if (!device.tried) {
        device.tried = true;
        if (crn_gpu_open(driver_in_use(), 0, &device.gpu, &cause) != CAIRN_OK) {
            device.gpu = NULL;
            crn_error_set(&cause, cause.status, "%.180s", cause.message);
            memcpy(device.why, cause.message, strlen(cause.message) + 1);
        }
    }
    if (device.gpu == NULL || device.broken) status = crn_error_set(err, CAIRN_UNSUPPORTED, "%s", device.why);
    if (status == CAIRN_OK) atomic_store_explicit(&ready, true, memory_order_relaxed);
    *out_gpu = device.gpu;
    pthread_mutex_unlock(&device.mutex);
    return status;
}

void crn_card_give_up(const char *why)
{
    pthread_mutex_lock(&device.mutex);
    if (!device.broken) {
        cairn_error cause;
        crn_error_set(&cause, CAIRN_IO, "%.180s", why);
        memcpy(device.why, cause.message, strlen(cause.message) + 1);
    }
    device.broken = true;
    atomic_store_explicit(&ready, false, memory_order_relaxed);
    pthread_mutex_unlock(&device.mutex);
}

/* Relaxed: who acts on it asks again under the mutex. */
bool crn_card_ready(void)
{
    return atomic_load_explicit(&ready, memory_order_relaxed);
}

cairn_status crn_card_take_stream(struct crn_gpu_stream **out_stream, cairn_error *err)
{
    *out_stream = NULL;
    pthread_mutex_lock(&device.mutex);
    struct crn_gpu *const gpu = device.gpu; /* open as long as an index is */
    if (device.stream_count > 0) *out_stream = device.streams[--device.stream_count];
    pthread_mutex_unlock(&device.mutex);
    return *out_stream != NULL ? CAIRN_OK : crn_gpu_stream_create(gpu, out_stream, err);
}

void crn_card_give_stream(struct crn_gpu_stream *stream)
{
    pthread_mutex_lock(&device.mutex);
    if (device.stream_count < STREAMS_MOST) {
        device.streams[device.stream_count++] = stream;
        stream = NULL;
    }
    pthread_mutex_unlock(&device.mutex);
    crn_gpu_stream_free(stream);
}

void crn_card_add_rows(uint64_t device_bytes)
{
    pthread_mutex_lock(&device.mutex);
    device.indexes++;
    device.device_bytes += device_bytes;
    pthread_mutex_unlock(&device.mutex);
}

void crn_card_remove_rows(uint64_t device_bytes)
{
    pthread_mutex_lock(&device.mutex);
    device.indexes--;
    device.device_bytes -= device_bytes;
    pthread_mutex_unlock(&device.mutex);
}

void crn_card_count_search(void)
{
    atomic_fetch_add_explicit(&searches, 1, memory_order_relaxed);
}

void crn_card_count_fallback(void)
{
    atomic_fetch_add_explicit(&fallbacks, 1, memory_order_relaxed);
}
