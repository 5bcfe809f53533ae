/* The transform itself, compiled once for each instruction set: its includer names the function. */
#include "quant/rotation.h"

typedef float lanes __attribute__((vector_size(64)));

/* Lane i ^ half in the place of lane i. GCC and clang share this builtin, whose places are constants. */
#define PARTNERS(v, half)                                                                               \
    __builtin_shufflevector(v, v, 0 ^ half, 1 ^ half, 2 ^ half, 3 ^ half, 4 ^ half, 5 ^ half, 6 ^ half, \
                            7 ^ half, 8 ^ half, 9 ^ half, 10 ^ half, 11 ^ half, 12 ^ half, 13 ^ half,   \
                            14 ^ half, 15 ^ half)

/* a + b in lane i and a - b in lane i ^ half, for all pairs of lanes that differ in the bit `half`. */
static inline lanes butterfly_in(lanes v, lanes partners, int half)
{
    lanes sign;

    for (int i = 0; i < 16; i++) sign[i] = i & half ? -1.0f : 1.0f;
    return v * sign + partners;
}

static inline lanes transform_16(lanes v)
{
    v = butterfly_in(v, PARTNERS(v, 1), 1);
    v = butterfly_in(v, PARTNERS(v, 2), 2);
    v = butterfly_in(v, PARTNERS(v, 4), 4);
    return butterfly_in(v, PARTNERS(v, 8), 8);
}

/* Two stages at a time, so that each element is loaded half as often. */
static void transform(lanes *x, size_t count)
{
    size_t half = 1;

    for (size_t i = 0; i < count; i++) x[i] = transform_16(x[i]);
    for (; half * 2 < count; half *= 4) {
        for (size_t i = 0; i < count; i += 4 * half) {
            for (size_t j = i; j < i + half; j++) {
                const lanes a = x[j] + x[j + half], b = x[j] - x[j + half];
                const lanes c = x[j + 2 * half] + x[j + 3 * half], d = x[j + 2 * half] - x[j + 3 * half];
                x[j] = a + c;
                x[j + half] = b + d;
                x[j + 2 * half] = a - c;
                x[j + 3 * half] = b - d;
            }
        }
    }
    if (half >= count) return;
    for (size_t j = 0; j < half; j++) {
        const lanes a = x[j], b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
    }
}

void CRN_ROTATE(const struct crn_rotation *rotation, float *vector)
{
    for (size_t round = 0; round < rotation->rounds; round++) {
        const size_t begin = round % 2 == 0 ? 0 : rotation->padded - rotation->block;
        const lanes *signs = (const lanes *)(rotation->signs + round * rotation->block);
        lanes *x = (lanes *)(vector + begin);
        for (size_t i = 0; i < rotation->block / 16; i++) x[i] *= signs[i];
        transform(x, rotation->block / 16);
    }
}
