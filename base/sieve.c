/* Quickselect (Hoare, "Algorithm 65: Find", 1961) by (distance, label), the pivot being the median of three.
 * The partition is Lomuto's, without a branch on what is compared: hits come in no order that a processor
 * could guess. */
#include "base/sieve.h"

static inline bool before(const struct crn_hit *a, const struct crn_hit *b)
{
    return (a->distance < b->distance) | ((a->distance == b->distance) & (a->label < b->label));
}

static inline void swap(struct crn_hit *a, struct crn_hit *b)
{
    const struct crn_hit hit = *a;

    *a = *b;
    *b = hit;
}

/* Brings the median of first, middle and last to the end. */
static void choose_pivot(struct crn_hit *low, struct crn_hit *high)
{
    struct crn_hit *middle = low + (high - low) / 2;

    if (before(middle, low)) swap(middle, low);
    if (before(high, middle)) swap(high, middle);
    if (before(middle, low)) swap(middle, low);
    swap(middle, high);
}

/* Puts the k smallest of `count` in front; the largest of them is at hits[k - 1]. */
static void choose(struct crn_hit *hits, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        size_t border = low; /* hits before it are before the pivot */

        choose_pivot(hits + low, hits + high);
        const struct crn_hit pivot = hits[high];
        for (size_t i = low; i < high; i++) {
            const struct crn_hit hit = hits[i];

            hits[i] = hits[border];
            hits[border] = hit;
            border += before(&hit, &pivot);
        }
        swap(hits + border, hits + high);
        if (border == k - 1) return;
        if (border < k - 1) {
            low = border + 1;
        } else {
            high = border - 1;
        }
    }
}

void crn_sieve_shrink(struct crn_sieve *sieve)
{
    if (sieve->count <= sieve->k) return;
    choose(sieve->hits, sieve->count, sieve->k);
    sieve->count = sieve->k;
    sieve->limit = sieve->hits[sieve->k - 1].distance;
}
