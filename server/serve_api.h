/* The one place that says what answers requests for data: everything but health, metrics and CORS goes there.
 * */
#ifndef CRN_SERVER_SERVE_API_H
#define CRN_SERVER_SERVE_API_H

#include "server/config.h"
#include "server/exchange.h"

struct cairn_db;

/* *out_ctx is what crn_serve_api_handle wants as its context. The database outlives it. Of the settings the folder counts, for
 * backups, and which searches are slow. `put_live`: v1.h. */
cairn_status crn_serve_api_open(struct cairn_db *db, const struct crn_config *config,
                                void (*put_live)(void *ctx, struct crn_buf *out), void *put_live_ctx,
                                void **out_ctx, cairn_error *err);
void crn_serve_api_close(void *ctx);
void crn_serve_api_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer);

#endif
