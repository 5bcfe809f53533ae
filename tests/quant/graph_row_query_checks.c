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

/* Records of signs: what they hold, and the estimates made of them. */
void check_graph_signs(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    const struct crn_graph_query *query = &subject->query;
    const uint32_t dims = layout->dims,
                   nodes[] = {1, 0, 1, 0, 0, 1, 0}; /* more than are summed up together */
    const size_t bytes = crn_graph_signs_bytes(dims);
    uint8_t *records = put(&checks->keys, 2 * bytes, subject->at_end);
    double squares = 0, absolutes = 0, dot = 0, plane = 0;
    float out[7];

    crn_graph_signs_write(layout, subject->x, records);
    crn_graph_signs_write(layout, subject->c, records + bytes);
    for (uint32_t j = 0; j < dims; j++) {
        const double z = decoded(layout, subject->c, j);
        const bool set = (records[bytes + j / 8] >> (j % 8) & 1) != 0;
        if (set != (z >= 0))
            fail(checks, "dims %u %s: sign of dimension %u, %g, is %d", dims, subject->kind, j, z, set);
        squares += z * z;
        absolutes += fabs(z);
        dot += (set ? 1 : -1) * (double)query->hi[j] * (double)query->hi_scale;
        plane += fabs((double)query->hi[j]) * (double)query->hi_scale;
    }
    const double scale = absolutes > 0 ? squares / absolutes : 0,
                 weight = (double)head_of(layout, subject->c).weight;
    if (!(fabs((double)read_float(records + bytes + dims / 8 + 4) - scale) <= scale * 8 * HALF_ULP + 1e-38)) {
        fail(checks, "dims %u %s: scale %g, not %g", dims, subject->kind,
             (double)read_float(records + bytes + dims / 8 + 4), scale);
    }
    checks->form->kernels->signs_estimate(query, 0.5f, records, nodes, 7, out);
    const double expected = (double)query->constant + weight - scale * (2 * dot + 0.5);
    const double most =
        16 * HALF_ULP * (fabs((double)query->constant) + fabs(weight) + scale * (2 * plane + 0.5)) + 1e-37;
    if (!(fabs((double)out[0] - expected) <= most))
        fail(checks, "dims %u %s: estimate %g by signs, not %g", dims, subject->kind, (double)out[0],
             expected);
    for (size_t i = 2; i < 7; i++) {
        const float same = out[nodes[i] == 1 ? 0 : 1];
        if (memcmp(&out[i], &same, sizeof same) != 0) {
            fail(checks, "dims %u %s: estimate %zu by signs is %g, and was %g", dims, subject->kind, i,
                 (double)out[i], (double)same);
        }
    }
}

void check_graph_query(struct checks *checks, const struct subject *subject)
{
    check_planes(checks, subject);
    check_table(checks, subject);
}
