/* Words in a text: all of them, any of them, or all in a row. Only the files filter_*.c use it. */
#ifndef CRN_ENGINE_FILTER_WORDS_H
#define CRN_ENGINE_FILTER_WORDS_H

#include "engine/filter_tree.h"

struct crn_words;

/* {"query": text, "match": "all"|"any"|"phrase", "tokenizer": "word"|"whitespace"|"prefix", "lowercase": bool, "min": n, "max": n,
 * "stopwords": [text]}; all but the query may be left out. */
cairn_status crn_words_parse(struct crn_filter *filter, const char *path, struct crn_json operand,
                             struct crn_words **out, cairn_error *err);
bool crn_words_match(const struct crn_words *words, const char *text, size_t len);

#endif
