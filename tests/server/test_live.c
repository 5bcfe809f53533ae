/* The counting of the last seconds: windows, percentiles, places used again. */
#include "server/live.h"

#include "base/json.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct crn_live live;

static struct crn_json member(struct crn_json object, const char *name)
{
    struct crn_json value;

    if (!crn_json_get(object, name, &value)) fail_msg("no member '%s'", name);
    return value;
}

/* What live tells at `now`, as an object. */
static struct crn_json tell(struct crn_json_parser *parser, uint64_t now)
{
    struct crn_buf text;
    struct crn_json root;

    crn_buf_init(&text, 1u << 20);
    crn_buf_putc(&text, '{');
    crn_live_write(&live, now, &text);
    crn_buf_putc(&text, '}');
    assert_int_equal(text.failed, CAIRN_OK);
    if (crn_json_parse(parser, text.data, text.len, &root, NULL) != CAIRN_OK) fail_msg("%s", text.data);
    crn_buf_release(&text);
    return root;
}

static double number(struct crn_json told, const char *class, const char *name)
{
    return crn_json_double(member(member(member(told, "classes"), class), name));
}

static void rates_are_of_the_last_whole_seconds(void **state)
{
    struct crn_json_parser *parser = crn_json_parser_create();

    (void)state;
    memset(&live, 0, sizeof live);
    for (uint64_t second = 500; second <= 520; second++) {
        for (int i = 0; i < 7; i++)
            crn_live_count(&live, second, CRN_LIVE_QUERY, i == 0 ? 503 : 200, 1000000);
    }
    crn_live_count(&live, 519, CRN_LIVE_WRITE, 499, 5000);
    crn_live_count(&live, 519, CRN_LIVE_WRITE, 404, 5000); /* the client's own mistake */
    struct crn_json told = tell(parser, 520);              /* 520 is not over yet */
    assert_true(number(told, "query", "per_second") == 7);
    assert_true(number(told, "query", "failed") == 10);
    assert_true(number(told, "write", "per_second") == 0.2);
    assert_true(number(told, "write", "failed") == 1);
    assert_int_equal(crn_json_type(member(member(member(told, "classes"), "read"), "p50_ms")), CRN_JSON_NULL);
    told = tell(parser, 525);
    assert_true(number(told, "query", "per_second") == 4.2); /* 515 to 520 */
    crn_json_parser_free(parser);
}

static void history_is_a_minute_and_places_are_used_again(void **state)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length, i = 0;

    (void)state;
    memset(&live, 0, sizeof live);
    crn_live_count(&live, 1000, CRN_LIVE_READ, 200, 1);
    crn_live_count(&live, 1000 + CRN_LIVE_SECONDS, CRN_LIVE_READ, 200, 1); /* takes its place */
    crn_live_count(&live, 1000 + CRN_LIVE_SECONDS, CRN_LIVE_READ, 200, 1);
    const struct crn_json list = member(member(tell(parser, 1001 + CRN_LIVE_SECONDS), "history"), "read");
    assert_int_equal(crn_json_size(list), 60);
    for (crn_json_iter_init(&it, list); crn_json_iter_next(&it, &value, &key, &length); i++) {
        assert_int_equal(crn_json_u64(value), i == 59 ? 2 : 0);
    }
    crn_live_count(&live, 1, CRN_LIVE_READ, 200, 1); /* a machine that has just started */
    assert_true(number(tell(parser, 2), "admin", "per_second") == 0);
    crn_json_parser_free(parser);
}

/* Told is at least the duration and at most 13 % more, or a microsecond. */
static void percentiles_are_near(void **state)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_rng rng;
    const uint64_t seed = (uint64_t)time(NULL);

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    crn_rng_init(&rng, seed);
    for (int round = 0; round < 500; round++) {
        const uint64_t fast_ns = crn_rng_u64(&rng) >> (29 + crn_rng_below(&rng, 34)),
                       slow_ns = 2 * fast_ns + 9000;
        memset(&live, 0, sizeof live);
        for (int i = 0; i < 100; i++)
            crn_live_count(&live, 700, CRN_LIVE_QUERY, 200, i < 98 ? fast_ns : slow_ns);
        const struct crn_json told = tell(parser, 701);
        const double p50 = number(told, "query", "p50_ms"), p99 = number(told, "query", "p99_ms");
        if (p50 * 1e6 < (double)fast_ns || p50 * 1e6 > (double)fast_ns * 1.13 + 1000 ||
            p99 * 1e6 < (double)slow_ns || p99 * 1e6 > (double)slow_ns * 1.13 + 1000) {
            fail_msg("%llu and %llu ns told as %f and %f ms", (unsigned long long)fast_ns,
                     (unsigned long long)slow_ns, p50, p99);
        }
    }
    crn_json_parser_free(parser);
}

static void very_long_ones_are_counted(void **state)
{
    struct crn_json_parser *parser = crn_json_parser_create();

    (void)state;
    memset(&live, 0, sizeof live);
    crn_live_count(&live, 700, CRN_LIVE_QUERY, 200, UINT64_MAX);
    crn_live_count(&live, 700, CRN_LIVE_QUERY, 200, 0);
    assert_true(number(tell(parser, 701), "query", "p99_ms") > 100000);
    assert_true(number(tell(parser, 701), "query", "p50_ms") == 0.001);
    crn_json_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_the_last_whole_seconds),
        cmocka_unit_test(history_is_a_minute_and_places_are_used_again),
        cmocka_unit_test(percentiles_are_near),
        cmocka_unit_test(very_long_ones_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
