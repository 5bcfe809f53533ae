/* No interface to the data is served yet: the root tells the version, and nothing else is there. */
#include "server/serve_api.h"

#include "server/http_exchange.h"

cairn_status crn_serve_api_open(struct cairn_db *db, void **out_ctx, cairn_error *err)
{
    (void)err;
    *out_ctx = db;
    return CAIRN_OK;
}

void crn_serve_api_close(void *ctx)
{
    (void)ctx;
}

void crn_serve_api_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    (void)ctx;
    if (request->segment_count > 0) crn_http_answer_error(answer, 404, "there is nothing at this path");
    else crn_buf_printf(&answer->body, "{\"title\":\"cairn\",\"version\":\"%s\"}", cairn_version());
}
