/*
 * Every number of a row and of an estimate against the formulas of quant/graph_row.h in double precision,
 * within bounds that follow from the number of roundings; codes, signs and rows without neighbours bit for
 * bit against the plain form. Rows, queries and pools lie against forbidden pages at their end or their
 * beginning (guarded.h).
 */
#include "tests/quant/graph_row_checks.h"

#include "tests/quant/graph_row_subject.h"

/* What a slot's factors and signs should be. */
struct expected {
    double a, b;
    double slack_a, slack_b; /* what the order of float sums may change */
};

static void make_query(struct checks *checks, struct subject *subject, double length)
{
    const uint32_t dims = subject->layout.dims;

    crn_graph_query_init(&subject->query, dims,
                         put(&checks->query, crn_graph_query_bytes(dims), subject->at_end));
    for (uint32_t j = 0; j < dims; j++)
        subject->query.rotated[j] = (float)(crn_rng_normal(&checks->rng) * length);
    subject->query.constant = (float)(length * length * crn_rng_unit(&checks->rng));
    checks->form->kernels->query_prepare(&subject->query);
    check_graph_query(checks, subject);
}

/* ---- rows ---- */

static void make_row(struct checks *checks, const struct subject *subject, double length, uint8_t *row)
{
    const struct crn_graph_layout *layout = &subject->layout;
    static uint8_t same[REGION_BYTES];
    float z[CRN_GRAPH_DIMS_MAX], weight;
    double most = (double)CRN_ROW_TINY;

    for (uint32_t j = 0; j < layout->dims; j++) {
        z[j] = (float)(crn_rng_normal(&checks->rng) * length);
        most = fmax(most, fabs((double)z[j]));
    }
    weight = (float)(length * length * crn_rng_unit(&checks->rng));
    memset(row, 0xaa, layout->row_bytes);
    memset(same, 0x55, sizeof same);
    checks->form->kernels->row_init(layout, z, weight, row);
    crn_graph_kernels_plain.row_init(layout, z, weight, same);
    if (memcmp(row, same, layout->row_bytes) != 0)
        fail(checks, "dims %u %s: not the plain form's row", layout->dims, subject->kind);
    const struct crn_graph_head head = head_of(layout, row);
    if (!(fabs((double)head.scale * 127 - most) <= most * 2 * HALF_ULP) || head.weight != weight ||
        head.lock != 0 || !(head.factor_scale > 0)) {
        fail(checks, "dims %u %s: scale %g, weight %g, lock %u", layout->dims, subject->kind,
             (double)head.scale, (double)head.weight, head.lock);
    }
    for (uint32_t j = 0; j < layout->dims; j++) {
        if (row[j] == 0 ||
            !(fabs(decoded(layout, row, j) - (double)z[j]) <= (double)head.scale * 0.5 * (1 + 0x1p-10))) {
            fail(checks, "dims %u %s: %g became %u times %g", layout->dims, subject->kind, (double)z[j],
                 row[j], (double)head.scale);
        }
    }
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        if (crn_graph_id(layout, row, v) != CRN_GRAPH_NO_NODE ||
            read_half(row + layout->a + 2 * v) != INFINITY) {
            fail(checks, "dims %u: slot %u of a new row is in use", layout->dims, v);
        }
    }
}

/* Near 0 a residual in float may have either sign. */
static bool vanishes(double zx, double zc)
{
    return fabs(zx - zc) <= (fabs(zx) + fabs(zc)) * 2 * HALF_ULP;
}

static struct expected expect(const struct crn_graph_layout *layout, const uint8_t *c, const uint8_t *x)
{
    const double rounds = (layout->dims / 4 + 16) * HALF_ULP;
    double squares = 0, absolutes = 0, along = 0, signs = 0, along_size = 0, c_size = 0, either = 0;

    for (uint32_t j = 0; j < layout->dims; j++) {
        const double zc = decoded(layout, c, j), zx = decoded(layout, x, j), r = zx - zc;
        squares += r * r;
        absolutes += fabs(r);
        along += zc * r;
        signs += r > 0 ? zc : -zc;
        along_size += fabs(zc * r);
        c_size += fabs(zc);
        if (vanishes(zx, zc)) either += fabs(zc);
    }
    const double f = absolutes > 0 ? squares / absolutes : 0;
    const double weights = (double)head_of(layout, x).weight - (double)head_of(layout, c).weight;
    return (struct expected){.a = weights - 2 * along + 2 * f * signs,
                             .b = -2 * f,
                             .slack_a =
                                 4 * rounds * (fabs(weights) + along_size + f * c_size) + 4 * f * either,
                             .slack_b = 4 * rounds * f};
}

/* The signs in slot v against residuals. */
static void check_signs(struct checks *checks, const struct subject *subject, uint32_t v, const uint8_t *x)
{
    const struct crn_graph_layout *layout = &subject->layout;

    for (uint32_t j = 0; j < layout->dims; j++) {
        const double zc = decoded(layout, subject->c, j), zx = decoded(layout, x, j);
        const uint8_t byte = subject->c[layout->signs + j / 4 * 16 + v % 16];
        const bool positive = byte >> (v / 16 * 4 + j % 4) & 1;
        if (positive != (zx > zc) && !vanishes(zx, zc)) {
            fail(checks, "dims %u %s: sign %u of slot %u is wrong", layout->dims, subject->kind, j, v);
        }
    }
}

static void check_slots(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    const double unit = (double)head_of(layout, subject->c).factor_scale;

    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint8_t *x = subject->neighbours[v] + 1;
        const double a = (double)read_half(subject->c + layout->a + 2 * v) * unit;
        const double b = (double)read_half(subject->c + layout->b + 2 * v) * unit;
        const uint32_t id = crn_graph_id(layout, subject->c, v);
        if (id != subject->ids[v])
            fail(checks, "dims %u %s: id %u in slot %u, not %u", layout->dims, subject->kind, id, v,
                 subject->ids[v]);
        if (subject->neighbours[v][0] == 0) {
            if (a != (double)INFINITY)
                fail(checks, "dims %u %s: a %g in the empty slot %u", layout->dims, subject->kind, a, v);
            continue;
        }
        const struct expected want = expect(layout, subject->c, x);
        /* A half's last place, and below its normal range what rescaling may have lost. */
        if (!(fabs(a - want.a) <= want.slack_a + fabs(want.a) * 0x1p-11 * 1.01 + unit * 0x1p-24) ||
            !(fabs(b - want.b) <= want.slack_b + fabs(want.b) * 0x1p-11 * 1.01 + unit * 0x1p-24)) {
            fail(checks, "dims %u %s: factors %g, %g of slot %u in units of %g, not %g, %g", layout->dims,
                 subject->kind, a, b, v, unit, want.a, want.b);
        }
        check_signs(checks, subject, v, x);
    }
}

static void set_slot(struct checks *checks, struct subject *subject, uint32_t v, uint32_t id)
{
    const struct crn_graph_layout *layout = &subject->layout;
    static uint8_t same[REGION_BYTES];

    memcpy(same, subject->c, layout->row_bytes);
    checks->form->kernels->row_set(layout, subject->c, v, subject->x, id);
    crn_graph_kernels_plain.row_set(layout, same, v, subject->x, id);
    subject->neighbours[v][0] = 1;
    memcpy(subject->neighbours[v] + 1, subject->x, layout->row_bytes);
    subject->ids[v] = id;
    if (memcmp(same, subject->c, layout->a) != 0)
        fail(checks, "dims %u %s: not the plain form's signs", layout->dims, subject->kind);
    if (memcmp(same + layout->ids, subject->c + layout->ids, CRN_GRAPH_DEGREE * 3) != 0) {
        fail(checks, "dims %u %s: not the plain form's ids", layout->dims, subject->kind);
    }
}

static void check_dot(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    int64_t sum = 0;

    for (uint32_t j = 0; j < layout->dims; j++)
        sum += ((int)subject->c[j] - 128) * ((int)subject->x[j] - 128);
    /* At most 1024 * 127 * 127 < 2^24: nothing is rounded but the two products. */
    const float want =
        read_float(subject->c + layout->head) * read_float(subject->x + layout->head) * (float)sum;
    const float got = checks->form->kernels->row_dot(layout, subject->c, subject->x);
    if (got != want)
        fail(checks, "dims %u %s: product %.9g, not %.9g", layout->dims, subject->kind, (double)got,
             (double)want);
}

/* ---- estimates ---- */

static float check_distance(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    const struct crn_graph_query *query = &subject->query;
    const struct crn_graph_head head = head_of(layout, subject->c);
    double sum = 0, sizes = 0, exact = 0, code_sizes = 0;

    for (uint32_t j = 0; j < layout->dims; j++) {
        const double z = decoded(layout, subject->c, j), hi = (double)query->hi_scale * query->hi[j];
        sum += z * (hi + (double)query->lo_scale * query->lo[j]);
        exact += z * (double)query->rotated[j];
        sizes += subject->c[j] * (double)head.scale * fabs(hi);
        code_sizes += fabs(z);
    }
    const double rest = (double)query->constant + (double)head.weight,
                 got = (double)checks->form->distance(layout, query, subject->c);
    const double slack =
        16 * HALF_ULP * (fabs(rest) + 4 * sizes + 512 * (double)(query->hi_scale * head.scale));
    if (!(fabs(got - (rest - 2 * sum)) <= slack)) {
        fail(checks, "dims %u %s: distance %.9g, not %.9g (%g)", layout->dims, subject->kind, got,
             rest - 2 * sum, slack);
    }
    if (!(fabs(got - (rest - 2 * exact)) <= slack + 1.01 * (double)query->lo_scale * code_sizes)) {
        fail(checks, "dims %u %s: distance %.9g, not about %.9g", layout->dims, subject->kind, got,
             rest - 2 * exact);
    }
    return (float)got;
}

static void check_estimate(struct checks *checks, const struct subject *subject, uint32_t v, float distance,
                           float got)
{
    const struct crn_graph_layout *layout = &subject->layout;
    const struct crn_graph_query *query = &subject->query;
    const double unit = (double)head_of(layout, subject->c).factor_scale;
    const double a = (double)read_half(subject->c + layout->a + 2 * v) * unit,
                 b = (double)read_half(subject->c + layout->b + 2 * v) * unit;
    uint32_t sum = 0;

    for (uint32_t s = 0; s < layout->dims / 4; s++) {
        const uint8_t byte = subject->c[layout->signs + s * 16 + v % 16];
        sum += query->table[s * 16 + (byte >> (v / 16 * 4) & 15)];
    }
    const double scaled = (double)query->table_scale * sum, offset = (double)query->table_offset;
    const double want = (double)distance + a + b * (scaled + offset);
    const double slack =
        6 * HALF_ULP * (fabs((double)distance) + fabs(a) + fabs(b) * (scaled + fabs(offset))) + 1e-44;
    if (!(fabs((double)got - want) <= slack)) {
        fail(checks, "dims %u %s: estimate %.9g of slot %u, not %.9g (%g)", layout->dims, subject->kind,
             (double)got, v, want, slack);
    }
}

/* Under a limit come exactly those that came without one and are below it, in the same order and with the
 * same bits. */
static void check_limit(struct checks *checks, const struct subject *subject, float distance, float limit,
                        const float *all, const uint32_t *all_ids, unsigned all_count)
{
    float near[OUT_MAX + 1];
    uint32_t ids[OUT_MAX + 1];
    unsigned kept = 0;
    const uint32_t canary = CANARY;

    memcpy(&near[OUT_MAX], &canary, sizeof canary);
    ids[OUT_MAX] = canary;
    const unsigned count =
        checks->form->neighbours(&subject->layout, &subject->query, subject->c, distance, limit, near, ids);
    for (unsigned i = 0; i < all_count; i++) {
        if (!(all[i] < limit)) continue;
        if (kept >= count || memcmp(&near[kept], &all[i], sizeof *near) != 0 || ids[kept] != all_ids[i]) {
            fail(checks, "dims %u %s: limit %g: place %u of %u is not node %u", subject->layout.dims,
                 subject->kind, (double)limit, kept, count, all_ids[i]);
        }
        kept++;
    }
    if (kept != count)
        fail(checks, "dims %u: %u nodes, not %u, below %g", subject->layout.dims, count, kept, (double)limit);
    if (memcmp(&near[OUT_MAX], &canary, sizeof canary) != 0 || ids[OUT_MAX] != canary) {
        fail(checks, "dims %u: wrote beyond its output", subject->layout.dims);
    }
}

static void check_estimates(struct checks *checks, const struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    float near[OUT_MAX], all[CRN_GRAPH_DEGREE];
    uint32_t ids[OUT_MAX];
    unsigned used = 0;

    checks->form->prefetch(layout, subject->c);
    const float distance = check_distance(checks, subject);
    const unsigned count =
        checks->form->neighbours(layout, &subject->query, subject->c, distance, INFINITY, near, ids);
    if (checks->form->kernels->row_estimate(layout, &subject->query, subject->c, all) != distance) {
        fail(checks, "dims %u: the table's distance is not the inline one", layout->dims);
    }
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        if (subject->neighbours[v][0] == 0) {
            if (all[v] != INFINITY)
                fail(checks, "dims %u: the empty slot %u is %g away", layout->dims, v, (double)all[v]);
            continue;
        }
        if (used >= count || ids[used] != subject->ids[v] ||
            memcmp(&near[used], &all[v], sizeof *near) != 0) {
            fail(checks, "dims %u: place %u of %u is not slot %u", layout->dims, used, count, v);
        } else {
            check_estimate(checks, subject, v, distance, near[used]);
        }
        used++;
    }
    if (count != used) fail(checks, "dims %u: %u neighbours of %u", layout->dims, count, used);
    for (unsigned i = 0; i < count; i += 5) check_limit(checks, subject, distance, near[i], near, ids, count);
    check_limit(checks, subject, distance, -INFINITY, near, ids, count);
    check_limit(checks, subject, distance, NAN, near, ids, count);
}

/* ---- kinds of rows ---- */

/* Lengths of the node, and of its neighbours as they come in. */
struct lengths {
    const char *name;
    double c, query;
    double x[3]; /* in turn */
};

static const struct lengths kinds[] = {
    {"even", 1, 1, {1, 1, 1}},
    {"huge then tiny", 1, 1, {1e15, 1e-3, 1}},
    {"growing", 1e-3, 1e3, {1e-3, 1, 1e6}},
    {"tiny", 1e-14, 1e-14, {1e-14, 2e-14, 1e-15}},
    {"beside nothing", 0, 1, {0, 1e-8, 1}},
    {"nothing", 0, 0, {0, 0, 0}},
    {"tiny then huge", 1e-15, 1, {1e-15, 1e15, 1}},
};

static uint32_t edge_id(struct checks *checks, uint32_t v)
{
    if (v == 0) return 0;
    if (v == CRN_GRAPH_DEGREE - 1) return CRN_GRAPH_NO_NODE - 1;
    return (uint32_t)crn_rng_below(&checks->rng, CRN_GRAPH_NO_NODE);
}

static void check_row(struct checks *checks, struct subject *subject, const struct lengths *lengths)
{
    const struct crn_graph_layout *layout = &subject->layout;

    subject->kind = lengths->name;
    subject->c = put(&checks->c, layout->row_bytes, subject->at_end);
    subject->x = put(&checks->x, layout->row_bytes, subject->at_end);
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        subject->neighbours[v][0] = 0;
        subject->ids[v] = CRN_GRAPH_NO_NODE;
    }
    make_query(checks, subject, lengths->query);
    make_row(checks, subject, lengths->c, subject->c);
    check_estimates(checks, subject);
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        make_row(checks, subject, lengths->x[v % 3], subject->x);
        if (v % 8 == 5) memcpy(subject->x, subject->c, layout->dims);                     /* the same codes */
        if (v % 16 == 5) memcpy(subject->x + layout->head, subject->c + layout->head, 8); /* a duplicate */
        check_dot(checks, subject);
        set_slot(checks, subject, v, edge_id(checks, v));
        if (v == 0 || v == 6 || v == 16) {
            check_slots(checks, subject);
            check_estimates(checks, subject);
        }
    }
    for (uint32_t i = 0; i < 5; i++) { /* replaced */
        make_row(checks, subject, lengths->x[i % 3], subject->x);
        set_slot(checks, subject, (uint32_t)crn_rng_below(&checks->rng, CRN_GRAPH_DEGREE),
                 edge_id(checks, i));
    }
    check_slots(checks, subject);
    check_estimates(checks, subject);
    check_graph_signs(checks, subject);
}

/*
 * Without bias: over queries that lie in the neighbour's direction, so that a wrong factor would show, the
 * mean of the error is 0 within five times its deviation. Distances are those of the codes.
 */
static void check_bias(struct checks *checks, struct subject *subject)
{
    const struct crn_graph_layout *layout = &subject->layout;
    const unsigned samples = 1500;
    double sum = 0, squares = 0, effect = 0;

    subject->kind = "bias";
    subject->c = put(&checks->c, layout->row_bytes, true);
    subject->x = put(&checks->x, layout->row_bytes, true);
    for (unsigned i = 0; i < samples; i++) {
        float near[CRN_GRAPH_DEGREE];
        double exact = 0, r2 = 0;
        make_row(checks, subject, 1, subject->c);
        make_row(checks, subject, 1, subject->x);
        checks->form->kernels->row_set(layout, subject->c, 0, subject->x, 1);
        crn_graph_query_init(&subject->query, layout->dims,
                             put(&checks->query, crn_graph_query_bytes(layout->dims), true));
        for (uint32_t j = 0; j < layout->dims; j++) {
            const double zc = decoded(layout, subject->c, j), r = decoded(layout, subject->x, j) - zc;
            subject->query.rotated[j] = (float)(zc + 0.8 * r + 0.3 * crn_rng_normal(&checks->rng));
            exact += (double)subject->query.rotated[j] * r;
            r2 += r * r;
        }
        subject->query.constant = 0;
        checks->form->kernels->query_prepare(&subject->query);
        const float distance = checks->form->kernels->row_estimate(layout, &subject->query, subject->c, near);
        const double weights =
            (double)head_of(layout, subject->x).weight - (double)head_of(layout, subject->c).weight;
        const double error = ((double)near[0] - (double)distance - weights + 2 * exact) / r2;
        sum += error;
        squares += error * error;
        effect += 2 * 0.8;
    }
    const double mean = sum / samples, deviation = sqrt(squares / samples - mean * mean) / sqrt(samples);
    if (!(fabs(mean) <= 5 * deviation))
        fail(checks, "dims %u: bias %g, deviation %g", layout->dims, mean, deviation);
    /* A factor that is 2 % off would have been found. */
    if (!(5 * deviation < 0.02 * effect / samples))
        fail(checks, "dims %u: deviation %g tells nothing", layout->dims, deviation);
}

/* ---- pools ---- */

static void check_rank(struct checks *checks, uint32_t count, bool at_end)
{
    const size_t places = count + 8;
    uint64_t *keys = put(&checks->keys, places * sizeof *keys, at_end);
    const uint64_t spread = count % 2 ? 50 : UINT64_C(0x7f80000000ffffff); /* with and without equal ones */

    for (uint32_t i = 0; i < places; i++) {
        uint64_t key = i < count ? crn_rng_below(&checks->rng, spread) + 1 : UINT64_MAX;
        uint32_t j = i;
        for (; i < count && j > 0 && keys[j - 1] > key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
    for (uint32_t i = 0; i < 24; i++) {
        const uint64_t drawn = i < 12 || count == 0 ? crn_rng_below(&checks->rng, spread + 2)
                                                    : keys[crn_rng_below(&checks->rng, count)];
        const uint64_t key = i == 0 ? 0 : i == 1 ? UINT64_MAX - 1 : drawn;
        uint32_t want = 0;
        while (want < count && keys[want] <= key) want++;
        const uint32_t rank = checks->form->pool_rank(keys, count, key);
        if (rank != want) fail(checks, "rank %u, not %u, among %u keys", rank, want, count);
    }
}

/* Inserts into a list that has room for one more, or none; what lies behind the list stays as it is. */
static void check_insert(struct checks *checks, uint32_t most, bool full, bool at_end)
{
    const size_t places = most + 8;
    uint64_t *keys = put(&checks->keys, places * sizeof *keys, at_end), model[POOL_MAX + 9];
    const uint64_t spread = most % 2 ? 50 : UINT64_C(0x7f80000000ffffff);
    const uint32_t before = full || most == 0 ? most : most - 1;

    for (uint32_t round = 0; round < 8; round++) {
        const uint64_t key = crn_rng_below(&checks->rng, spread + 2);
        uint32_t count = 0, at = 0;
        for (uint32_t i = 0; i < places; i++) keys[i] = model[i] = UINT64_MAX;
        model[places] = UINT64_MAX;
        for (uint32_t i = 0; i < before; i++) {
            const uint64_t drawn = crn_rng_below(&checks->rng, spread) + 1;
            uint32_t j = i;
            for (; j > 0 && model[j - 1] > drawn; j--) model[j] = model[j - 1];
            model[j] = drawn;
        }
        memcpy(keys, model, places * sizeof *keys);
        count = before;
        while (at < before && model[at] <= key) at++;
        memmove(model + at + 1, model + at, (places - at) * sizeof *model);
        model[at] = key;
        model[most] = UINT64_MAX;
        const uint32_t got = checks->form->pool_insert(keys, &count, most, key);
        if (got != at || count != (before < most ? before + 1 : most) ||
            memcmp(model, keys, places * sizeof *keys) != 0)
            fail(checks, "insert at %u, not %u, %u keys of %u", got, at, before, most);
    }
}

/* Merges lists of all sizes into a pool, from empty to overflowing, against inserting their keys one by one. */
static void check_merge(struct checks *checks, uint32_t most, bool at_end)
{
    struct crn_pool pool;
    uint64_t *memory = put(&checks->keys, crn_pool_words(most) * sizeof *memory, at_end);
    uint64_t model[POOL_MAX + CRN_POOL_PAD];
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16], count = 0;

    crn_pool_reset(&pool, memory, most);
    memset(model, 0xff, sizeof model);
    for (uint32_t merged = 0; merged < 2 * most + CRN_GRAPH_DEGREE;) {
        const uint32_t n = 1 + (uint32_t)crn_rng_below(&checks->rng, CRN_GRAPH_DEGREE);
        uint32_t lowest = most;
        for (uint32_t i = 0; i < n; i++) { /* some keys are equal, some distances below 0 */
            distances[i] = (float)crn_rng_below(&checks->rng, 100) / (float)(1 + merged) - 0.1f;
            ids[i] = (uint32_t)crn_rng_below(&checks->rng, merged % 3 == 0 ? 4 : CRN_GRAPH_NODES_MAX);
            const uint64_t key = crn_pool_key(distances[i], ids[i]);
            uint32_t at = 0;
            while (at < count && model[at] <= key) at++;
            if (at >= most) continue;
            count += count < most;
            memmove(model + at + 1, model + at, (count - 1 - at) * sizeof *model);
            model[at] = key;
            lowest = at < lowest ? at : lowest;
        }
        const uint32_t got = checks->form->pool_merge(&pool, distances, ids, n);
        if (got != lowest || pool.count != count ||
            memcmp(model, memory, (most + CRN_POOL_PAD) * sizeof *model) != 0) {
            fail(checks, "merging %u keys into %u of %u: lowest %u, not %u", n, count, most, got, lowest);
            return;
        }
        merged += n;
    }
}

static void check_unseen(struct checks *checks, unsigned count, bool at_end)
{
    const uint32_t nodes = 1 + (uint32_t)crn_rng_below(&checks->rng, 3000), words = (nodes + 63) / 64;
    uint64_t *seen = put(&checks->keys, words * sizeof *seen, at_end);
    float distances[CRN_GRAPH_DEGREE + 16], left[CRN_GRAPH_DEGREE];
    uint32_t ids[CRN_GRAPH_DEGREE + 16], kept[CRN_GRAPH_DEGREE];
    unsigned want = 0;

    for (uint32_t w = 0; w < words; w++) seen[w] = crn_rng_u64(&checks->rng);
    for (unsigned i = 0; i < count; i++) {
        ids[i] = i % 7 == 3 ? CRN_GRAPH_NO_NODE - (uint32_t)crn_rng_below(&checks->rng, 9)
                            : (uint32_t)crn_rng_below(&checks->rng, nodes + 2);
        distances[i] = (float)i;
        if (ids[i] >= nodes || (seen[ids[i] / 64] >> (ids[i] % 64) & 1) != 0) continue;
        left[want] = distances[i];
        kept[want++] = ids[i];
    }
    const unsigned got = checks->form->unseen(seen, nodes, distances, ids, count);
    if (got != want || memcmp(kept, ids, want * sizeof *kept) != 0 ||
        memcmp(left, distances, want * sizeof *left) != 0)
        fail(checks, "%u of %u nodes unseen, not %u", got, count, want);
}

unsigned check_graph_rows(const struct graph_row_form *form, uint64_t seed, bool quiet)
{
    struct checks checks = {.form = form, .quiet = quiet};
    static struct subject subject;

    crn_rng_init(&checks.rng, seed);
    checks.query = guarded_map(REGION_BYTES);
    checks.c = guarded_map(REGION_BYTES);
    checks.x = guarded_map(REGION_BYTES);
    checks.keys = guarded_map(REGION_BYTES);
    for (uint32_t dims = 64; dims <= CRN_GRAPH_DIMS_MAX; dims += 64) {
        subject.layout = crn_graph_layout_of(dims);
        for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
            subject.at_end = (dims / 64 + kind) % 2 == 0;
            check_row(&checks, &subject, &kinds[kind]);
        }
        subject.at_end = !subject.at_end;
        check_row(&checks, &subject, &kinds[0]);
        if (dims == 64 || dims == 192 || dims == 1024) check_bias(&checks, &subject);
    }
    for (uint32_t count = 0; count <= POOL_MAX; count++) {
        check_rank(&checks, count, true);
        check_rank(&checks, count, false);
        check_insert(&checks, count, count % 3 != 0, count % 2 == 0);
        if (count > 0 && (count < 40 || count % 13 == 0)) check_merge(&checks, count, count % 2 == 0);
        check_unseen(&checks, count % (CRN_GRAPH_DEGREE + 1), count % 2 == 0);
    }
    guarded_unmap(&checks.query);
    guarded_unmap(&checks.c);
    guarded_unmap(&checks.x);
    guarded_unmap(&checks.keys);
    return checks.failures;
}
