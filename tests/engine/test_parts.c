/* The engine's smallest parts by themselves: bitmaps, ids in bytes, maps, tails. */
#include "engine/bits.h"
#include "engine/id.h"
#include "engine/local_map.h"
#include "engine/tail.h"
#include "tests/engine/rows.h"

/* ---- bits ---- */

static void bits_are_filled_set_cleared_and_counted(void **state)
{
    static const size_t counts[] = {0, 1, 63, 64, 65, 127, 128, 200};
    uint64_t words[5];

    (void)state;
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        memset(words, 0, sizeof words);
        crn_bits_fill(words, counts[c]);
        assert_int_equal(crn_bits_words(counts[c]), (counts[c] + 63) / 64);
        assert_int_equal(crn_bits_count(words, COUNT_OF(words)), counts[c]);
        for (size_t i = 0; i < 300; i++) assert_int_equal(crn_bits_get(words, i), i < counts[c]);
    }
    crn_bits_clear(words, 64);
    crn_bits_set(words, 319);
    assert_false(crn_bits_get(words, 64));
    assert_true(crn_bits_get(words, 63) && crn_bits_get(words, 65) && crn_bits_get(words, 319));
    assert_int_equal(crn_bits_count(words, COUNT_OF(words)), 200);
}

/* ---- ids ---- */

static void ids_survive_encoding(void **state)
{
    char longest[CAIRN_ID_MAX + 1], encoded[CRN_ID_BYTES_MAX], text[CAIRN_ID_MAX + 1];
    const struct {
        cairn_id_type type;
        const char *text;
        uint64_t u64;
    } ids[] = {
        {CAIRN_ID_STRING, "a", 0},  {CAIRN_ID_STRING, longest, 0},
        {CAIRN_ID_U64, "0", 0},     {CAIRN_ID_U64, "18446744073709551615", UINT64_MAX},
        {CAIRN_ID_U64, "256", 256}, {CAIRN_ID_UUID, "01234567-89ab-7def-8123-456789abcdef", 0},
    };
    struct crn_id checked;
    cairn_id decoded;

    (void)state;
    memset(longest, 'x', CAIRN_ID_MAX);
    longest[CAIRN_ID_MAX] = '\0';
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ok(crn_id_check(ids[i].type, ids[i].text, ids[i].u64, &checked, err));
        const size_t size = crn_id_encode(checked.type, checked.text, checked.len, checked.u64, encoded);
        assert_int_equal(size, ids[i].type == CAIRN_ID_U64 ? 9 : strlen(ids[i].text) + 2);
        for (size_t part = 0; part < size; part++) assert_int_equal(crn_id_encoded_size(encoded, part), 0);
        assert_int_equal(crn_id_encoded_size(encoded, size), size);
        crn_id_decode(encoded, text, &decoded);
        assert_int_equal(decoded.type, ids[i].type);
        assert_string_equal(decoded.text, ids[i].text);
        assert_int_equal(decoded.u64, ids[i].u64);
    }
}

/* Any bytes: a size that lies within them and can be decoded, or 0. The blocks are exact, so a sanitizer sees more. */
static void hostile_bytes_are_no_ids(void **state)
{
    struct crn_rng rng = test_rng();
    char text[CAIRN_ID_MAX + 1];
    cairn_id decoded;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const size_t available = crn_rng_below(&rng, 600);
        char *bytes = malloc(available + 1);
        for (size_t b = 0; b < available; b++)
            bytes[b] = (char)(crn_rng_below(&rng, 300) < 255 ? 1 + crn_rng_below(&rng, 255) : 0);
        if (available > 0) bytes[0] = (char)crn_rng_below(&rng, 5);
        bytes = realloc(bytes, available == 0 ? 1 : available);
        const size_t size = crn_id_encoded_size(bytes, available);
        assert_true(size <= available && size <= CRN_ID_BYTES_MAX);
        if (size != 0) {
            crn_id_decode(bytes, text, &decoded);
            assert_true(decoded.type <= CAIRN_ID_UUID && strlen(decoded.text) <= CAIRN_ID_MAX);
        } else if (available >= 9) {
            assert_int_not_equal(bytes[0], CAIRN_ID_U64);
        }
        free(bytes);
    }
}

static void generated_ids_are_ordered_by_time(void **state)
{
    char earlier[37], later[37];

    (void)state;
    for (int64_t ms = 1; ms < INT64_C(1) << 47; ms = ms * 3 + 1) {
        crn_id_generate(ms, earlier);
        crn_id_generate(ms + 1, later);
        assert_true(strcmp(earlier, later) < 0);
        assert_int_equal(earlier[14], '7');
        assert_non_null(strchr("89ab", earlier[19]));
    }
}

/* ---- maps ---- */

#define KEYS 5000

static void local_maps_agree_with_an_array(void **state)
{
    struct crn_rng rng = test_rng();
    uint32_t *model = calloc(KEYS, sizeof *model), position;
    struct crn_local_map map = {0};

    (void)state;
    assert_false(crn_local_map_get(&map, 1, &position));
    for (int i = 0; i < 4 * KEYS; i++) {
        const uint32_t key = (uint32_t)crn_rng_below(&rng, KEYS);
        model[key] = 1 + (uint32_t)crn_rng_below(&rng, UINT32_MAX);
        assert_true(crn_local_map_set(&map, key % 2 == 0 ? key + 1 : UINT32_MAX - key, model[key]));
    }
    size_t count = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        const bool there = crn_local_map_get(&map, key % 2 == 0 ? key + 1 : UINT32_MAX - key, &position);
        assert_int_equal(there, model[key] != 0);
        if (there) assert_int_equal(position, model[key]);
        count += there;
    }
    assert_int_equal(map.count, count);
    crn_local_map_clear(&map);
    assert_false(crn_local_map_get(&map, 1, &position));
    free(model);
}

/* ---- tails ---- */

static void fill_vector(uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < dim; i++) out[i] = (float)(n * 31 + i);
}

static void check_tail(uint32_t dim, uint32_t rows)
{
    struct crn_tail *tail = crn_tail_create(dim);
    float *vector = malloc(dim * sizeof *vector);
    const float *first = NULL;
    char encoded[CRN_ID_BYTES_MAX], text[16];

    for (uint32_t n = 0; n < rows; n++) {
        const int len = snprintf(text, sizeof text, "row %u", n);
        fill_vector(n, dim, vector);
        const size_t size = crn_id_encode(CAIRN_ID_STRING, text, (size_t)len, 0, encoded);
        ok(crn_tail_append(tail, &(struct crn_tail_row){n * 2 + 1, vector, encoded, size}, err));
        if (n == 0) first = crn_tail_vector(tail, 0);
    }
    assert_int_equal(tail->count, rows);
    assert_ptr_equal(crn_tail_vector(tail, 0), first); /* rows never move */
    for (uint32_t n = 0; n < rows; n++) {
        fill_vector(n, dim, vector);
        snprintf(text, sizeof text, "row %u", n);
        assert_int_equal(crn_tail_local(tail, n), n * 2 + 1);
        assert_memory_equal(crn_tail_vector(tail, n), vector, dim * sizeof *vector);
        assert_string_equal(crn_tail_id(tail, n) + 1, text);
        if (n % tail->chunk_rows == 0) assert_int_equal((uintptr_t)crn_tail_vector(tail, n) % 64, 0);
    }
    crn_tail_retain(tail);
    crn_tail_release(tail);
    assert_int_equal(crn_tail_local(tail, 0), 1);
    crn_tail_release(tail);
    crn_tail_release(NULL);
    free(vector);
}

static void tails_keep_rows_where_they_are(void **state)
{
    (void)state;
    check_tail(1, 20000);
    check_tail(384, 3000);
    check_tail(CAIRN_DIM_MAX, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_filled_set_cleared_and_counted),
        cmocka_unit_test(ids_survive_encoding),
        cmocka_unit_test(hostile_bytes_are_no_ids),
        cmocka_unit_test(generated_ids_are_ordered_by_time),
        cmocka_unit_test(local_maps_agree_with_an_array),
        cmocka_unit_test(tails_keep_rows_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
