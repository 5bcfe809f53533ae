/* Searching a segment by its codes (codec.h): the best candidates by a scan of all codes, then their distances at
 * full precision. Internal to engine/. */
#ifndef CRN_ENGINE_QUANTIZED_SCAN_H
#define CRN_ENGINE_QUANTIZED_SCAN_H

#include "engine/segment.h"

struct crn_quantized_query {
    enum crn_op op;
    const float *vector; /* [dim] */
    size_t k;
    double oversampling;   /* candidates for each of k at most; 0: the codec's default */
    const uint64_t *allow; /* bits of the positions that may be found; NULL: all */
    uint64_t deadline_ns;  /* monotonic; 0: none */
    uint64_t base;         /* labels of hits are base + position */
};

/* Pushes the nearest rows of a segment with codes into top. TIMEOUT, CORRUPT, NO_MEMORY. */
cairn_status crn_quantized_scan(const struct crn_segment *segment, const struct crn_quantized_query *query,
                                struct crn_topk *top, cairn_error *err);

#endif
