/* A binary max-heap by (distance, label): the worst hit kept is at hits[0], the first to go. */
#include "base/topk.h"

#include <math.h>

static bool before(struct crn_hit a, struct crn_hit b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.label < b.label);
}

static void sift_up(struct crn_hit *hits, size_t at)
{
    struct crn_hit hit = hits[at];

    while (at > 0 && before(hits[(at - 1) / 2], hit)) {
        hits[at] = hits[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    hits[at] = hit;
}

/* Puts `hit` at the root of a heap of `count` whose root is free. */
static void sift_down(struct crn_hit *hits, size_t count, struct crn_hit hit)
{
    size_t at = 0;

    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(hits[child], hits[child + 1])) child++;
        if (!before(hit, hits[child])) break;
        hits[at] = hits[child];
    }
    hits[at] = hit;
}

void crn_topk_push(struct crn_topk *top, float distance, uint64_t label)
{
    struct crn_hit hit = {distance, label};

    if (isnan(distance)) return;
    if (top->count < top->k) {
        top->hits[top->count] = hit;
        sift_up(top->hits, top->count++);
    } else if (top->k > 0 && before(hit, top->hits[0])) {
        sift_down(top->hits, top->count, hit);
    }
}

void crn_topk_sort(struct crn_topk *top)
{
    for (size_t last = top->count; last-- > 1;) {
        struct crn_hit worst = top->hits[0];
        sift_down(top->hits, last, top->hits[last]);
        top->hits[last] = worst;
    }
}
