/*
 * Any bytes as requests to the Qdrant dialect (requests.h). Every answer must be a known status, with a body that is JSON
 * unless it says otherwise; an internal error is a defect.
 */
#include "server/qdrant.h"
#include "tests/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct crn_request *request, const struct crn_answer *answer)
{
    static const unsigned known[] = {200, 400, 403, 404, 405, 408, 409, 422};
    struct crn_json root, part;
    cairn_error err = {0};
    bool found = false;

    (void)request;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) found |= answer->status == known[i];
    require(found, answer->body.data);
    require(answer->body.failed == CAIRN_OK, "an answer is cut");
    if (answer->content_type != NULL) return;
    struct crn_json_parser *parser = crn_json_parser_create();
    require(crn_json_parse(parser, answer->body.data, answer->body.len, &root, &err) == CAIRN_OK,
            answer->body.data);
    const bool version = crn_json_get(root, "version", &part);
    require(version || crn_json_get(root, answer->status == 200 ? "result" : "status", &part),
            "an answer has no result");
    crn_json_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crn_qdrant *qdrant;
    cairn_error err = {0};

    open_database();
    require(crn_qdrant_open(database, NULL, &qdrant, &err) == CAIRN_OK, err.message);
    ask_all(crn_qdrant_handle, qdrant, data, size, check_answer);
    crn_qdrant_close(qdrant);
    drop_all();
    return 0;
}
