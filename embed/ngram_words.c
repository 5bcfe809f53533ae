/*
 * Words. What is a word, and which are common, is part of the contract of "cairn-ngram-1": a change here
 * is a new model name.
 */
#include "embed/ngram_words.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Sorted by bytes for bsearch. */
static const char *const common_words[] = {
    "a",    "about", "after",  "again",  "all",    "also",    "an",    "and",     "any",  "are",  "as",
    "at",   "be",    "been",   "before", "being",  "between", "both",  "but",     "by",   "can",  "could",
    "did",  "do",    "does",   "down",   "during", "each",    "for",   "from",    "had",  "has",  "have",
    "he",   "her",   "here",   "his",    "how",    "i",       "if",    "in",      "into", "is",   "it",
    "its",  "just",  "may",    "me",     "might",  "more",    "most",  "must",    "my",   "no",   "not",
    "of",   "off",   "on",     "only",   "or",     "other",   "our",   "out",     "over", "own",  "s",
    "same", "she",   "should", "so",     "some",   "such",    "t",     "than",    "that", "the",  "their",
    "them", "then",  "there",  "these",  "they",   "this",    "those", "through", "to",   "too",  "under",
    "up",   "us",    "use",    "used",   "using",  "very",    "via",   "was",     "we",   "were", "what",
    "when", "where", "which",  "who",    "will",   "with",    "would", "you",     "your",
};

static bool is_ideograph(uint32_t code)
{
    return (code >= 0x3040 && code <= 0x30FF) || /* hiragana, katakana */
           (code >= 0x3400 && code <= 0x4DBF) || /* Han, extension A */
           (code >= 0x4E00 && code <= 0x9FFF) || /* Han */
           (code >= 0xF900 && code <= 0xFAFF) || /* Han, compatibility */
           (code >= 0x20000 && code <= 0x3FFFF); /* Han, the later extensions */
}

bool crn_ngram_word_next(const char *text, size_t len, size_t *pos, struct crn_ngram_word *out_word)
{
    size_t letters = 0, end = 1;

    out_word->bytes[0] = '<';
    out_word->starts[0] = 0;
    while (*pos < len && letters < CRN_NGRAM_LETTERS_MAX) {
        size_t next = *pos;
        uint32_t code = crn_utf8_next(text, len, &next);
        bool alnum = crn_utf8_is_alnum(code);
        if (letters > 0 && (!alnum || is_ideograph(code))) break;

        *pos = next;
        if (!alnum) continue;
        letters++;
        out_word->starts[letters] = (uint16_t)end;
        end += crn_utf8_put(crn_utf8_lower(code), out_word->bytes + end);
        if (is_ideograph(code)) break;
    }
    out_word->letters = letters;
    out_word->starts[letters + 1] = (uint16_t)end;
    out_word->bytes[end] = '>';
    out_word->starts[letters + 2] = (uint16_t)(end + 1);
    return letters > 0;
}

static int compare_word(const void *key, const void *entry)
{
    const struct crn_ngram_word *word = key;
    const char *common = *(const char *const *)entry;
    size_t len = word->starts[word->letters + 1] - (size_t)1;

    int order = strncmp(word->bytes + 1, common, len);
    return order != 0 ? order : -(common[len] != '\0'); /* a beginning of the entry sorts before it */
}

bool crn_ngram_word_is_common(const struct crn_ngram_word *word)
{
    return bsearch(word, common_words, sizeof common_words / sizeof common_words[0], sizeof common_words[0],
                   compare_word) != NULL;
}
