/* The words of a text, as the n-gram embedder sees them. */
#ifndef CRN_EMBED_NGRAM_WORDS_H
#define CRN_EMBED_NGRAM_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_NGRAM_LETTERS_MAX 64 /* longer runs of letters are several words */

/* One word, lower-cased, between the marks '<' and '>', which are no letters and so tell its borders in a
 * trigram. */
struct crn_ngram_word {
    size_t letters;                             /* 1..CRN_NGRAM_LETTERS_MAX */
    uint16_t starts[CRN_NGRAM_LETTERS_MAX + 3]; /* byte of '<', of each letter, of '>', and the end */
    char bytes[4 * CRN_NGRAM_LETTERS_MAX + 2];  /* "<word>", UTF-8 */
};

/*
 * Reads the next word of text[0..len), valid UTF-8, from byte *pos on, and moves *pos behind it. False when
 * there is none. A word is a run of letters and digits; a Han character or a kana is a word by itself,
 * because no spaces part the words there.
 */
bool crn_ngram_word_next(const char *text, size_t len, size_t *pos, struct crn_ngram_word *out_word);

/* Is it one of the function words of English, which tell little of what a text is about? */
bool crn_ngram_word_is_common(const struct crn_ngram_word *word);

#endif
