/* The JSON parser's memory: how it grows and shrinks, and what happens when there is none. */
#include "base/mem.h"
#include "tests/base/json_support.h"

#include <limits.h>

/* Small after large after small: the parser gives memory back and goes on. */
static void sizes_may_change(void **state)
{
    struct crn_buf large;

    (void)state;
    crn_buf_init(&large, 1 << 24);
    crn_buf_putc(&large, '[');
    while (large.len < 3 << 20) crn_buf_puts(&large, "\"stone\",");
    crn_buf_puts(&large, "0]");
    for (int round = 0; round < 3; round++) {
        assert_int_equal(crn_json_size(parse("[1,2,3]")), 3);
        assert_int_equal(crn_json_size(parse(large.data)), (large.len - 3) / 8 + 1);
        assert_written(parse("[\"small\"]"), "[\"small\"]");
    }
    crn_buf_release(&large);
}

static void a_fresh_parser_takes_an_empty_text(void **state)
{
    struct crn_json_parser *fresh = crn_json_parser_create();
    struct crn_json root;

    (void)state;
    assert_int_equal(crn_json_parse(fresh, "", 0, &root, NULL), CAIRN_INVALID_JSON);
    assert_int_equal(crn_json_parse(fresh, "7", 1, &root, NULL), CAIRN_OK);
    crn_json_parser_free(fresh);
}

static void creation_may_fail(void **state)
{
    (void)state;
    crn_mem_fail_at(1, false);
    assert_null(crn_json_parser_create());
    crn_mem_fail_at(0, false);
    crn_json_parser_free(NULL);
}

/* Each of our allocations in turn fails; the parser is good for the next text. */
static void parsing_may_fail(void **state)
{
    static const char small[] = "[1]";
    char large[10000];
    struct crn_json root;
    cairn_error err;

    (void)state;
    memset(large, ' ', sizeof large);
    large[9999] = '7';
    for (uint64_t nth = 1, failures = 1; failures > 0; nth++) {
        struct crn_json_parser *fresh = crn_json_parser_create();
        failures = 0;
        crn_mem_fail_at(nth, false);
        for (int i = 0; i < 2; i++) {
            const char *text = i == 0 ? small : large;
            size_t len = i == 0 ? strlen(small) : sizeof large;
            cairn_status status = crn_json_parse(fresh, text, len, &root, &err);
            if (status == CAIRN_OK) continue;
            assert_int_equal(status, CAIRN_NO_MEMORY);
            assert_int_equal(err.status, CAIRN_NO_MEMORY);
            failures++;
            assert_int_equal(crn_json_parse(fresh, text, len, &root, &err), CAIRN_OK);
        }
        crn_mem_fail_at(0, false);
        assert_int_equal(failures, nth <= 2);
        crn_json_parser_free(fresh);
    }
}

/* C++'s new (std::nothrow) T[n], put between simdjson and the C++ library: number `new_fails_at` fails, and
 * all behind it. Visible, so that the shared library finds it, too. */
static int new_fails_at = INT_MAX;

/* NOLINTBEGIN(bugprone-reserved-identifier): C++ makes these names */
void *_Znam(size_t size); /* operator new[] */
__attribute__((visibility("default"))) void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow);

void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
    (void)nothrow;
    if (new_fails_at <= 1) return NULL;
    if (new_fails_at < INT_MAX) new_fails_at--;
    return _Znam(size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void simdjson_may_lack_memory(void **state)
{
    static const char text[] = "{\"a\":[1,\"b\"]}";
    struct crn_json root;
    cairn_error err;
    int failures = 0;

    (void)state;
    for (int nth = 1; failures == nth - 1; nth++) {
        struct crn_json_parser *fresh = crn_json_parser_create();
        new_fails_at = nth;
        cairn_status status = crn_json_parse(fresh, text, strlen(text), &root, &err);
        new_fails_at = INT_MAX;
        if (status != CAIRN_OK) {
            assert_int_equal(status, CAIRN_NO_MEMORY);
            assert_int_equal(err.status, CAIRN_NO_MEMORY);
            failures++;
        }
        assert_int_equal(crn_json_parse(fresh, text, strlen(text), &root, &err), CAIRN_OK);
        assert_written(root, text);
        crn_json_parser_free(fresh);
    }
    assert_true(failures >= 2); /* making room, and the document */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_may_change),         cmocka_unit_test(a_fresh_parser_takes_an_empty_text),
        cmocka_unit_test(creation_may_fail),        cmocka_unit_test(parsing_may_fail),
        cmocka_unit_test(simdjson_may_lack_memory),
    };
    return cmocka_run_group_tests(tests, create_parser, free_parser);
}
