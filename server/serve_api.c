/* The interfaces to the data: Cairn's own below /cairn/v1/ (v1.h), and Qdrant's dialect (qdrant.h) everywhere else. */
#include "server/serve_api.h"

#include "base/error.h"
#include "base/mem.h"
#include "server/qdrant.h"
#include "server/v1.h"

#include <stdio.h>

struct api {
    struct crn_qdrant *qdrant;
    struct crn_v1 *v1;
};

cairn_status crn_serve_api_open(struct cairn_db *db, const struct crn_config *config,
                                void (*put_live)(void *ctx, struct crn_buf *out), void *put_live_ctx,
                                void **out_ctx, cairn_error *err)
{
    struct api *api = crn_mem_calloc(1, sizeof *api);
    char backups[4096], snapshots[4096];

    *out_ctx = NULL;
    if (api == NULL) return crn_error_no_memory(err, sizeof *api);
    cairn_status status = CAIRN_OK;
    if ((size_t)snprintf(backups, sizeof backups, "%s/backups", config->data) >= sizeof backups) {
        status = crn_error_set(err, CAIRN_LIMIT, "the path '%s' is too long", config->data);
    }
    snprintf(snapshots, sizeof snapshots, "%.*s/snapshots", (int)sizeof snapshots - 16, config->data);
    const struct crn_qdrant_options dialect = {.snapshots = snapshots};
    const struct crn_v1_options options = {.backups = backups,
                                           .slow_ms = (double)config->slow_ms,
                                           .embed_url = config->embed_url,
                                           .embed_models = config->embed_models,
                                           .put_live = put_live,
                                           .put_live_ctx = put_live_ctx};
    if (status == CAIRN_OK) status = crn_qdrant_open(db, &dialect, &api->qdrant, err);
    if (status == CAIRN_OK) status = crn_v1_open(db, &options, &api->v1, err);
    if (status != CAIRN_OK) {
        crn_serve_api_close(api);
        return status;
    }
    *out_ctx = api;
    return CAIRN_OK;
}

void crn_serve_api_close(void *ctx)
{
    struct api *api = ctx;

    if (api == NULL) return;
    crn_v1_close(api->v1);
    crn_qdrant_close(api->qdrant);
    crn_mem_free(api);
}

void crn_serve_api_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    const struct api *api = ctx;

    if (crn_v1_owns(request))
        crn_v1_handle(api->v1, request, answer);
    else
        crn_qdrant_handle(api->qdrant, request, answer);
}
