/*
 * The loops over rows, and the table they end in. This text is included once, at the end of each
 * kernels_<instruction set>.c, which before it defines the inner parts:
 *
 *   KERNELS, KERNELS_NAME         the table's symbol and its name
 *   GROUP                         rows whose sums are reduced together
 *   f32_sums, i32_sums            one row's partial sums
 *   f32_row(op, query, row, dim, stream)             the partial sums of one row
 *   f16_row(op, query, row, dim, stream)             the same of a row of halves
 *   i8_row(query, row, dim, stream, &hi, &lo)
 *   i8_l1_row(query, row, scale, dim, stream)
 *   within(x, limit)                                 of the table itself
 *   f32_reduce(sums, out), i32_reduce(sums, out)     [GROUP] partial sums to [GROUP] results
 *
 * Rows are read one after the other, in the order of memory, and only their sums are reduced GROUP at a time.
 * So a scan is one sequential stream, and rows of few dims do not wait each for a horizontal sum: with 16
 * lanes, 16 rows together cost 15 additions where 16 single ones cost 64.
 */

/* What a gather asks for before it reads row i; a block's rows prefetch for themselves (`stream`). */
CRN_INLINE void gather_ahead(const void *rows, size_t row_bytes, const uint32_t *pos, size_t n, size_t i)
{
    const size_t ahead = crn_prefetch_rows(row_bytes);
    const size_t begin = i == 0 ? 1 : i + ahead;

    for (size_t j = begin; j <= i + ahead && j < n; j++) {
        crn_prefetch_row((const char *)rows + pos[j] * row_bytes, row_bytes);
    }
}

CRN_INLINE void f32_rows(enum crn_op op, const float *query, const float *rows, size_t dim,
                         const uint32_t *pos, size_t n, float *out)
{
    f32_sums sums[GROUP];
    float partial[GROUP];

    for (size_t i = 0; i < n; i += GROUP) {
        const size_t count = n - i < GROUP ? n - i : GROUP;

        for (size_t r = 0; r < count; r++) {
            if (pos != NULL) gather_ahead(rows, dim * sizeof *rows, pos, n, i + r);
            sums[r] = f32_row(op, query, rows + (pos != NULL ? pos[i + r] : i + r) * dim, dim, pos == NULL);
        }
        if (count == GROUP) {
            f32_reduce(sums, out + i);
        } else {
            for (size_t r = count; r < GROUP; r++) sums[r] = sums[0];
            f32_reduce(sums, partial);
            memcpy(out + i, partial, count * sizeof *out);
        }
    }
}

CRN_INLINE void f16_rows(enum crn_op op, const float *query, const uint16_t *rows, size_t dim,
                         const uint32_t *pos, size_t n, float *out)
{
    f32_sums sums[GROUP];
    float partial[GROUP];

    for (size_t i = 0; i < n; i += GROUP) {
        const size_t count = n - i < GROUP ? n - i : GROUP;

        for (size_t r = 0; r < count; r++) {
            if (pos != NULL) gather_ahead(rows, dim * sizeof *rows, pos, n, i + r);
            sums[r] = f16_row(op, query, rows + (pos != NULL ? pos[i + r] : i + r) * dim, dim, pos == NULL);
        }
        if (count == GROUP) {
            f32_reduce(sums, out + i);
        } else {
            for (size_t r = count; r < GROUP; r++) sums[r] = sums[0];
            f32_reduce(sums, partial);
            memcpy(out + i, partial, count * sizeof *out);
        }
    }
}

CRN_INLINE void i8_rows(const struct crn_i8_query *query, const int8_t *rows, size_t dim, const uint32_t *pos,
                        size_t n, int32_t *out_hi, int32_t *out_lo)
{
    const struct crn_i8_query q = *query;
    i32_sums hi[GROUP], lo[GROUP];
    int32_t partial_hi[GROUP], partial_lo[GROUP];

    for (size_t i = 0; i < n; i += GROUP) {
        const size_t count = n - i < GROUP ? n - i : GROUP;

        for (size_t r = 0; r < count; r++) {
            if (pos != NULL) gather_ahead(rows, dim, pos, n, i + r);
            i8_row(&q, rows + (pos != NULL ? pos[i + r] : i + r) * dim, dim, pos == NULL, &hi[r], &lo[r]);
        }
        if (count == GROUP) {
            i32_reduce(hi, out_hi + i);
            i32_reduce(lo, out_lo + i);
        } else {
            for (size_t r = count; r < GROUP; r++) {
                hi[r] = hi[0];
                lo[r] = lo[0];
            }
            i32_reduce(hi, partial_hi);
            i32_reduce(lo, partial_lo);
            memcpy(out_hi + i, partial_hi, count * sizeof *out_hi);
            memcpy(out_lo + i, partial_lo, count * sizeof *out_lo);
        }
    }
}

CRN_INLINE void i8_l1_rows(const float *query, const int8_t *rows, const float *scale, size_t dim,
                           const uint32_t *pos, size_t n, float *out)
{
    f32_sums sums[GROUP];
    float partial[GROUP];

    for (size_t i = 0; i < n; i += GROUP) {
        const size_t count = n - i < GROUP ? n - i : GROUP;

        for (size_t r = 0; r < count; r++) {
            const size_t at = pos != NULL ? pos[i + r] : i + r;

            if (pos != NULL) gather_ahead(rows, dim, pos, n, i + r);
            sums[r] = i8_l1_row(query, rows + at * dim, scale[at], dim, pos == NULL);
        }
        if (count == GROUP) {
            f32_reduce(sums, out + i);
        } else {
            for (size_t r = count; r < GROUP; r++) sums[r] = sums[0];
            f32_reduce(sums, partial);
            memcpy(out + i, partial, count * sizeof *out);
        }
    }
}

#define FLOAT_KERNELS(op_name, op)                                                                           \
    static void f32_block_##op_name(const float *query, const float *rows, size_t dim, size_t n, float *out) \
    {                                                                                                        \
        f32_rows(op, query, rows, dim, NULL, n, out);                                                        \
    }                                                                                                        \
    static void f32_gather_##op_name(const float *query, const float *rows, size_t dim, const uint32_t *pos, \
                                     size_t n, float *out)                                                   \
    {                                                                                                        \
        f32_rows(op, query, rows, dim, pos, n, out);                                                         \
    }                                                                                                        \
    static void f16_block_##op_name(const float *query, const uint16_t *rows, size_t dim, size_t n,          \
                                    float *out)                                                              \
    {                                                                                                        \
        f16_rows(op, query, rows, dim, NULL, n, out);                                                        \
    }                                                                                                        \
    static void f16_gather_##op_name(const float *query, const uint16_t *rows, size_t dim,                   \
                                     const uint32_t *pos, size_t n, float *out)                              \
    {                                                                                                        \
        f16_rows(op, query, rows, dim, pos, n, out);                                                         \
    }

FLOAT_KERNELS(dot, CRN_OP_DOT)
FLOAT_KERNELS(l2, CRN_OP_L2)
FLOAT_KERNELS(l1, CRN_OP_L1)
#undef FLOAT_KERNELS

static void i8_block(const struct crn_i8_query *query, const int8_t *rows, size_t dim, size_t n,
                     int32_t *out_hi, int32_t *out_lo)
{
    i8_rows(query, rows, dim, NULL, n, out_hi, out_lo);
}

static void i8_gather(const struct crn_i8_query *query, const int8_t *rows, size_t dim, const uint32_t *pos,
                      size_t n, int32_t *out_hi, int32_t *out_lo)
{
    i8_rows(query, rows, dim, pos, n, out_hi, out_lo);
}

static void i8_l1_block(const float *query, const int8_t *rows, const float *scale, size_t dim, size_t n,
                        float *out)
{
    i8_l1_rows(query, rows, scale, dim, NULL, n, out);
}

static void i8_l1_gather(const float *query, const int8_t *rows, const float *scale, size_t dim,
                         const uint32_t *pos, size_t n, float *out)
{
    i8_l1_rows(query, rows, scale, dim, pos, n, out);
}

const struct crn_kernels KERNELS = {
    .name = KERNELS_NAME,
    .f32_block = {f32_block_dot, f32_block_l2, f32_block_l1},
    .f32_gather = {f32_gather_dot, f32_gather_l2, f32_gather_l1},
    .f16_block = {f16_block_dot, f16_block_l2, f16_block_l1},
    .f16_gather = {f16_gather_dot, f16_gather_l2, f16_gather_l1},
    .i8_block = i8_block,
    .i8_gather = i8_gather,
    .i8_l1_block = i8_l1_block,
    .i8_l1_gather = i8_l1_gather,
    .within = within,
};
