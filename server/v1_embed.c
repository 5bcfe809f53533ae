/*
 * Text to vector for collections: by the model that a collection's default space names. cairn-ngram-1 is built in; others are asked for
 * at the one endpoint that the server is told of. Embedders are kept to the end, since collections that others hold borrow them.
 */
#include "server/v1_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NGRAM_MODEL "cairn-ngram-1"

/* "a,b" has a and b. */
static bool is_offered(const struct crn_v1 *v1, const char *model)
{
    const size_t length = strlen(model);

    for (const char *at = v1->embed_models; at != NULL && v1->embed_url != NULL;) {
        const char *comma = strchr(at, ',');
        const size_t each = comma != NULL ? (size_t)(comma - at) : strlen(at);
        if (each == length && memcmp(at, model, each) == 0) return true;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

static cairn_status make(const struct crn_v1 *v1, const char *model, uint32_t dim, cairn_embedder **out,
                         cairn_error *err)
{
    if (strcmp(model, NGRAM_MODEL) == 0) return cairn_embedder_ngram(dim, out, err);
    return cairn_embedder_openai(CAIRN_OPTIONS(cairn_openai_options, .url = v1->embed_url, .model = model,
                                               .api_key = getenv("CAIRN_EMBED_KEY"), .dim = dim),
                                 out, err);
}

cairn_status crn_v1_embedder_find(struct crn_v1 *v1, const char *model, uint32_t dim,
                                  const cairn_embedder **out, cairn_error *err)
{
    *out = NULL;
    if (model == NULL || dim == 0 || (strcmp(model, NGRAM_MODEL) != 0 && !is_offered(v1, model)))
        return CAIRN_OK;
    for (struct crn_v1_embedder *known = v1->embedders; known != NULL; known = known->next) {
        if (known->embedder->dim != dim || strcmp(known->embedder->model, model) != 0) continue;
        *out = known->embedder;
        return CAIRN_OK;
    }
    struct crn_v1_embedder *made = crn_mem_calloc(1, sizeof *made);
    if (made == NULL) return crn_error_no_memory(err, sizeof *made);
    const cairn_status status = make(v1, model, dim, &made->embedder, err);
    if (status != CAIRN_OK) {
        crn_mem_free(made);
        return status;
    }
    made->next = v1->embedders;
    v1->embedders = made;
    *out = made->embedder;
    return CAIRN_OK;
}

cairn_status crn_v1_embedder_dim(struct crn_v1 *v1, const char *model, uint32_t *out_dim, cairn_error *err)
{
    cairn_embedder *embedder;

    *out_dim = 0;
    if (!is_offered(v1, model)) return CAIRN_OK;
    CRN_TRY(make(v1, model, 0, &embedder, err));
    *out_dim = embedder->dim;
    cairn_embedder_free(embedder);
    return CAIRN_OK;
}

void crn_v1_embedders_free(struct crn_v1 *v1)
{
    while (v1->embedders != NULL) {
        struct crn_v1_embedder *known = v1->embedders;
        v1->embedders = known->next;
        cairn_embedder_free(known->embedder);
        crn_mem_free(known);
    }
}
