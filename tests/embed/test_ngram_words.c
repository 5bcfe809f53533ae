/* What the n-gram embedder takes for words. Its vectors depend on every line of this. */
#include "embed/ngram_words.h"

#include "tests/base/support.h"

/* The words of a text, each between its marks, one after the other. */
static void join(const char *text, char *out, size_t size)
{
    struct crn_ngram_word word;
    size_t pos = 0, len = strlen(text);

    out[0] = '\0';
    while (crn_ngram_word_next(text, len, &pos, &word)) {
        size_t at = strlen(out);
        assert_in_range(word.letters, 1, CRN_NGRAM_LETTERS_MAX);
        assert_int_equal(word.starts[0], 0);
        assert_int_equal(word.starts[1], 1);
        snprintf(out + at, size - at, "%.*s", (int)word.starts[word.letters + 2], word.bytes);
    }
    assert_int_equal(pos, len);
}

static void words_are_runs_of_letters_and_digits(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", ""},
        {" \t.,;!? --- \xE2\x80\x93", ""},
        {"word", "<word>"},
        {"Use ccache, for C++20!", "<use><ccache><for><c><20>"},
        {"snake_case key=value a/b.c", "<snake><case><key><value><a><b><c>"},
        {"don't", "<don><t>"},
        {"\xC3\x84pfel \xCE\xA3\xCE\x9F\xCE\xA6\xCE\x99\xCE\x91 \xD0\x9C\xD0\x98\xD0\xA0", /* Äpfel ΣΟΦΙΑ МИР */
         "<\xC3\xA4pfel><\xCF\x83\xCE\xBF\xCF\x86\xCE\xB9\xCE\xB1><\xD0\xBC\xD0\xB8\xD1\x80>"},
        {"\xC8\xBA", "<\xE2\xB1\xA5>"}, /* lower case is longer: 2 to 3 bytes */
        {"\xE6\x9D\xB1\xE4\xBA\xAC v2", "<\xE6\x9D\xB1><\xE4\xBA\xAC><v2>"}, /* two Han characters */
        {"x\xE6\x9D\xB1y", "<x><\xE6\x9D\xB1><y>"},
        {"\xE3\x81\x82\xE3\x82\xA2", "<\xE3\x81\x82><\xE3\x82\xA2>"}, /* hiragana, katakana */
        {"\xED\x95\x9C\xEA\xB5\xAD \xEC\x96\xB4",
         "<\xED\x95\x9C\xEA\xB5\xAD><\xEC\x96\xB4>"}, /* Korean has spaces */
    };
    char words[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        join(rows[i].text, words, sizeof words);
        assert_string_equal(words, rows[i].words);
    }
}

static void long_runs_are_cut(void **state)
{
    char text[4 * 150 + 1] = "";
    struct crn_ngram_word word;
    size_t pos = 0;

    (void)state;
    for (int i = 0; i < 150; i++) memcpy(text + 4 * i, "\xF0\x9D\x94\xB8", 5); /* a letter of four bytes */
    const size_t letters[] = {64, 64, 22};
    for (size_t i = 0; i < COUNT_OF(letters); i++) {
        assert_true(crn_ngram_word_next(text, strlen(text), &pos, &word));
        assert_int_equal(word.letters, letters[i]);
        assert_int_equal(word.starts[word.letters + 2], 4 * letters[i] + 2);
        assert_int_equal(word.bytes[4 * letters[i] + 1], '>');
    }
    assert_false(crn_ngram_word_next(text, strlen(text), &pos, &word));
}

static bool is_common(const char *text)
{
    struct crn_ngram_word word;
    size_t pos = 0;

    assert_true(crn_ngram_word_next(text, strlen(text), &pos, &word));
    return crn_ngram_word_is_common(&word);
}

static void common_words_are_found_as_a_whole(void **state)
{
    /* All of them: bsearch misses some when the table is out of order. */
    static const char common[] =
        "a about after again all also an and any are as at be been before being between both but by "
        "can could did  do does down during each for from had has have he her here his how i if in "
        "into is it its just may me  might more most must my no not of off on only or other our out "
        "over own s same she should so some such t  than that the their them then there these they "
        "this those through to too under up us use used using very  via was we were what when where "
        "which who will with would you your";
    static const char *const others[] = {"b",     "ab",    "abou", "abouts", "thee",
                                         "cache", "yours", "zoo",  "0",      "\xC3\xA4"};
    struct crn_ngram_word word;
    size_t pos = 0;
    size_t count = 0;

    (void)state;
    for (; crn_ngram_word_next(common, sizeof common - 1, &pos, &word); count++) {
        assert_true(crn_ngram_word_is_common(&word));
    }
    assert_int_equal(count, 108);
    assert_true(is_common("THE"));
    for (size_t i = 0; i < COUNT_OF(others); i++) assert_false(is_common(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_runs_of_letters_and_digits),
        cmocka_unit_test(long_runs_are_cut),
        cmocka_unit_test(common_words_are_found_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
