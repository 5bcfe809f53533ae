/* What bench_codecs asks of a codec, and the codecs it knows (bench_codecs_list.c). */
#ifndef CRN_BENCH_CODECS_H
#define CRN_BENCH_CODECS_H

#include "quant/flat_scan.h"
#include "quant/lookup.h"

struct bench_data {
    enum crn_op op;
    size_t n, query_count, dim;
    float *rows;    /* [n][dim] */
    float *queries; /* [query_count][dim] */
};

struct bench_codec {
    const char *name;
    bool has_l1;
    void *state;
    size_t (*bytes)(size_t dim); /* a vector */
    void (*encode)(void *state, const struct bench_data *data);
    void (*prepare)(void *state, const float *query);
    bool (*within)(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks);
    void (*release)(void *state);
};

extern const struct bench_codec bench_codecs[];
extern const size_t bench_codec_count;

void bench_fail(const char *what);
void *bench_alloc(size_t bytes);

#endif
