#include "engine/mmr.h"

#include "base/error.h"
#include "base/mem.h"
#include "quant/kernels.h"

#include <math.h>
#include <stdbool.h>

struct picking {
    float *likeness; /* [count]: greatest cosine with one picked; -inf before there is one */
    float *negated;  /* [count]: what the kernel gives */
    bool *picked;    /* [count] */
};

static size_t best_left(const struct crn_mmr *mmr, const struct picking *picking)
{
    double best_value = -INFINITY;
    size_t best = mmr->count;

    for (size_t i = 0; i < mmr->count; i++) {
        if (picking->picked[i]) continue;
        const double value =
            mmr->lambda * mmr->relevance[i] - (1 - mmr->lambda) * (double)picking->likeness[i];
        if (best == mmr->count || value > best_value) {
            best_value = value;
            best = i;
        }
    }
    return best;
}

static void pick(const struct crn_mmr *mmr, struct picking *picking, size_t at)
{
    picking->picked[at] = true;
    crn_kernels_get()->f32_block[CRN_OP_DOT](mmr->vectors + at * mmr->dim, mmr->vectors, mmr->dim, mmr->count,
                                             picking->negated);
    for (size_t i = 0; i < mmr->count; i++) {
        if (-picking->negated[i] > picking->likeness[i]) picking->likeness[i] = -picking->negated[i];
    }
}

cairn_status crn_mmr_pick(const struct crn_mmr *mmr, size_t k, size_t *out_picked, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct picking picking = {
        .likeness = crn_mem_array(mmr->count, sizeof *picking.likeness),
        .negated = crn_mem_array(mmr->count, sizeof *picking.negated),
        .picked = crn_mem_calloc(mmr->count, sizeof *picking.picked),
    };

    if (picking.likeness == NULL || picking.negated == NULL || picking.picked == NULL) {
        status = crn_error_no_memory(err, mmr->count * sizeof *picking.likeness);
        goto done;
    }
    for (size_t i = 0; i < mmr->count; i++) picking.likeness[i] = -INFINITY;
    for (size_t n = 0; n < k; n++) {
        out_picked[n] = n == 0 ? 0 : best_left(mmr, &picking);
        if (n + 1 < k) pick(mmr, &picking, out_picked[n]);
    }

done:
    crn_mem_free(picking.likeness);
    crn_mem_free(picking.negated);
    crn_mem_free(picking.picked);
    return status;
}
