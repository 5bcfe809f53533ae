/*
 * The codecs that segments may keep beside their vectors: one table of functions each over the codecs of
 * quant/. A segment holds, for a codec, a model (what all its codes have in common: section MODL), the codes
 * (CODE) in units of one or more rows, and some floats a row (the factors, a section each). A search scans
 * the codes and rescores the best at full precision (view_search.c). Files with codecs are written in
 * segment_write.c.
 */
#ifndef CRN_ENGINE_CODEC_H
#define CRN_ENGINE_CODEC_H

#include <cairn/db.h>

#include "quant/flat_scan.h"

#define CRN_CODEC_FACTORS_MAX 2

/* The rows that a model is made of. A vector lives until the next is asked for. */
struct crn_codec_rows {
    const void *ctx;
    uint32_t count;
    uint32_t dim;
    enum crn_op op;
    cairn_status (*vector)(const void *ctx, uint32_t i, const float **out_vector, cairn_error *err);
};

struct crn_codec {
    cairn_quantization quantization;
    const char *name;    /* in options and statistics */
    uint32_t mark;       /* in a segment's HEAD */
    double oversampling; /* candidates rescored for each of k, unless the query says otherwise */
    bool compares_l1;    /* Manhattan distances, too */
    bool gives_bounds;   /* distances are lower bounds, which nearly all rows keep; else estimates */
    uint32_t unit_rows;  /* that are coded together, a divisor of 64 */
    uint32_t factor_count;
    const char *factor_tags[CRN_CODEC_FACTORS_MAX];

    size_t (*unit_bytes)(uint32_t dim);
    size_t (*model_bytes)(uint32_t dim);   /* may be 0 */
    size_t (*state_bytes)(uint32_t dim);   /* of what `begin` makes */
    size_t (*scratch_bytes)(uint32_t dim); /* of `encode` */
    size_t (*query_bytes)(uint32_t dim);   /* of `prepare` */

    /* Makes the model of the rows. NO_MEMORY, and what the rows' function returns. NULL without a model. */
    cairn_status (*train)(const struct crn_codec_rows *rows, void *model, cairn_error *err);

    /* Makes what encoding and comparing need of a model, which it borrows; false: the model makes no sense.
     * */
    bool (*begin)(enum crn_op op, uint32_t dim, const void *model, void *state);

    /* Writes row `at` of a unit, which was cleared before its first row, and its factors. */
    void (*encode)(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit,
                   float factors[CRN_CODEC_FACTORS_MAX]);

    void (*prepare)(const void *state, const float *query, void *memory);

    /* Distances of a scan's rows, as in crn_scan_codes: ctx is a struct crn_codec_scan. gather may be NULL. */
    bool (*within)(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks);
    void (*gather)(const void *ctx, const uint32_t *pos, size_t n, float *out);
};

/* A prepared query over codes: rows 0.. are those from `codes` and `factors` on. */
struct crn_codec_scan {
    const void *state;
    const void *query; /* made by prepare */
    const uint8_t *codes;
    const float *factors[CRN_CODEC_FACTORS_MAX]; /* readable to the end of the last unit */
    size_t ahead; /* bytes of codes that are asked for ahead, where that depends on how many there are */
};

/* The codec of a quantization; NULL: none. */
const struct crn_codec *crn_codec_of(cairn_quantization quantization);
/* "none" for CAIRN_QUANTIZATION_NONE and the default; NULL: there is no such quantization. */
const char *crn_quantization_name(cairn_quantization quantization);

size_t crn_codec_row_bytes(const struct crn_codec *codec,
                           uint32_t dim); /* a vector, factors included, rounded up */
size_t crn_codec_bytes(const struct crn_codec *codec, uint32_t dim, size_t rows); /* of `rows` rows' codes */

extern const struct crn_codec crn_codec_scalar;
extern const struct crn_codec crn_codec_f16;
extern const struct crn_codec crn_codec_binary;
extern const struct crn_codec crn_codec_product;
extern const struct crn_codec crn_codec_scalar4;

/* For codecs: the mean of the rows, or of some tens of thousands of them when they are more. */
cairn_status crn_codec_mean(const struct crn_codec_rows *rows, float *out_mean, cairn_error *err);
size_t crn_codec_padded(size_t bytes); /* to whole cache lines */

#endif
