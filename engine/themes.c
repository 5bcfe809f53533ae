#include "engine/themes.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define LETTERS_MIN 3u
#define PATTERN_BYTES_MAX 16384u /* of a pattern's text, and of its payload's strings, that are looked at */

struct term {
    char text[CRN_THEME_BYTES]; /* "" marks a free slot */
    double weight;
    size_t patterns;    /* that hold it */
    size_t last;        /* the pattern it was seen in last, from 1 */
    size_t occurrences; /* in that one */
};

/* Open addressing, linear probing, at most half full. */
struct gathering {
    struct term *slots;
    size_t capacity; /* a power of two */
    size_t count;
    size_t pattern; /* the one being read, from 1 */
};

/* Sorted by bytes, for bsearch. */
static const char *const common_words[] = {
    "about",  "after", "all",   "also",    "and",  "any",  "are",   "because", "been",  "before", "being",
    "but",    "can",   "could", "did",     "does", "each", "for",   "from",    "had",   "has",    "have",
    "her",    "here",  "his",   "how",     "into", "its",  "just",  "may",     "more",  "most",   "must",
    "nor",    "not",   "now",   "off",     "one",  "only", "other", "our",     "out",   "over",   "she",
    "should", "some",  "such",  "than",    "that", "the",  "their", "them",    "then",  "there",  "these",
    "they",   "this",  "those", "through", "too",  "two",  "under", "until",   "use",   "used",   "uses",
    "using",  "very",  "was",   "were",    "what", "when", "where", "which",   "while", "who",    "why",
    "will",   "with",  "would", "you",     "your",
};

static int order_words(const void *key, const void *word)
{
    return strcmp(key, *(const char *const *)word);
}

static bool is_theme(const char *word, size_t letters)
{
    if (letters < LETTERS_MIN || (word[0] >= '0' && word[0] <= '9')) return false;
    return bsearch(word, common_words, sizeof common_words / sizeof *common_words, sizeof *common_words,
                   order_words) == NULL;
}

static struct term *slot_of(const struct gathering *gathering, const char *word)
{
    size_t i = (size_t)crn_hash64(word, strlen(word), 0) & (gathering->capacity - 1);

    while (gathering->slots[i].text[0] != '\0' && strcmp(gathering->slots[i].text, word) != 0) {
        i = (i + 1) & (gathering->capacity - 1);
    }
    return &gathering->slots[i];
}

static bool grow(struct gathering *gathering)
{
    struct gathering bigger = *gathering;

    bigger.capacity = gathering->capacity > 0 ? gathering->capacity * 2 : 1024;
    bigger.slots = crn_mem_calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) return false;
    for (size_t i = 0; i < gathering->capacity; i++) {
        if (gathering->slots[i].text[0] == '\0') continue;
        *slot_of(&bigger, gathering->slots[i].text) = gathering->slots[i];
    }
    crn_mem_free(gathering->slots);
    *gathering = bigger;
    return true;
}

static cairn_status add_word(struct gathering *gathering, const char *word, cairn_error *err)
{
    if ((gathering->count + 1) * 2 > gathering->capacity && !grow(gathering)) {
        return crn_error_no_memory(err, gathering->capacity * 2 * sizeof(struct term));
    }
    struct term *term = slot_of(gathering, word);
    if (term->text[0] == '\0') {
        memcpy(term->text, word, strlen(word) + 1);
        gathering->count++;
    }
    if (term->last != gathering->pattern) {
        term->last = gathering->pattern;
        term->occurrences = 0;
        term->patterns++;
    }
    term->occurrences++;
    term->weight += 1 / ((double)term->occurrences * (double)gathering->pattern);
    return CAIRN_OK;
}

/* The words of valid UTF-8. */
static cairn_status add_text(struct gathering *gathering, const char *text, size_t len, cairn_error *err)
{
    char word[CRN_THEME_BYTES + 4];
    size_t word_len = 0, letters = 0, at = 0;
    bool more;

    do {
        more = at < len;
        const uint32_t code = more ? crn_utf8_next(text, len, &at) : ' '; /* which closes the last word */
        if (crn_utf8_is_alnum(code)) {
            if (word_len < CRN_THEME_BYTES) word_len += crn_utf8_put(crn_utf8_lower(code), word + word_len);
            letters++;
            continue;
        }
        word[word_len] = '\0';
        if (word_len < CRN_THEME_BYTES && is_theme(word, letters)) CRN_TRY(add_word(gathering, word, err));
        word_len = letters = 0;
    } while (more);
    return CAIRN_OK;
}

/* The words of all strings inside; `budget` is what may still be looked at. */
static cairn_status add_json(struct gathering *gathering, struct crn_json json, size_t *budget,
                             cairn_error *err)
{
    struct crn_json_iter it;
    struct crn_json child;
    const char *key;
    size_t len;

    if (crn_json_type(json) == CRN_JSON_STRING) {
        const char *text = crn_json_string(json, &len);
        if (len > *budget) len = crn_utf8_valid(text, *budget);
        *budget -= len;
        return add_text(gathering, text, len, err);
    }
    for (crn_json_iter_init(&it, json); *budget > 0 && crn_json_iter_next(&it, &child, &key, &len);) {
        CRN_TRY(add_json(gathering, child, budget, err));
    }
    return CAIRN_OK;
}

static cairn_status add_pattern(struct gathering *gathering, struct crn_json_parser *parser,
                                const cairn_pattern *pattern, cairn_error *err)
{
    struct crn_json payload;
    size_t budget = PATTERN_BYTES_MAX;

    if (pattern->text != NULL) {
        const size_t len = crn_utf8_valid(pattern->text, strnlen(pattern->text, PATTERN_BYTES_MAX));
        CRN_TRY(add_text(gathering, pattern->text, len, err));
    }
    if (pattern->payload == NULL) return CAIRN_OK;
    CRN_TRY(crn_json_parse(parser, pattern->payload, strlen(pattern->payload), &payload, err));
    return add_json(gathering, payload, &budget, err);
}

static bool goes_before(const struct term *a, const struct term *b)
{
    if ((a->patterns > 1) != (b->patterns > 1)) return a->patterns > 1;
    if (a->weight != b->weight) return a->weight > b->weight;
    return strcmp(a->text, b->text) < 0;
}

static void choose(const struct gathering *gathering, struct crn_themes *out)
{
    const struct term *best[CRN_THEMES_MAX];

    out->count = 0;
    for (size_t i = 0; i < gathering->capacity; i++) {
        const struct term *term = &gathering->slots[i];
        size_t place = out->count;

        if (term->text[0] == '\0') continue;
        while (place > 0 && goes_before(term, best[place - 1])) place--;
        if (place == CRN_THEMES_MAX) continue;
        if (out->count < CRN_THEMES_MAX) out->count++;
        for (size_t last = out->count - 1; last > place; last--) best[last] = best[last - 1];
        best[place] = term;
    }
    /* What only one pattern says is no theme beside what several do. */
    while (out->count > 1 && best[0]->patterns > 1 && best[out->count - 1]->patterns == 1) out->count--;
    for (size_t i = 0; i < out->count; i++) memcpy(out->terms[i], best[i]->text, sizeof out->terms[i]);
}

cairn_status crn_themes_find(const cairn_memory *memories, size_t count, struct crn_themes *out_themes,
                             cairn_error *err)
{
    struct gathering gathering = {0};
    struct crn_json_parser *parser = crn_json_parser_create();
    cairn_status status = parser != NULL ? CAIRN_OK : crn_error_no_memory(err, 1);

    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        gathering.pattern = i + 1;
        status = add_pattern(&gathering, parser, memories[i].pattern, err);
    }
    if (status == CAIRN_OK) choose(&gathering, out_themes);
    crn_mem_free(gathering.slots);
    crn_json_parser_free(parser);
    return status;
}
