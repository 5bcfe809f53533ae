/* What goes to and comes from an OpenAI-compatible embeddings endpoint, as JSON. No network here. */
#ifndef CRN_EMBED_OPENAI_JSON_H
#define CRN_EMBED_OPENAI_JSON_H

#include "base/buf.h"

#include <cairn/status.h>
#include <stddef.h>
#include <stdint.h>

/* Appends the request for the first texts of [count]: at least one, and no more than make about max_bytes.
 * Returns how many. The texts are valid UTF-8. buf->failed tells of trouble. */
size_t crn_openai_write(struct crn_buf *buf, const char *model, const char *const *texts, size_t count,
                        size_t max_bytes);

/*
 * Reads the answer to a request of `count` texts into out_vectors [count][dim], each by its "index", in
 * whatever order they come. EMBEDDER with what is wrong: no JSON, another number of embeddings, an index
 * twice, another dim, no finite numbers. NO_MEMORY.
 */
cairn_status crn_openai_read(const struct crn_buf *answer, size_t count, uint32_t dim, float *out_vectors,
                             cairn_error *err);

/* The dim of the only embedding of an answer to one text; the same checks. */
cairn_status crn_openai_read_dim(const struct crn_buf *answer, uint32_t *out_dim, cairn_error *err);

/* The endpoint's own words for a failure: the message of its error object, else the answer as it is. */
void crn_openai_read_error(const struct crn_buf *answer, char *out, size_t size);

#endif
