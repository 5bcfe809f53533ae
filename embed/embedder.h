/* What the embedders share. */
#ifndef CRN_EMBED_EMBEDDER_H
#define CRN_EMBED_EMBEDDER_H

#include <cairn/embed.h>
#include <stddef.h>

/* Checks texts[index] and finds its length: INVALID_ARGUMENT when it is NULL, LIMIT, INVALID_UTF8. */
cairn_status crn_embedder_text_check(const char *const *texts, size_t index, size_t *out_len,
                                     cairn_error *err);

#endif
