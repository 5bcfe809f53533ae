/* Planes and tables of queries against the formulas of quant/graph_row.h (graph_row_checks.c). */
#include "tests/quant/graph_row_subject.h"

static void check_planes(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_query *query = &subject->query;
    int32_t hi_sum = 0, lo_sum = 0;
    double most = 0;

    for (uint32_t j = 0; j < query->dims; j++) {
        const double z = (double)query->rotated[j],
                     most_error = (double)query->lo_scale * 0.5 + fabs(z) * 4 * HALF_ULP;
        const double plane = (double)query->hi_scale * query->hi[j] + (double)query->lo_scale * query->lo[j];
        if (!(fabs(z - plane) <= most_error) || query->hi[j] == -128 || query->lo[j] == -128) {
            fail(checks, "dims %u %s: dimension %u of the query, %g, became %d, %d: %g away", query->dims,
                 subject->kind, j, z, query->hi[j], query->lo[j], z - plane);
        }
        hi_sum += query->hi[j];
        lo_sum += query->lo[j];
        most = fmax(most, fabs(z));
    }
    if (query->hi_offset != 128 * hi_sum || query->lo_offset != 128 * lo_sum) {
        fail(checks, "dims %u: offsets %d and %d, not 128 times %d and %d", query->dims, query->hi_offset,
             query->lo_offset, hi_sum, lo_sum);
    }
    if (!(fabs((double)query->hi_scale * 127 - fmax(most, (double)CRN_ROW_TINY)) <=
          most * 4 * HALF_ULP + 1e-38)) {
        fail(checks, "dims %u: scale %g of a query that reaches %g", query->dims, (double)query->hi_scale,
             most);
    }
}

static void check_table(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_query *query = &subject->query;
    const double step = (double)query->table_scale / 2;
    double widest = 0, offset = 0, sizes = 0;

    for (uint32_t s = 0; s < query->dims / 4; s++) {
        const float *z = query->rotated + s * 4;
        double least = 0, size = 0;
        for (int i = 0; i < 4; i++) {
            least += fmin((double)z[i], 0);
            size += fabs((double)z[i]);
            offset -= (double)z[i];
        }
        for (uint32_t e = 0; e < 16; e++) {
            double sum = -least;
            for (uint32_t i = 0; i < 4; i++) sum += e >> i & 1 ? (double)z[i] : 0;
            if (!(fabs(query->table[s * 16 + e] * step - sum) <= step * 0.5 + size * 8 * HALF_ULP)) {
                fail(checks, "dims %u: entry %u of group %u is %u steps of %g, not %g", query->dims, e, s,
                     query->table[s * 16 + e], step, sum);
            }
        }
        offset += 2 * least;
        sizes += size;
        widest = fmax(widest, size);
    }
    widest = fmax(widest, (double)CRN_ROW_TINY);
    if (!(fabs(step * 255 - widest) <= widest * 8 * HALF_ULP))
        fail(checks, "dims %u: step %g, widest %g", query->dims, step, widest);
    if (!(fabs(offset - (double)query->table_offset) <= 2 * (query->dims / 4 + 4) * HALF_ULP * sizes)) {
        fail(checks, "dims %u: offset %g, not %g", query->dims, (double)query->table_offset, offset);
    }
}

void check_graph_query(struct checks *checks, const struct subject *subject)
{
    check_planes(checks, subject);
    check_table(checks, subject);
}
