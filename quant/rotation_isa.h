/* The transform of rotation_body.h by instruction set. Internal to quant/. */
#ifndef CRN_QUANT_ROTATION_ISA_H
#define CRN_QUANT_ROTATION_ISA_H

#include "quant/rotation.h"

void crn_rotate_plain(const struct crn_rotation *rotation, float *vector);
void crn_rotate_avx2(const struct crn_rotation *rotation, float *vector);
void crn_rotate_avx512(const struct crn_rotation *rotation, float *vector);

#endif
