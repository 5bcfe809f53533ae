/*
 * Cairn's own REST interface, /cairn/v1/: patterns, search, retrieval with reasoning, backup and upkeep, as docs/REST.md lists it.
 * JSON in and out, vectors also as bare f32.
 *
 * crn_v1_handle is a crn_handler: shared, any number of threads at once. It answers every request; whoever gets a path that is not
 * of this interface answers 404.
 */
#ifndef CRN_SERVER_V1_H
#define CRN_SERVER_V1_H

#include "server/exchange.h"

#include <cairn/cairn.h>

struct crn_v1;

struct crn_v1_options {
    const char *backups;         /* folder of backups, made when it is first needed; NULL: no backups */
    size_t open_collections_max; /* collections kept open while nobody uses them; 0 = 256 */
    const char *
        embed_url; /* an OpenAI-compatible embeddings endpoint, whose key is CAIRN_EMBED_KEY of the environment; NULL: none */
    const char *embed_models; /* what it serves, separated by commas */
    double slow_ms;           /* searches that take as long are kept in the log of slow ones */
    void (*put_live)(
        void *ctx,
        struct crn_buf *out); /* what the server did in the last seconds, as JSON; NULL: not known */
    void *put_live_ctx;
};

/* `db` stays the caller's and outlives it. */
cairn_status crn_v1_open(struct cairn_db *db, const struct crn_v1_options *options, struct crn_v1 **out_v1,
                         cairn_error *err);
void crn_v1_close(struct crn_v1 *v1); /* NULL accepted; no request may be under way */

/* Whether the path is of this interface: it begins with cairn/v1. */
bool crn_v1_owns(const struct crn_request *request);

/* `ctx` is a struct crn_v1. */
void crn_v1_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer);

/* What there is to ask for, as the OpenAPI document has to list it. */
struct crn_v1_route_name {
    enum crn_method method;
    const char *path; /* as in "/cairn/v1/collections/{collection}" */
};
size_t crn_v1_route_names(struct crn_v1_route_name *out, size_t max); /* the count of all */

#endif
