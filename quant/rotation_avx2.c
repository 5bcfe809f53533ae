/* Rotation, compiled for AVX2. */
#include "quant/rotation_isa.h"

#define CRN_ROTATE crn_rotate_avx2
#include "quant/rotation_body.h"
