/* The k-th smallest is found by halving the range of values and counting how many lie in the lower half: passes
 * over an array without a branch, which compilers vectorise, instead of the many mispredicted ones of a
 * quickselect. */
#include "base/sieve.h"

#include <stdbool.h>
#include <string.h>

/* Integers in the order of floats, and back. */
static int32_t key_of(float x)
{
    int32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

static float float_of(int32_t key)
{
    const int32_t bits = key < 0 ? key ^ INT32_MAX : key;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

#define LANES 16 /* compared side by side */

static void range_of(const float *distances, size_t n, float *out_least, float *out_most)
{
    float least[LANES], most[LANES];
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++) least[j] = most[j] = distances[0];
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            least[j] = distances[i + j] < least[j] ? distances[i + j] : least[j];
            most[j] = distances[i + j] > most[j] ? distances[i + j] : most[j];
        }
    }
    for (; i < n; i++) {
        least[0] = distances[i] < least[0] ? distances[i] : least[0];
        most[0] = distances[i] > most[0] ? distances[i] : most[0];
    }
    for (size_t j = 1; j < LANES; j++) {
        least[0] = least[j] < least[0] ? least[j] : least[0];
        most[0] = most[j] > most[0] ? most[j] : most[0];
    }
    *out_least = least[0];
    *out_most = most[0];
}

static uint32_t count_within(const float *distances, size_t n, float limit)
{
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++) count += distances[i] <= limit;
    return count;
}

/* *out_count distances are not above the limit that is returned: k of them, unless some are equal to it. */
static float limit_of(const float *distances, size_t n, size_t k, size_t *out_count)
{
    float least, most;

    range_of(distances, n, &least, &most);
    int64_t low = key_of(least), high = key_of(most);
    *out_count = n; /* those up to high */
    while (low < high && *out_count != k) {
        const int64_t middle = low + (high - low) / 2;
        const size_t count = count_within(distances, n, float_of((int32_t)middle));

        if (count < k) {
            low = middle + 1;
        } else {
            high = middle;
            *out_count = count;
        }
    }
    return float_of((int32_t)high);
}

/* The label up to which `wanted` of the distances that equal the limit are counted. */
static uint32_t last_label(const float *distances, const uint32_t *labels, size_t n, float limit,
                           size_t wanted)
{
    uint32_t low = 0, high = UINT32_MAX;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        size_t count = 0;

        for (size_t i = 0; i < n; i++) count += (distances[i] == limit) & (labels[i] <= middle);
        if (count < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return high;
}

/* Where those that stay end: below the limit, or equal to it and with a label up to `last`. */
struct border {
    float limit;
    uint32_t last;
};

static struct border border_of(const float *distances, const uint32_t *labels, size_t n, size_t k)
{
    struct border border = {.last = UINT32_MAX};
    size_t within, equal = 0;

    border.limit = limit_of(distances, n, k, &within);
    if (within == k) return border;
    for (size_t i = 0; i < n; i++) equal += distances[i] == border.limit;
    border.last = last_label(distances, labels, n, border.limit, k - (within - equal));
    return border;
}

static bool stays(struct border border, float distance, uint32_t label)
{
    return (distance < border.limit) | ((distance == border.limit) & (label <= border.last));
}

float crn_sieve_choose(float *distances, uint32_t *labels, size_t n, size_t k)
{
    const struct border border = border_of(distances, labels, n, k);
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        const float distance = distances[i];
        const uint32_t label = labels[i];

        distances[count] = distance;
        labels[count] = label;
        count += stays(border, distance, label);
    }
    return border.limit;
}

float crn_sieve_split(float *distances, uint32_t *labels, size_t n, size_t k)
{
    const struct border border = border_of(distances, labels, n, k);
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        const float distance = distances[i];
        const uint32_t label = labels[i];

        distances[i] = distances[count];
        labels[i] = labels[count];
        distances[count] = distance;
        labels[count] = label;
        count += stays(border, distance, label);
    }
    return border.limit;
}

void crn_sieve_shrink(struct crn_sieve *sieve)
{
    if (sieve->count <= sieve->k) return;
    sieve->limit = crn_sieve_choose(sieve->distances, sieve->labels, sieve->count, sieve->k);
    sieve->count = sieve->k;
}
