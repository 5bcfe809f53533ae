/* Allocation: sizes, overflow, and the seam where tests make it fail. */
#include "base/mem.h"

#include "tests/base/support.h"

#include <cairn/db.h>

static void mul_tells_overflow(void **state)
{
    static const struct {
        size_t a, b;
        bool fits;
    } rows[] = {
        {0, 0, true},
        {0, SIZE_MAX, true},
        {SIZE_MAX, 1, true},
        {SIZE_MAX, 2, false},
        {SIZE_MAX / 2, 2, true},
        {SIZE_MAX / 2 + 1, 2, false},
        {(size_t)1 << 32, (size_t)1 << 32, false},
        {((size_t)1 << 32) - 1, ((size_t)1 << 32) + 1, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t product = 0;
        assert_int_equal(crn_mem_mul(rows[i].a, rows[i].b, &product), rows[i].fits);
        assert_int_equal(crn_mem_mul(rows[i].b, rows[i].a, &product), rows[i].fits);
        if (rows[i].fits) assert_int_equal(product, rows[i].a * rows[i].b);
    }
}

static void overflowing_sizes_give_null(void **state)
{
    volatile size_t half = SIZE_MAX / 2 + 1; /* volatile: the compiler would warn of what is tested */
    volatile size_t all = SIZE_MAX;

    (void)state;
    assert_null(crn_mem_array(half, 2));
    assert_null(crn_mem_calloc(half, 2));
    assert_null(crn_mem_realloc_array(NULL, half, 2));
    assert_null(crn_mem_alloc(all));
    assert_null(crn_mem_alloc(half));
    assert_null(crn_mem_aligned(all));
    assert_null(crn_mem_aligned(half - 1));
    assert_null(crn_mem_strndup("x", all));
}

static void size_zero_gives_a_block(void **state)
{
    void *blocks[] = {
        crn_mem_alloc(0),    crn_mem_calloc(0, 8),
        crn_mem_array(8, 0), crn_mem_realloc_array(NULL, 0, 0),
        crn_mem_aligned(0),  crn_mem_realloc_array(crn_mem_alloc(100), 0, 8),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        assert_non_null(blocks[i]);
        crn_mem_free(blocks[i]);
    }
    crn_mem_free(NULL);
    cairn_free(NULL);
    cairn_free(crn_mem_alloc(1));
}

static void calloc_clears(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        unsigned char *bytes = crn_mem_calloc(100, 3);
        for (size_t i = 0; i < 300; i++) assert_int_equal(bytes[i], 0);
        memset(bytes, 0xAA, 300);
        crn_mem_free(bytes);
    }
}

static void aligned_blocks_are_padded(void **state)
{
    (void)state;
    for (size_t size = 0; size < 300; size++) {
        unsigned char *bytes = crn_mem_aligned(size);
        assert_int_equal((uintptr_t)bytes % 64, 0);
        memset(bytes, 1, (size + 63) / 64 * 64); /* the padding, too */
        crn_mem_free(bytes);
    }
}

/* What was committed stays where and what it is while the rest comes; a refusal changes nothing. */
static void reservations_grow_in_place(void **state)
{
    const size_t size = (size_t)1 << 30, step = 100000;

    (void)state;
    char *memory = crn_mem_reserve(size);
    assert_non_null(memory);
    for (size_t end = step; end <= 5 * step; end += step) {
        crn_mem_fail_at(1, false);
        assert_false(crn_mem_commit(memory + end - step, step));
        crn_mem_fail_at(0, false);
        assert_true(crn_mem_commit(memory + end - step, step));
        for (size_t i = end - step; i < end; i++) assert_int_equal(memory[i], 0);
        memset(memory + end - step, 7, step);
        for (size_t i = 0; i < end; i++) assert_int_equal(memory[i], 7);
    }
    crn_mem_unreserve(memory, size);
    crn_mem_unreserve(NULL, 0);
    assert_null(crn_mem_reserve(0));
    assert_null(crn_mem_reserve(SIZE_MAX));
    crn_mem_fail_at(1, false);
    assert_null(crn_mem_reserve(size));
    crn_mem_fail_at(0, false);
}

static void strings_are_copied(void **state)
{
    char *copy = crn_mem_strdup("stone");
    char *part = crn_mem_strndup("a\0bcd", 4);
    char *none = crn_mem_strndup(NULL, 0);

    (void)state;
    assert_string_equal(copy, "stone");
    assert_memory_equal(part, "a\0bc", 5);
    assert_string_equal(none, "");
    assert_null(crn_mem_strdup(NULL));
    crn_mem_free(copy);
    crn_mem_free(part);
    crn_mem_free(none);
}

static void a_failed_realloc_keeps_the_block(void **state)
{
    char *block = crn_mem_alloc(6);

    (void)state;
    memcpy(block, "stone", 6);
    crn_mem_fail_at(1, false);
    assert_null(crn_mem_realloc_array(block, 100, 1));
    crn_mem_fail_at(0, false);
    assert_string_equal(block, "stone");

    block = crn_mem_realloc_array(block, 100000, 1);
    assert_string_equal(block, "stone");
    crn_mem_free(block);
}

static void *any_allocation(int kind)
{
    switch (kind) {
    case 0:
        return crn_mem_alloc(10);
    case 1:
        return crn_mem_calloc(10, 1);
    case 2:
        return crn_mem_array(10, 1);
    case 3:
        return crn_mem_realloc_array(NULL, 10, 1);
    case 4:
        return crn_mem_aligned(10);
    case 5:
        return crn_mem_strdup("stone");
    default:
        return crn_mem_strndup("stone", 5);
    }
}

static void the_nth_allocation_fails(bool forever)
{
    for (int kind = 0; kind < 7; kind++) {
        for (uint64_t nth = 1; nth <= 5; nth++) {
            crn_mem_fail_at(nth, forever);
            for (uint64_t i = 1; i <= 8; i++) {
                void *block = any_allocation(kind);
                bool fails = i == nth || (forever && i > nth);
                assert_int_equal(block == NULL, fails);
                crn_mem_free(block);
                assert_int_equal(crn_mem_count(), i);
            }
        }
    }
    crn_mem_fail_at(0, false);
}

static void one_failure(void **state)
{
    (void)state;
    the_nth_allocation_fails(false);
}

static void failure_for_good(void **state)
{
    (void)state;
    the_nth_allocation_fails(true);
}

static void off_means_off(void **state)
{
    (void)state;
    crn_mem_fail_at(1, true);
    assert_null(crn_mem_alloc(1));
    crn_mem_fail_at(0, true);
    for (int i = 0; i < 10; i++) {
        void *block = crn_mem_alloc(1);
        assert_non_null(block);
        crn_mem_free(block);
    }
    assert_int_equal(crn_mem_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mul_tells_overflow),
        cmocka_unit_test(overflowing_sizes_give_null),
        cmocka_unit_test(size_zero_gives_a_block),
        cmocka_unit_test(calloc_clears),
        cmocka_unit_test(aligned_blocks_are_padded),
        cmocka_unit_test(reservations_grow_in_place),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(a_failed_realloc_keeps_the_block),
        cmocka_unit_test(one_failure),
        cmocka_unit_test(failure_for_good),
        cmocka_unit_test(off_means_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
