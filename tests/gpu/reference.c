#include "tests/gpu/reference.h"

#include "gpu/encode.h"
#include "tests/gpu/check.h"

#include <math.h>
#include <string.h>

static uint64_t state = 1;

void reference_seed(uint64_t seed)
{
    state = seed;
}

uint64_t reference_random(void) /* SplitMix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t reference_below(uint32_t end)
{
    return (uint32_t)(reference_random() % end);
}

float reference_number(void)
{
    double sum = 0;

    for (int i = 0; i < 4; i++) sum += (double)(reference_random() >> 11) * 0x1p-53;
    return (float)(sum - 2);
}

void reference_fill(struct reference *reference, const struct crn_gpu_set_options *options, uint32_t count,
                    size_t batch)
{
    const size_t dim = options->dim;

    *reference = (struct reference){.options = *options, .count = count, .batch = batch};
    reference->vectors = malloc((count * dim + 1) * sizeof(float));
    reference->dead = calloc(count + 1, 1);
    reference->queries = malloc(batch * dim * sizeof(float));
    CHECK(reference->vectors != NULL && reference->dead != NULL && reference->queries != NULL, "no memory");
    for (size_t i = 0; i < count * dim; i++) reference->vectors[i] = reference_number();
    for (size_t i = 0; i < batch * dim; i++) reference->queries[i] = reference_number();
    for (uint32_t r = 1; r < count; r += 1 + reference_below(20))
        memcpy(reference->vectors + r * dim, reference->vectors + reference_below(r) * dim,
               dim * sizeof(float));
}

void reference_filter(struct reference *reference, double share, bool each)
{
    const size_t words = ((size_t)reference->count + 63) / 64 * (each ? reference->batch : 1);

    reference->allow = calloc(words + 1, sizeof(uint64_t));
    reference->allow_each = each;
    CHECK(reference->allow != NULL, "no memory");
    for (size_t i = 0; i < words * 64; i++) {
        if ((double)(reference_random() >> 11) * 0x1p-53 < share) reference->allow[i / 64] |= 1ull << i % 64;
    }
}

void reference_release(struct reference *reference)
{
    free(reference->vectors);
    free(reference->dead);
    free(reference->queries);
    free(reference->allow);
}

static double element(enum crn_gpu_codec codec, const void *row, uint32_t i)
{
    if (codec == CRN_GPU_F32) return ((const float *)row)[i];
    if (codec == CRN_GPU_I8) return ((const int8_t *)row)[i];
    if (codec == CRN_GPU_B1) return (((const uint8_t *)row)[i / 8] >> i % 8 & 1) != 0 ? 1 : -1;
    const uint16_t half = ((const uint16_t *)row)[i];
    const int exponent = half >> 10 & 31;
    const double size = exponent == 0 ? ldexp(half & 1023, -24) : ldexp((half & 1023) | 1024, exponent - 25);
    return (half & 0x8000) != 0 ? -size : size;
}

struct decoded {
    char *rows;
    struct crn_gpu_encoded *encoded;
};

static struct decoded encode_all(const struct reference *reference, const float *vectors, size_t count)
{
    const struct crn_gpu_encoder encoder = {.codec = reference->options.codec,
                                            .metric = reference->options.metric,
                                            .dim = reference->options.dim,
                                            .step = reference->options.step};
    const size_t pitch = crn_gpu_pitch(encoder.codec, encoder.dim);
    struct decoded decoded = {.rows = malloc(count * pitch + 1),
                              .encoded = malloc((count + 1) * sizeof *decoded.encoded)};

    CHECK(decoded.rows != NULL && decoded.encoded != NULL, "no memory");
    for (size_t i = 0; i < count; i++)
        CHECK(crn_gpu_encode(&encoder, vectors + i * encoder.dim, decoded.rows + i * pitch,
                             &decoded.encoded[i]),
              "vector %zu", i);
    return decoded;
}

/* The distance, and how far an f32 computation may be off: 0 for whole numbers, which are computed the same way here. */
static double distance_of(const struct reference *reference, const char *q,
                          const struct crn_gpu_encoded *query, const char *x,
                          const struct crn_gpu_encoded *row, double *out_error)
{
    const enum crn_gpu_codec codec = reference->options.codec;
    const bool l2 = reference->options.metric == CRN_GPU_L2;
    double dot = 0, l2_sum = 0, size = 0;

    for (uint32_t i = 0; i < reference->options.dim; i++) {
        const double a = element(codec, q, i), b = element(codec, x, i);
        dot += a * b;
        l2_sum += (a - b) * (a - b);
        size += fabs(a * b);
    }
    *out_error = (l2 ? l2_sum : size) * (reference->options.dim + 16) * 0x1p-23 + 1e-30;
    if (codec <= CRN_GPU_F16) return l2 ? l2_sum : -dot;
    *out_error = 0;
    float scale = l2 ? -2.0f : -1.0f;
    if (reference->options.codec == CRN_GPU_I8 && reference->options.step > 0) {
        scale *= reference->options.step * reference->options.step;
    } else if (codec == CRN_GPU_B1 && reference->options.metric == CRN_GPU_COSINE) {
        scale /= (float)reference->options.dim;
    } else {
        scale = scale * row->step * query->step;
    }
    const float distance = fmaf(scale, (float)dot, l2 ? row->norm2 : 0.0f) + 0.0f;
    return distance; /* before the query's own part */
}

static bool in_lists(const struct crn_gpu_lists *lists, size_t query, uint32_t label)
{
    if (lists == NULL) return true;
    for (uint32_t p = 0; p < lists->probe_count; p++) {
        const uint32_t list = lists->probes[query * lists->probe_count + p];
        if (list != CRN_GPU_NONE && label >= lists->offsets[list] && label < lists->offsets[list + 1])
            return true;
    }
    return false;
}

struct candidate {
    double distance, error;
    uint32_t label;
};

static int by_distance(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->label < y->label ? -1 : x->label > y->label;
}

static size_t candidates_of(const struct reference *reference, size_t q, const struct decoded *rows,
                            const struct decoded *queries, struct candidate *out)
{
    const size_t pitch = crn_gpu_pitch(reference->options.codec, reference->options.dim);
    const uint64_t *allow = reference->allow;
    size_t count = 0;

    if (allow != NULL && reference->allow_each) allow += q * (((size_t)reference->count + 63) / 64);
    for (uint32_t r = 0; r < reference->count; r++) {
        if (reference->dead[r] || !in_lists(reference->lists, q, r)) continue;
        if (allow != NULL && (allow[r / 64] >> r % 64 & 1) == 0) continue;
        struct candidate *candidate = &out[count++];
        candidate->label = r;
        candidate->distance = distance_of(reference, queries->rows + q * pitch, &queries->encoded[q],
                                          rows->rows + r * pitch, &rows->encoded[r], &candidate->error);
    }
    qsort(out, count, sizeof *out, by_distance);
    return count;
}

static void check_query(const struct reference *reference, size_t q, size_t k, const struct candidate *right,
                        size_t count, double offset, const float *distances, const uint32_t *labels,
                        const char *what)
{
    const size_t wanted = count < k ? count : k;
    uint8_t *found = calloc(reference->count + 1, 1);

    CHECK(found != NULL, "no memory");
    for (size_t i = 0; i < k; i++) {
        if (i >= wanted) {
            CHECK(labels[i] == CRN_GPU_NONE && isinf(distances[i]),
                  "%s: query %zu, place %zu of %zu: label %u", what, q, i, wanted, labels[i]);
            continue;
        }
        CHECK(labels[i] < reference->count && !found[labels[i]], "%s: query %zu, place %zu: label %u", what,
              q, i, labels[i]);
        found[labels[i]] = 1;
        CHECK(i == 0 || distances[i - 1] <= distances[i], "%s: query %zu, place %zu: %g after %g", what, q, i,
              (double)distances[i], (double)distances[i - 1]);
        const double error = right[i].error * 2;
        CHECK(fabs(distances[i] - (right[i].distance + offset)) <=
                  error + (fabs(offset) + fabs(right[i].distance)) * 1e-6,
              "%s: query %zu, place %zu: %.9g, not %.9g", what, q, i, (double)distances[i],
              right[i].distance + offset);
        CHECK(error > 0 || labels[i] == right[i].label, "%s: query %zu, place %zu: label %u, not %u", what, q,
              i, labels[i], right[i].label);
    }
    /* Where sums are rounded, rows that are clearly nearer than the last one must be there. */
    for (size_t i = 0; i < wanted; i++) {
        if (right[i].distance + right[i].error * 2 >=
            right[wanted - 1].distance - right[wanted - 1].error * 2)
            continue;
        CHECK(found[right[i].label], "%s: query %zu: label %u at place %zu is missing", what, q,
              right[i].label, i);
    }
    free(found);
}

void reference_check(const struct reference *reference, size_t k, const float *distances,
                     const uint32_t *labels, const char *what)
{
    const struct decoded rows = encode_all(reference, reference->vectors, reference->count);
    const struct decoded queries = encode_all(reference, reference->queries, reference->batch);
    struct candidate *right = malloc((reference->count + 1) * sizeof *right);
    const bool expanded = reference->options.codec >= CRN_GPU_I8 && reference->options.metric == CRN_GPU_L2;

    CHECK(right != NULL, "no memory");
    for (size_t q = 0; q < reference->batch; q++) {
        const size_t count = candidates_of(reference, q, &rows, &queries, right);
        const double offset = expanded ? queries.encoded[q].norm2 : 0;
        check_query(reference, q, k, right, count, offset, distances + q * k, labels + q * k, what);
    }
    free(right);
    free(rows.rows);
    free(rows.encoded);
    free(queries.rows);
    free(queries.encoded);
}
