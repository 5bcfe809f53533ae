#include "engine/codec.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

#define MEAN_ROWS 65536u /* of more, some are looked at */

static const struct crn_codec *const codecs[] = {&crn_codec_scalar, &crn_codec_f16, &crn_codec_binary,
                                                 &crn_codec_product, &crn_codec_scalar4};

const struct crn_codec *crn_codec_of(cairn_quantization quantization)
{
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i]->quantization == quantization) return codecs[i];
    }
    return NULL;
}

const char *crn_quantization_name(cairn_quantization quantization)
{
    const struct crn_codec *codec = crn_codec_of(quantization);

    if (quantization == CAIRN_QUANTIZATION_DEFAULT || quantization == CAIRN_QUANTIZATION_NONE) return "none";
    return codec == NULL ? NULL : codec->name;
}

size_t crn_codec_row_bytes(const struct crn_codec *codec, uint32_t dim)
{
    return (codec->unit_bytes(dim) + codec->unit_rows - 1) / codec->unit_rows +
           codec->factor_count * sizeof(float);
}

size_t crn_codec_bytes(const struct crn_codec *codec, uint32_t dim, size_t rows)
{
    return (rows + codec->unit_rows - 1) / codec->unit_rows * codec->unit_bytes(dim);
}

size_t crn_codec_padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

cairn_status crn_codec_mean(const struct crn_codec_rows *rows, float *out_mean, cairn_error *err)
{
    const uint32_t step = rows->count / MEAN_ROWS + 1;
    double *sums = crn_mem_calloc(rows->dim, sizeof *sums);
    cairn_status status = CAIRN_OK;
    uint32_t seen = 0;

    if (sums == NULL) return crn_error_no_memory(err, rows->dim * sizeof *sums);
    for (uint32_t i = 0; status == CAIRN_OK && i < rows->count; i += step, seen++) {
        const float *vector;

        status = rows->vector(rows->ctx, i, &vector, err);
        for (uint32_t j = 0; status == CAIRN_OK && j < rows->dim; j++) sums[j] += (double)vector[j];
    }
    for (uint32_t j = 0; j < rows->dim; j++) out_mean[j] = seen == 0 ? 0 : (float)(sums[j] / seen);
    crn_mem_free(sums);
    return status;
}
