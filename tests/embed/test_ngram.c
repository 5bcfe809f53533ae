/* "cairn-ngram-1": its exact output, what it finds, and what it refuses. */
#include "base/hash.h"
#include "base/mem.h"
#include "tests/base/support.h"

#include <cairn/embed.h>
#include <math.h>

#define DIM 384

static cairn_embedder *make(uint32_t dim)
{
    cairn_embedder *embedder;
    cairn_error err;

    if (cairn_embedder_ngram(dim, &embedder, &err) != CAIRN_OK) fail_msg("%s", err.message);
    return embedder;
}

static void embed(const cairn_embedder *embedder, const char *text, float *out)
{
    cairn_error err;

    if (embedder->embed(embedder->ctx, &text, 1, out, &err) != CAIRN_OK) fail_msg("%s", err.message);
}

static double dot(const float *a, const float *b, size_t dim)
{
    double sum = 0;

    for (size_t i = 0; i < dim; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static double similarity(const char *a, const char *b)
{
    cairn_embedder *embedder = make(0);
    float va[DIM], vb[DIM];

    embed(embedder, a, va);
    embed(embedder, b, vb);
    cairn_embedder_free(embedder);
    return dot(va, vb, DIM);
}

/* ---- the contract ---- */

/* XXH3 of the components' bits, each as four bytes, low first: the same on every machine, or the model would
 * need another name. */
static uint64_t bits_hash(const float *vector, size_t dim)
{
    unsigned char *bytes = crn_mem_array(dim, 4);

    assert_non_null(bytes);
    for (size_t i = 0; i < dim; i++) {
        uint32_t bits;
        memcpy(&bits, &vector[i], 4);
        for (size_t b = 0; b < 4; b++) bytes[4 * i + b] = (unsigned char)(bits >> 8 * b);
    }
    uint64_t hash = crn_hash64(bytes, 4 * dim, 0);
    crn_mem_free(bytes);
    return hash;
}

/* "w0 w1 ... w9999 w0 w1 ...", longer than any first guess of a table's size. */
static char *long_text(void)
{
    size_t size = 20000 * 7, at = 0;
    char *text = crn_mem_alloc(size);

    assert_non_null(text);
    for (int i = 0; i < 15000; i++) at += (size_t)snprintf(text + at, size - at, "w%d ", i % 10000);
    return text;
}

static void vectors_are_pinned(void **state)
{
    char *long_one = long_text();
    const struct {
        uint32_t dim;
        const char *text;
        uint64_t hash;
    } rows[] = {
        {384, "a", 0x70615CF6CB886545},
        {384, "Use ccache for the second build", 0xA0F585E5DAAE2981},
        {384, "use CCACHE, for the second: build!", 0xA0F585E5DAAE2981},
        {768, "Use ccache for the second build", 0x5B4B0308E6629F36},
        {16, "the the the cat sat on the mat; the cat slept", 0xADA2D16F46C76354},
        {384, "Z\xC3\xBCrich \xD0\x9C\xD0\xBE\xD1\x81\xD0\xBA\xD0\xB2\xD0\xB0 \xE6\x9D\xB1\xE4\xBA\xAC",
         0x0AD0B9D5F4C9EAD0}, /* Zürich Москва 東京 */
        {65536, "one text for many components", 0x926CEAFFE573FD95},
        {384, long_one, 0x5686A331B4C54C02},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cairn_embedder *embedder = make(rows[i].dim);
        float *vector = crn_mem_array(rows[i].dim, sizeof *vector);
        embed(embedder, rows[i].text, vector);
        if (bits_hash(vector, rows[i].dim) != rows[i].hash) {
            fail_msg("\"%.40s\" in %u components: 0x%016" PRIX64, rows[i].text, rows[i].dim,
                     bits_hash(vector, rows[i].dim));
        }
        crn_mem_free(vector);
        cairn_embedder_free(embedder);
    }
    crn_mem_free(long_one);
}

/* One word of one letter has two features, so the whole vector can be given by hand: the word weighs 1 (no
 * common word), its only trigram 2 and, as the word's beginning, half as much again. */
static void the_smallest_vector_is_as_computed_by_hand(void **state)
{
    cairn_embedder *embedder = make(0);
    float vector[DIM];
    size_t used = 0;

    (void)state;
    embed(embedder, "x", vector);
    for (size_t i = 0; i < DIM; i++) {
        if (vector[i] == 0) continue;
        used++;
        assert_true(fabsf(vector[i]) == 0.5f || fabsf(vector[i]) == (float)sqrt(0.75));
    }
    assert_int_equal(used, 2);
    cairn_embedder_free(embedder);
}

static void the_embedder_tells_what_it_is(void **state)
{
    cairn_embedder *embedder = make(0);

    (void)state;
    assert_int_equal(embedder->size, sizeof *embedder);
    assert_string_equal(embedder->model, "cairn-ngram-1");
    assert_int_equal(embedder->dim, 384);
    cairn_embedder_free(embedder);
    embedder = make(16);
    assert_int_equal(embedder->dim, 16);
    cairn_embedder_free(embedder);
    cairn_embedder_free(NULL);
}

/* ---- properties ---- */

/* Some words of random letters of several scripts, and what lies between words. */
static void random_text(struct crn_rng *rng, char *out, size_t size)
{
    static const char *const pieces[] = {"a",
                                         "e",
                                         "n",
                                         "t",
                                         "Q",
                                         "7",
                                         " ",
                                         " ",
                                         ", ",
                                         "\n",
                                         "\xC3\xA9",
                                         "\xD0\x96",
                                         "\xE4\xB8\xAD",
                                         "\xF0\x9F\x98\x80",
                                         "the ",
                                         "ing "};
    size_t len = 1;

    memcpy(out, "a", 2);
    for (uint64_t left = crn_rng_below(rng, 200); left > 0; left--) {
        const char *piece = pieces[crn_rng_below(rng, COUNT_OF(pieces))];
        if (len + strlen(piece) >= size) break;
        memcpy(out + len, piece, strlen(piece) + 1);
        len += strlen(piece);
    }
}

static void vectors_have_length_one_and_batches_change_nothing(void **state)
{
    enum { COUNT = 50 };
    static const uint32_t dims[] = {16, 100, 384, 4096};
    static char texts[COUNT][1000];
    const char *batch[COUNT];
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        random_text(&rng, texts[i], sizeof texts[i]);
        batch[i] = texts[i];
    }
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const uint32_t dim = dims[d];
        cairn_embedder *embedder = make(dim);
        float *all = crn_mem_array((COUNT + 1) * dim, sizeof *all), *one = all + COUNT * dim;
        assert_int_equal(embedder->embed(embedder->ctx, batch, COUNT, all, NULL), CAIRN_OK);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(fabs(dot(all + i * dim, all + i * dim, dim) - 1) < 1e-6);
            embed(embedder, texts[i], one);
            assert_memory_equal(one, all + i * dim, dim * sizeof *one);
        }
        crn_mem_free(all);
        cairn_embedder_free(embedder);
    }
}

static void case_and_punctuation_do_not_matter(void **state)
{
    (void)state;
    assert_true(similarity("Hello, World!", "hello world") > 1 - 1e-6);
    assert_true(similarity("\xC3\x84\xC3\x96\xC3\x9C", "\xC3\xA4\xC3\xB6\xC3\xBC") > 1 - 1e-6);
}

static void order_matters_a_little(void **state)
{
    double other_order = similarity("fast red car", "car red fast");

    (void)state;
    assert_true(other_order < 0.99);
    assert_true(other_order > 0.6);
}

static void likeness_is_ordered_as_people_would(void **state)
{
    (void)state;
    assert_true(similarity("database", "databases") > 0.6);           /* inflected */
    assert_true(similarity("database", "datbase") > 0.3);             /* misspelt */
    assert_true(fabs(similarity("database", "kitchen sink")) < 0.25); /* unrelated */
    assert_true(similarity("the cat", "cat") > similarity("red cat", "cat"));
    assert_true(similarity("the cat", "the dog") < similarity("big cat", "big dog"));
    assert_true(similarity("\xE6\x9D\xB1\xE4\xBA\xAC\xE9\x83\xBD", "\xE6\x9D\xB1\xE4\xBA\xAC") >
                0.5); /* 東京都, 東京 */
}

/* What an agent's memory may hold, and how somebody may ask for it: inflected, misspelt, in a few words. */
static void texts_are_found_by_a_few_words(void **state)
{
    static const char *const texts[] = {
        "Use ccache for the second build, it saves four minutes",
        "The integration tests need a PostgreSQL server on port 5433",
        "Retry the upload with exponential backoff when the server answers 429",
        "The user prefers short answers without bullet lists",
        "Memory leak in the image decoder was caused by a missing release of the frame buffer",
        "Deploy to staging first, then wait for the smoke tests before production",
        "JSON numbers above 2^53 lose precision in JavaScript; send them as strings",
        "The customer's invoices are generated every first Monday of the month",
        "Flaky test: the clock skew between containers breaks token expiry",
        "Compile with -fno-omit-frame-pointer to get useful profiles",
        "Rotate the API keys after the contractor leaves",
        "Vacuum the database weekly, the disk fills up otherwise",
    };
    static const struct {
        const char *query;
        size_t text;
    } rows[] = {
        {"ccache build", 0},
        {"postgres server port for integration test", 1},
        {"exponental backof", 2},
        {"how does the user like answers", 3},
        {"leaking memory when decoding images", 4},
        {"staging deployment", 5},
        {"javascript precision of large numbers", 6},
        {"when are invoices generated", 7},
        {"flakey tests clocks", 8},
        {"frame pointers profiling", 9},
        {"API key rotation", 10},
        {"disk full database vacuuming", 11},
    };
    cairn_embedder *embedder = make(0);
    float vectors[COUNT_OF(texts)][DIM], query[DIM];

    (void)state;
    assert_int_equal(embedder->embed(embedder->ctx, texts, COUNT_OF(texts), vectors[0], NULL), CAIRN_OK);
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        size_t best = 0;
        embed(embedder, rows[r].query, query);
        for (size_t t = 1; t < COUNT_OF(texts); t++) {
            if (dot(query, vectors[t], DIM) > dot(query, vectors[best], DIM)) best = t;
        }
        if (best != rows[r].text) fail_msg("\"%s\" finds \"%s\"", rows[r].query, texts[best]);
    }
    cairn_embedder_free(embedder);
}

/* ---- refusals ---- */

static void a_dim_out_of_range_is_refused(void **state)
{
    static const uint32_t dims[] = {1, 15, 65537, UINT32_MAX};
    cairn_embedder *embedder;
    cairn_error err;
    char number[16];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        assert_int_equal(cairn_embedder_ngram(dims[i], &embedder, &err), CAIRN_INVALID_ARGUMENT);
        snprintf(number, sizeof number, "%u", dims[i]);
        assert_non_null(strstr(err.message, number));
        assert_null(embedder);
    }
    assert_int_equal(cairn_embedder_ngram(0, NULL, &err), CAIRN_INVALID_ARGUMENT);
}

static void texts_without_features_are_refused(void **state)
{
    static const struct {
        const char *text;
        cairn_status status;
        const char *named;
    } rows[] = {
        {"", CAIRN_EMBEDDER, "text 1 (\"\")"},
        {" \n\t", CAIRN_EMBEDDER, "text 1"},
        {"?! ...", CAIRN_EMBEDDER, "\"?! ...\""},
        {"\xF0\x9F\x98\x80", CAIRN_EMBEDDER, "no letters or digits"},
        {"good \xFF", CAIRN_INVALID_UTF8, "text 1 is not valid UTF-8 at byte 5 (0xff)"},
        {NULL, CAIRN_INVALID_ARGUMENT, "text 1 is NULL"},
    };
    cairn_embedder *embedder = make(0);
    float vectors[2 * DIM];
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const texts[] = {"good", rows[i].text};
        assert_int_equal(embedder->embed(embedder->ctx, texts, 2, vectors, &err), rows[i].status);
        assert_int_equal(err.status, rows[i].status);
        if (strstr(err.message, rows[i].named) == NULL) fail_msg("%s", err.message);
        assert_int_equal(embedder->embed(embedder->ctx, texts, 2, vectors, NULL), rows[i].status);
    }
    assert_int_equal(embedder->embed(embedder->ctx, NULL, 0, NULL, NULL), CAIRN_OK);
    cairn_embedder_free(embedder);
}

static void a_text_beyond_the_limit_is_refused(void **state)
{
    cairn_embedder *embedder = make(0);
    char *text = crn_mem_alloc((size_t)CAIRN_TEXT_MAX + 2);
    float vector[DIM];
    cairn_error err;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', (size_t)CAIRN_TEXT_MAX + 1);
    text[0] = 'a';
    text[CAIRN_TEXT_MAX + 1] = '\0';
    const char *const texts[] = {text};
    assert_int_equal(embedder->embed(embedder->ctx, texts, 1, vector, &err), CAIRN_LIMIT);
    assert_non_null(strstr(err.message, "67108864"));
    text[CAIRN_TEXT_MAX] = '\0';
    assert_int_equal(embedder->embed(embedder->ctx, texts, 1, vector, &err), CAIRN_OK);
    crn_mem_free(text);
    cairn_embedder_free(embedder);
}

static void failing_allocations_are_no_memory(void **state)
{
    cairn_embedder *embedder;
    cairn_status status = CAIRN_NO_MEMORY;
    char *text = long_text();
    const char *const texts[] = {text};
    float vector[DIM];
    cairn_error err;

    (void)state;
    crn_mem_fail_at(1, false);
    assert_int_equal(cairn_embedder_ngram(0, &embedder, &err), CAIRN_NO_MEMORY);
    crn_mem_fail_at(0, false);
    assert_null(embedder);

    embedder = make(0);
    for (uint64_t nth = 1; status != CAIRN_OK; nth++) {
        crn_mem_fail_at(nth, false);
        status = embedder->embed(embedder->ctx, texts, 1, vector, &err);
        crn_mem_fail_at(0, false);
        if (status != CAIRN_OK) assert_int_equal(status, CAIRN_NO_MEMORY);
        if (status == CAIRN_OK) assert_true(nth > 3); /* the table has grown, each time by an allocation */
    }
    cairn_embedder_free(embedder);
    crn_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_pinned),
        cmocka_unit_test(the_smallest_vector_is_as_computed_by_hand),
        cmocka_unit_test(the_embedder_tells_what_it_is),
        cmocka_unit_test(vectors_have_length_one_and_batches_change_nothing),
        cmocka_unit_test(case_and_punctuation_do_not_matter),
        cmocka_unit_test(order_matters_a_little),
        cmocka_unit_test(likeness_is_ordered_as_people_would),
        cmocka_unit_test(texts_are_found_by_a_few_words),
        cmocka_unit_test(a_dim_out_of_range_is_refused),
        cmocka_unit_test(texts_without_features_are_refused),
        cmocka_unit_test(a_text_beyond_the_limit_is_refused),
        cmocka_unit_test(failing_allocations_are_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
