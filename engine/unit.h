/* Vectors brought to length 1, so that their dot products are cosines. */
#ifndef CRN_ENGINE_UNIT_H
#define CRN_ENGINE_UNIT_H

#include "quant/vector.h"

#include <math.h>
#include <stdint.h>

/* A zero vector stays zero: its cosine with anything comes out as 0. */
static inline void crn_unit_vector(const float *vector, uint32_t dim, float *out)
{
    const double length = sqrt(crn_vector_norm2(vector, dim));

    crn_vector_scale(vector, dim, length > 0 ? 1 / length : 0, out);
}

#endif
