/* Filtered searches through the graph index, through the public API: recall by selectivity and kind, k rows whenever k match, deleted
 * rows. Groups of rows nest, so that a filter is a domain or a range of numbers in the payload. */
#include "tests/engine/database.h"

#include <math.h>

#define DIM 32
#define ROWS 12000u
#define CLUSTERS 60u
#define QUERIES 40u
#define K_MOST 100u

static float vectors[ROWS][DIM], centers[CLUSTERS][DIM];
static uint32_t ranks[ROWS];   /* random: a filter of share s allows the rows of rank < s * ROWS */
static uint32_t regions[ROWS]; /* by the first component */
static bool dead[ROWS];

/* The last two are LOW or HIGH: the half in which the query lies, or the other. */
enum kind { RANDOM, LOW, HIGH, CORRELATED, ANTICORRELATED, KINDS };
static const char *const kind_names[] = {"random", "low", "high", "correlated", "anticorrelated"};

static int by_first(const void *a, const void *b)
{
    const float x = vectors[*(const uint32_t *)a][0], y = vectors[*(const uint32_t *)b][0];
    return x < y ? -1 : x > y;
}

static void draw(struct crn_rng *rng, float *out)
{
    const float *center = centers[crn_rng_below(rng, CLUSTERS)];

    for (size_t i = 0; i < DIM; i++) out[i] = center[i] + 0.5f * (float)crn_rng_normal(rng);
}

static cairn_collection *make(struct database *database, struct crn_rng *rng)
{
    static char payloads[ROWS][64];
    static cairn_pattern patterns[ROWS];
    static uint32_t order[ROWS];
    const cairn_open_options options = {
        .size = sizeof options, .no_background = true, .tail_rows_max = 100000, .durability = CAIRN_LAZY};
    const cairn_collection_options settings = {
        .size = sizeof settings, .dim = DIM, .metric = CAIRN_METRIC_L2, .index = "graph"};
    cairn_collection *notes;

    database_create(database, &options);
    ok(cairn_collection_open(database->db, "notes", &settings, &notes, err));
    for (size_t c = 0; c < CLUSTERS; c++) {
        for (size_t i = 0; i < DIM; i++) centers[c][i] = (float)crn_rng_normal(rng);
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t other = (uint32_t)crn_rng_below(rng, i + 1);
        draw(rng, vectors[i]);
        ranks[i] = ranks[other];
        ranks[other] = i;
        order[i] = i;
        dead[i] = false;
    }
    qsort(order, ROWS, sizeof *order, by_first);
    for (uint32_t i = 0; i < ROWS; i++) regions[order[i]] = i;
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(payloads[i], sizeof payloads[i], "{\"rank\": %u, \"region\": %u}", ranks[i], regions[i]);
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .id_type = CAIRN_ID_U64,
                                      .id_u64 = i,
                                      .vector = vectors[i],
                                      .payload = payloads[i]};
    }
    ok(cairn_upsert(notes, patterns, ROWS, err));
    ok(cairn_optimize(notes, NULL, NULL, err));
    return notes;
}

static bool matches(enum kind kind, uint32_t row, uint32_t count)
{
    if (dead[row]) return false;
    if (kind == RANDOM) return ranks[row] < count;
    return kind == LOW ? regions[row] < count : regions[row] >= ROWS - count;
}

static float distance_of(const float *a, const float *b)
{
    double sum = 0;

    for (size_t i = 0; i < DIM; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)sqrt(sum);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* How many of the rows found lie no farther than the k-th nearest; each must match, once, and all that can come must have come. */
static uint32_t ask(cairn_collection *notes, const float *vector, enum kind kind, uint32_t count, uint32_t k,
                    uint32_t *out_wanted)
{
    static float distances[ROWS];
    static bool found[ROWS];
    char filter[96];
    uint32_t matching = 0, right = 0;
    cairn_results *results;

    snprintf(filter, sizeof filter, "{\"%s\": {\"%s\": %u}}", kind == RANDOM ? "rank" : "region",
             kind == HIGH ? "$gte" : "$lt", kind == HIGH ? ROWS - count : count);
    const cairn_query query = {.size = sizeof query, .vector = vector, .dim = DIM, .k = k, .filter = filter};
    ok(cairn_search(notes, &query, &results, err));
    for (uint32_t i = 0; i < ROWS; i++) {
        found[i] = false;
        if (matches(kind, i, count)) distances[matching++] = distance_of(vector, vectors[i]);
    }
    qsort(distances, matching, sizeof *distances, by_size);
    *out_wanted = matching < k ? matching : k;
    assert_int_equal(cairn_results_count(results), *out_wanted);
    for (uint32_t i = 0; i < *out_wanted; i++) {
        const uint32_t row = (uint32_t)cairn_results_at(results, i)->id.u64;
        assert_true(row < ROWS && matches(kind, row, count) && !found[row]);
        found[row] = true;
        right += distance_of(vector, vectors[row]) <= distances[*out_wanted - 1] * 1.00001f;
    }
    cairn_results_free(results);
    return right;
}

static void check_recall(cairn_collection *notes, struct crn_rng *rng, uint32_t k)
{
    static const uint32_t counts[] = {ROWS,       ROWS / 2,    ROWS / 3, ROWS / 10, ROWS / 40,
                                      ROWS / 100, ROWS / 1000, K_MOST,   10,        1};

    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (size_t c = 0; c < COUNT_OF(counts); c++) {
            uint32_t right = 0, wanted = 0, one;
            for (uint32_t q = 0; q < QUERIES; q++) {
                float query[DIM];
                draw(rng, query);
                const enum kind mine = query[0] < 0 ? LOW : HIGH, other = query[0] < 0 ? HIGH : LOW;
                right += ask(notes, query,
                             kind == CORRELATED       ? mine
                             : kind == ANTICORRELATED ? other
                                                      : kind,
                             counts[c], k, &one);
                wanted += one;
            }
            print_message("%s, %u rows, k %u: recall %.3f\n", kind_names[kind], counts[c], k,
                          wanted == 0 ? 1.0 : (double)right / wanted);
            assert_true(right >= 0.9 * wanted);
        }
    }
}

static void filters_keep_recall_and_give_k(void **state)
{
    struct crn_rng rng = test_rng();
    struct database database;
    cairn_collection *notes = make(&database, &rng);

    (void)state;
    check_recall(notes, &rng, 10);
    check_recall(notes, &rng, K_MOST);
    for (uint32_t i = 0; i < ROWS; i++) {
        if (crn_rng_below(&rng, 3) != 0) continue;
        const cairn_id id = {.type = CAIRN_ID_U64, .u64 = i};
        dead[i] = true;
        ok(cairn_delete(notes, &id, 1, NULL, err));
    }
    check_recall(notes, &rng, 10);
    cairn_collection_close(notes);
    database_remove(&database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filters_keep_recall_and_give_k)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
