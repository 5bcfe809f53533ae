/*
 * One set over several devices: rows are dealt out in blocks, every device searches its own, and the results are merged. Two
 * shards may be on one device, which is how this is tested where there is only one.
 *
 * Threads: as for a set and a stream together: exclusive. Labels are those of the whole, in the order of appending.
 */
#ifndef CRN_GPU_SHARDS_H
#define CRN_GPU_SHARDS_H

#include "gpu/gpu.h"

#define CRN_GPU_SHARDS_MAX 64u

struct crn_gpu_shards;

/* gpus: [count], one a shard, alive as long as this; options are those of every shard. */
cairn_status crn_gpu_shards_create(struct crn_gpu *const *gpus, unsigned count,
                                   const struct crn_gpu_set_options *options,
                                   struct crn_gpu_shards **out_shards, cairn_error *err);
void crn_gpu_shards_free(struct crn_gpu_shards *shards); /* NULL accepted */
/* Failing leaves some rows appended: the whole is of no use then. */
cairn_status crn_gpu_shards_append(struct crn_gpu_shards *shards, const float *vectors, size_t count,
                                   cairn_error *err);
cairn_status crn_gpu_shards_delete(struct crn_gpu_shards *shards, const uint32_t *labels, size_t count,
                                   cairn_error *err);
/* As crn_gpu_search, but without allow_each. Shards are searched by one thread each. */
cairn_status crn_gpu_shards_search(struct crn_gpu_shards *shards, const struct crn_gpu_query *query,
                                   float *out_distances, uint32_t *out_labels, cairn_error *err);

#endif
