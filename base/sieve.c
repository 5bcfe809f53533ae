/* Quickselect (Hoare, "Algorithm 65: Find", 1961) by (distance, label), the pivot being the median of three.
 * */
#include "base/sieve.h"

static bool before(const struct crn_hit *a, const struct crn_hit *b)
{
    return a->distance < b->distance || (a->distance == b->distance && a->label < b->label);
}

static void swap(struct crn_hit *a, struct crn_hit *b)
{
    const struct crn_hit hit = *a;

    *a = *b;
    *b = hit;
}

/* Of hits[low..high], at least two, brings the median of first, middle and last to the middle. */
static struct crn_hit median(struct crn_hit *hits, size_t low, size_t high)
{
    struct crn_hit *middle = hits + low + (high - low) / 2;

    if (before(middle, hits + low)) swap(middle, hits + low);
    if (before(hits + high, middle)) swap(hits + high, middle);
    if (before(middle, hits + low)) swap(middle, hits + low);
    return *middle;
}

/* Puts the k smallest of `count` in front; the largest of them is at hits[k - 1]. */
static void choose(struct crn_hit *hits, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        const struct crn_hit pivot = median(hits, low, high);
        size_t i = low, j = high;

        while (i <= j) {
            while (before(hits + i, &pivot)) i++;
            while (before(&pivot, hits + j)) j--;
            if (i > j) break;
            swap(hits + i++, hits + j);
            if (j-- == 0) break;
        }
        if (k - 1 <= j && j < count) {
            high = j;
        } else if (k - 1 >= i) {
            low = i;
        } else {
            return;
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
