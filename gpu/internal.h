/* What the files of gpu/ share. */
#ifndef CRN_GPU_INTERNAL_H
#define CRN_GPU_INTERNAL_H

#include "gpu/encode.h"
#include "gpu/plan.h"

struct crn_gpu {
    const struct crn_gpu_driver *driver;
    struct crn_gpu_device *device;
    struct crn_gpu_device_info info;
};

/* Rows of one allocation. Labels first..first + count - 1; first and capacity are multiples of a tile. */
struct crn_gpu_slab {
    char *rows;     /* [capacity][pitch] */
    float *scale;   /* [capacity], or NULL */
    float *bias;    /* [capacity], or NULL */
    uint32_t *dead; /* on the card: [capacity / 32], or NULL while none is deleted */
    bool on_card;
    bool any_dead;
    uint32_t first, count, capacity;
};

struct crn_gpu_set {
    struct crn_gpu *gpu;
    struct crn_gpu_queue *queue; /* of appends and deletes */
    struct crn_gpu_set_options options;
    struct crn_gpu_encoder encoder;
    uint32_t pitch;
    struct crn_gpu_slab *slabs;
    uint32_t slab_count, slab_room;
    uint32_t count;
    uint32_t *dead; /* [dead_words] on the host, by label */
    size_t dead_words;
    size_t budget_bytes, device_bytes, host_bytes;
    double norm_most; /* of all rows: F32 and F16 */
};

struct crn_gpu_stream {
    struct crn_gpu *gpu;
    struct crn_gpu_queue *queue, *copies;
    void *memory; /* all that one search needs */
    size_t size_bytes;
    void *staging[2]; /* tiles of rows that live on the host */
    size_t staging_bytes;
    struct crn_gpu_event *ready[2], *used[2], *begin, *end;
};

/* One batch of queries, on its way through the kernels. */
struct crn_gpu_run {
    const struct crn_gpu_set *set;
    struct crn_gpu_stream *stream;
    struct crn_gpu_plan plan;
    uint32_t batch, k;
    bool safe;
    uint64_t seen; /* tiles gone through */
    /* On the card. */
    struct crn_gpu_scan_args scan;
    uint64_t *limits, *out;
    uint32_t *overflow, *doubtful;
    float *margin;
    struct crn_gpu_slab_rows *slabs;
    /* On the host, of this batch. */
    char *queries;
    float *factors, *offsets, *margins;
    uint64_t *out_host;
    uint32_t *flags_host; /* [2][batch]: overflow, doubtful */
    struct crn_gpu_slab_rows *slabs_host;
};

/* Encodes and uploads the queries; `extra_bytes` more of device memory are at *out_extra. */
cairn_status crn_gpu_run_begin(struct crn_gpu_run *run, const struct crn_gpu_query *query, size_t extra_bytes,
                               void **out_extra, cairn_error *err);
cairn_status crn_gpu_run_reset(struct crn_gpu_run *run, cairn_error *err); /* no candidates, no limits */
/* Places begin..end-1 of what run->scan says, with the plan's kernel. */
cairn_status crn_gpu_run_scan(struct crn_gpu_run *run, uint32_t begin, uint32_t end, cairn_error *err);
cairn_status crn_gpu_run_select(struct crn_gpu_run *run, cairn_error *err); /* between rounds */
cairn_status crn_gpu_run_finish(struct crn_gpu_run *run, cairn_error *err); /* asks for the results */
/* Waits, and writes the results. flags_host is valid afterwards. */
cairn_status crn_gpu_run_end(struct crn_gpu_run *run, float *out_distances, uint32_t *out_labels,
                             cairn_error *err);
void crn_gpu_run_release(struct crn_gpu_run *run);
/* run->scan for a slab whose arrays lie there. */
void crn_gpu_run_slab(struct crn_gpu_run *run, const struct crn_gpu_slab *slab);

cairn_status crn_gpu_query_check(const struct crn_gpu_set *set, const struct crn_gpu_query *query,
                                 size_t k_most, cairn_error *err);

#endif
