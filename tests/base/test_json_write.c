/* JSON out, and back: what is written parses to the same. */
#include "tests/base/json_support.h"

#include <math.h>

static void writing_is_compact(void **state)
{
    static const struct {
        const char *text, *written;
    } rows[] = {
        {" null ", "null"},
        {" [ ] ", "[]"},
        {" { } ", "{}"},
        {"[ 1 , 2.50 , -0.0, 1E2 , true , false , null , \"\\u0041\\/\" ]",
         "[1,2.5,-0.0,100.0,true,false,null,\"A/\"]"},
        {"{ \"a\" : { \"b\" : [ { } , [ ] ] } , \"c\\n\" : \"\\u0001\" }",
         "{\"a\":{\"b\":[{},[]]},\"c\\n\":\"\\u0001\"}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
        {"[9223372036854775807,-9223372036854775808,18446744073709551615]",
         "[9223372036854775807,-9223372036854775808,18446744073709551615]"},
    };

    struct crn_json part;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) assert_written(parse(rows[i].text), rows[i].written);
    assert_true(crn_json_get(parse("{\"x\":0,\"part\":[1,{\"y\":2}],\"z\":3}"), "part", &part));
    assert_written(part, "[1,{\"y\":2}]");
}

static void writing_stops_at_the_maximum(void **state)
{
    static const char text[] = "{\"a\":[1,2,{\"b\":\"stone\"}],\"c\":1.5}";
    struct crn_json root = parse(text);

    (void)state;
    for (size_t max = 0; max <= strlen(text); max++) {
        struct crn_buf buf;
        crn_buf_init(&buf, max);
        assert_int_equal(crn_json_write(root, &buf), max < strlen(text) ? CAIRN_LIMIT : CAIRN_OK);
        assert_true(buf.len <= max);
        crn_buf_release(&buf);
    }
}

static void random_string(struct crn_rng *rng, struct crn_buf *buf)
{
    static const char *const pieces[] = {"a",       "é", "€", "😀", "\\n", "\\\"", "\\\\",
                                         "\\u0007", "0", " ", "]", "}",   ","};
    size_t count = crn_rng_below(rng, 12);

    crn_buf_putc(buf, '"');
    while (count-- > 0) crn_buf_puts(buf, pieces[crn_rng_below(rng, COUNT_OF(pieces))]);
    crn_buf_putc(buf, '"');
}

/* A random value as the writer would write it. */
static void random_value(struct crn_rng *rng, struct crn_buf *buf, int depth)
{
    static const char *const atoms[] = {
        "null", "true", "false", "{}", "[]", "0", "-1", "1.0", "18446744073709551615"};
    uint64_t kind = crn_rng_below(rng, depth > 0 ? 7 : 5);

    if (kind == 0) crn_buf_puts(buf, atoms[crn_rng_below(rng, COUNT_OF(atoms))]);
    if (kind == 1) crn_buf_printf(buf, "%" PRIu64, crn_rng_u64(rng) >> crn_rng_below(rng, 64));
    if (kind == 2) crn_buf_printf(buf, "%" PRId64, (int64_t)(crn_rng_u64(rng) | 1) >> crn_rng_below(rng, 63));
    if (kind == 3) crn_buf_json_double(buf, crn_rng_normal(rng));
    if (kind == 4) random_string(rng, buf);
    if (kind < 5) return;
    crn_buf_putc(buf, kind == 5 ? '[' : '{');
    for (uint64_t i = 0, count = crn_rng_below(rng, 6); i < count; i++) {
        if (i > 0) crn_buf_putc(buf, ',');
        if (kind == 6) {
            random_string(rng, buf);
            crn_buf_putc(buf, ':');
        }
        random_value(rng, buf, depth - 1);
    }
    crn_buf_putc(buf, kind == 5 ? ']' : '}');
}

static void random_documents_come_back(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct crn_buf text;
        crn_buf_init(&text, 1 << 20);
        random_value(&rng, &text, 6);
        assert_int_equal(text.failed, CAIRN_OK);
        assert_written(parse(text.data), text.data);
        crn_buf_release(&text);
    }
}

/* Documents with random bytes changed: any answer, no harm, and what parses is written and parses again. */
static void damaged_documents_do_no_harm(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct crn_buf text, written;
        struct crn_json root;
        crn_buf_init(&text, 1 << 20);
        crn_buf_init(&written, 1 << 20);
        random_value(&rng, &text, 6);
        for (uint64_t i = 0, flips = 1 + crn_rng_below(&rng, 3); i < flips; i++) {
            text.data[crn_rng_below(&rng, text.len)] = (char)crn_rng_below(&rng, 256);
        }
        if (crn_json_parse(parser, text.data, text.len, &root, NULL) == CAIRN_OK) {
            assert_int_equal(crn_json_write(root, &written), CAIRN_OK);
            assert_written(parse(written.data), written.data);
        }
        crn_buf_release(&text);
        crn_buf_release(&written);
    }
}

static void doubles_come_back_bit_for_bit(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 100);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = crn_rng_u64(&rng);
        double value, again;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        crn_buf_clear(&buf);
        crn_buf_json_double(&buf, value);
        struct crn_json root = parse(buf.data);
        assert_int_equal(crn_json_type(root), CRN_JSON_DOUBLE);
        again = crn_json_double(root);
        assert_memory_equal(&again, &value, sizeof value);
    }
    crn_buf_release(&buf);
}

#define FLOATS 100000

static void floats_come_back_bit_for_bit(void **state)
{
    static float values[FLOATS], again[FLOATS];
    struct crn_rng rng = test_rng();
    struct crn_buf buf;
    size_t count;

    (void)state;
    crn_buf_init(&buf, 1 << 24);
    for (size_t i = 0; i < FLOATS; i++) {
        uint32_t bits = i == 0 ? 0x15AE43FD : (uint32_t)crn_rng_u64(&rng);
        memcpy(&values[i], &bits, sizeof values[i]);
        if (!isfinite(values[i])) values[i] = -0.0f;
        crn_buf_putc(&buf, i == 0 ? '[' : ',');
        crn_buf_json_float(&buf, values[i]);
    }
    crn_buf_putc(&buf, ']');
    assert_true(crn_json_floats(parse(buf.data), again, FLOATS, &count));
    assert_int_equal(count, FLOATS);
    assert_memory_equal(values, again, sizeof values);
    crn_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing_is_compact),
        cmocka_unit_test(writing_stops_at_the_maximum),
        cmocka_unit_test(random_documents_come_back),
        cmocka_unit_test(damaged_documents_do_no_harm),
        cmocka_unit_test(doubles_come_back_bit_for_bit),
        cmocka_unit_test(floats_come_back_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, create_parser, free_parser);
}
