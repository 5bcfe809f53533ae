/* Rotation, compiled for AVX-512. */
#include "quant/rotation_isa.h"

#define CRN_ROTATE crn_rotate_avx512
#include "quant/rotation_body.h"
