/* The interface to the data: Qdrant's dialect (qdrant.h). */
#include "server/serve_api.h"

#include "server/qdrant.h"

cairn_status crn_serve_api_open(struct cairn_db *db, void **out_ctx, cairn_error *err)
{
    return crn_qdrant_open(db, NULL, (struct crn_qdrant **)out_ctx, err);
}

void crn_serve_api_close(void *ctx)
{
    crn_qdrant_close(ctx);
}

void crn_serve_api_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    crn_qdrant_handle(ctx, request, answer);
}
