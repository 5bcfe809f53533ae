/*
 * Words in a text. A word is a run of letters and digits of any script, or with the tokenizer "whitespace" of anything but blanks.
 * The text is walked for each word asked for, without allocating: filters ask for few words.
 */
#include "engine/filter_words.h"

#include "base/error.h"
#include "base/utf8.h"

#include <string.h>

enum match { MATCH_ALL, MATCH_ANY, MATCH_PHRASE };

struct word {
    const char *text;
    size_t len;
};

struct crn_words {
    struct word *asked;
    size_t asked_count;
    struct word *stop; /* words that do not count */
    size_t stop_count;
    enum match match;
    bool whitespace, prefix, lowercase;
    uint64_t min, max; /* characters of a word that counts */
};

/* ---- walking ---- */

static bool belongs(const struct crn_words *words, uint32_t code)
{
    if (words->whitespace)
        return !(code == ' ' || (code >= 9 && code <= 13) || code == 0xa0 || code == 0x3000);
    return crn_utf8_is_alnum(code);
}

static uint32_t folded(const struct crn_words *words, uint32_t code)
{
    return words->lowercase ? crn_utf8_lower(code) : code;
}

/* The next run of characters from *at on; false at the end. */
static bool next_run(const struct crn_words *words, const char *text, size_t len, size_t *at,
                     struct word *out, uint64_t *out_characters)
{
    size_t begin, behind;

    do {
        if (*at >= len) return false;
        begin = *at;
    } while (!belongs(words, crn_utf8_next(text, len, at)));
    *out_characters = 1;
    for (behind = *at; *at < len; behind = *at) {
        if (!belongs(words, crn_utf8_next(text, len, at))) break;
        ++*out_characters;
    }
    *out = (struct word){text + begin, behind - begin};
    return true;
}

/* Is `word` the other, or with `prefix` does it begin with it? */
static bool same(const struct crn_words *words, struct word word, struct word other, bool prefix)
{
    size_t i = 0, j = 0;

    while (i < word.len && j < other.len) {
        if (folded(words, crn_utf8_next(word.text, word.len, &i)) !=
            folded(words, crn_utf8_next(other.text, other.len, &j)))
            return false;
    }
    return j == other.len && (prefix || i == word.len);
}

static bool next_word(const struct crn_words *words, const char *text, size_t len, size_t *at,
                      struct word *out)
{
    uint64_t characters;

    while (next_run(words, text, len, at, out, &characters)) {
        bool counts = characters >= words->min && characters <= words->max;
        for (size_t i = 0; counts && i < words->stop_count; i++)
            counts = !same(words, *out, words->stop[i], false);
        if (counts) return true;
    }
    return false;
}

/* ---- matching ---- */

static bool holds(const struct crn_words *words, const char *text, size_t len, struct word asked)
{
    struct word word;
    size_t at = 0;

    while (next_word(words, text, len, &at, &word)) {
        if (same(words, word, asked, words->prefix)) return true;
    }
    return false;
}

static bool follows(const struct crn_words *words, const char *text, size_t len, size_t at)
{
    struct word word;

    for (size_t i = 0; i < words->asked_count; i++) {
        if (!next_word(words, text, len, &at, &word) || !same(words, word, words->asked[i], false))
            return false;
    }
    return true;
}

static bool holds_phrase(const struct crn_words *words, const char *text, size_t len)
{
    struct word word;
    size_t at = 0;

    for (;;) {
        if (follows(words, text, len, at)) return true;
        if (!next_word(words, text, len, &at, &word)) return false;
    }
}

bool crn_words_match(const struct crn_words *words, const char *text, size_t len)
{
    if (words->asked_count == 0) return false;
    if (words->match == MATCH_PHRASE) return holds_phrase(words, text, len);
    for (size_t i = 0; i < words->asked_count; i++) {
        const bool held = holds(words, text, len, words->asked[i]);
        if (held != (words->match == MATCH_ALL)) return held;
    }
    return words->match == MATCH_ALL;
}

/* ---- reading ---- */

static cairn_status refuse(const char *path, const char *wanted, cairn_error *err)
{
    return crn_error_set(err, CAIRN_INVALID_FILTER, "filter: $words of \"%s\" takes %s", path, wanted);
}

static cairn_status read_choice(struct crn_json operand, const char *name, const char *const *choices,
                                size_t count, size_t *out, const char *path, cairn_error *err)
{
    struct crn_json value;
    size_t len;

    if (!crn_json_get(operand, name, &value)) return CAIRN_OK;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(crn_json_string(value, &len), choices[i]) != 0) continue;
        *out = i;
        return CAIRN_OK;
    }
    return refuse(path, "match all, any or phrase, and tokenizer word, whitespace or prefix", err);
}

static cairn_status read_stopwords(struct crn_filter *filter, struct crn_words *words, const char *path,
                                   struct crn_json operand, cairn_error *err)
{
    struct crn_json list, element;
    struct crn_json_iter it;
    const char *key;
    size_t len;

    if (!crn_json_get(operand, "stopwords", &list)) return CAIRN_OK;
    words->stop = crn_filter_take(filter, (crn_json_size(list) + 1) * sizeof *words->stop);
    if (words->stop == NULL) return crn_error_no_memory(err, sizeof *words->stop);
    for (crn_json_iter_init(&it, list); crn_json_iter_next(&it, &element, &key, &len);) {
        struct word *word = &words->stop[words->stop_count++];
        if (crn_json_type(element) != CRN_JSON_STRING) return refuse(path, "stopwords that are strings", err);
        const char *text = crn_json_string(element, &word->len);
        CRN_TRY(crn_filter_take_text(filter, text, word->len, &word->text, err));
    }
    return CAIRN_OK;
}

static cairn_status read_limits(struct crn_words *words, const char *path, struct crn_json operand,
                                cairn_error *err)
{
    struct crn_json value;

    words->max = UINT64_MAX;
    words->lowercase = true;
    if (crn_json_get(operand, "lowercase", &value)) words->lowercase = crn_json_bool(value);
    if (crn_json_get(operand, "min", &value)) {
        if (!crn_json_is_number(value)) return refuse(path, "a number as min", err);
        words->min = crn_json_u64(value);
    }
    if (crn_json_get(operand, "max", &value)) {
        if (!crn_json_is_number(value)) return refuse(path, "a number as max", err);
        words->max = crn_json_u64(value);
    }
    return CAIRN_OK;
}

cairn_status crn_words_parse(struct crn_filter *filter, const char *path, struct crn_json operand,
                             struct crn_words **out, cairn_error *err)
{
    static const char *const matches[] = {"all", "any", "phrase"};
    static const char *const tokenizers[] = {"word", "whitespace", "prefix"};
    struct crn_words *words = crn_filter_take(filter, sizeof *words);
    struct crn_json query;
    struct word word;
    size_t match = 0, tokenizer = 0, len, at = 0;
    const char *text = NULL;

    if (words == NULL) return crn_error_no_memory(err, sizeof *words);
    if (!crn_json_get(operand, "query", &query) || crn_json_type(query) != CRN_JSON_STRING)
        return refuse(path, "a query", err);
    CRN_TRY(read_choice(operand, "match", matches, 3, &match, path, err));
    CRN_TRY(read_choice(operand, "tokenizer", tokenizers, 3, &tokenizer, path, err));
    CRN_TRY(read_limits(words, path, operand, err));
    words->match = (enum match)match;
    words->whitespace = tokenizer == 1;
    words->prefix = tokenizer == 2;
    CRN_TRY(read_stopwords(filter, words, path, operand, err));
    const char *given = crn_json_string(query, &len);
    CRN_TRY(crn_filter_take_text(filter, given, len, &text, err));
    words->asked = crn_filter_take(filter, (len / 2 + 1) * sizeof *words->asked);
    if (words->asked == NULL) return crn_error_no_memory(err, len * sizeof *words->asked);
    while (next_word(words, text, len, &at, &word)) words->asked[words->asked_count++] = word;
    *out = words;
    return CAIRN_OK;
}
