/* The k smallest, against sorting everything with qsort. */
#include "base/topk.h"

#include "tests/base/support.h"

#include <math.h>

#define COUNT_MAX 2000

static int by_distance_and_label(const void *left, const void *right)
{
    const struct crn_hit *a = left, *b = right;

    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    return a->label < b->label ? -1 : a->label > b->label;
}

/* Few distinct distances, so that there are many ties; among them zeros of both signs and infinities. */
static float any_distance(struct crn_rng *rng, uint64_t distinct)
{
    uint64_t pick = crn_rng_below(rng, distinct);

    if (pick == 0) return crn_rng_below(rng, 2) == 0 ? 0.0f : -0.0f;
    if (pick == 1) return INFINITY;
    if (pick == 2) return -INFINITY;
    return (float)pick - (float)distinct / 2;
}

static void equals_a_full_sort(void **state)
{
    static const uint64_t distincts[] = {1, 2, 5, 50, 1000000};
    static struct crn_hit all[COUNT_MAX], kept[COUNT_MAX + 10];
    struct crn_rng rng = test_rng();

    (void)state;
    for (int round = 0; round < 1000; round++) {
        struct crn_topk top;
        size_t count = crn_rng_below(&rng, COUNT_MAX);
        size_t k = 1 + crn_rng_below(&rng, crn_rng_below(&rng, 2) == 0 ? 20 : COUNT_MAX + 9);
        uint64_t distinct = distincts[crn_rng_below(&rng, COUNT_OF(distincts))];
        crn_topk_init(&top, kept, k);
        for (size_t i = 0; i < count; i++) {
            all[i] = (struct crn_hit){any_distance(&rng, distinct), crn_rng_below(&rng, 2 * COUNT_MAX)};
            float limit = crn_topk_limit(&top);
            crn_topk_push(&top, all[i].distance, all[i].label);
            assert_true(crn_topk_limit(&top) <= limit);
        }
        qsort(all, count, sizeof all[0], by_distance_and_label);
        crn_topk_sort(&top);
        assert_int_equal(top.count, count < k ? count : k);
        for (size_t i = 0; i < top.count; i++) {
            assert_true(kept[i].distance == all[i].distance);
            assert_int_equal(kept[i].label, all[i].label);
        }
    }
}

static void the_order_of_visits_does_not_count(void **state)
{
    struct crn_hit forward[10], backward[10];
    struct crn_topk a, b;

    (void)state;
    crn_topk_init(&a, forward, 10);
    crn_topk_init(&b, backward, 10);
    for (uint64_t label = 0; label < 100; label++) {
        crn_topk_push(&a, 1.0f, label);
        crn_topk_push(&b, 1.0f, 99 - label);
    }
    crn_topk_sort(&a);
    crn_topk_sort(&b);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(forward[i].label, i);
        assert_int_equal(backward[i].label, i);
    }
}

static void nan_is_ignored(void **state)
{
    struct crn_hit hits[2];
    struct crn_topk top;

    (void)state;
    crn_topk_init(&top, hits, 2);
    crn_topk_push(&top, NAN, 1);
    assert_int_equal(top.count, 0);
    crn_topk_push(&top, 1.0f, 2);
    crn_topk_push(&top, -NAN, 3);
    crn_topk_push(&top, 2.0f, 4);
    crn_topk_push(&top, NAN, 5);
    crn_topk_sort(&top);
    assert_int_equal(top.count, 2);
    assert_int_equal(hits[0].label, 2);
    assert_int_equal(hits[1].label, 4);
}

static void the_limit_is_infinite_until_full(void **state)
{
    struct crn_hit hits[2];
    struct crn_topk top;

    (void)state;
    crn_topk_init(&top, hits, 2);
    assert_true(isinf(crn_topk_limit(&top)));
    crn_topk_push(&top, 1.0f, 1);
    assert_true(isinf(crn_topk_limit(&top)));
    crn_topk_push(&top, 3.0f, 2);
    assert_true(crn_topk_limit(&top) == 3.0f);
    crn_topk_push(&top, 2.0f, 3);
    assert_true(crn_topk_limit(&top) == 2.0f);
}

static void none_of_zero(void **state)
{
    struct crn_hit hits[1] = {{7, 7}};
    struct crn_topk top;

    (void)state;
    crn_topk_init(&top, hits, 0);
    crn_topk_push(&top, 1.0f, 1);
    crn_topk_sort(&top);
    assert_int_equal(top.count, 0);
    assert_int_equal(hits[0].label, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_full_sort), cmocka_unit_test(the_order_of_visits_does_not_count),
        cmocka_unit_test(nan_is_ignored),     cmocka_unit_test(the_limit_is_infinite_until_full),
        cmocka_unit_test(none_of_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
