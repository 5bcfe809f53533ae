/*
 * Any bytes as requests to Cairn's own interface (requests.h); a body that begins with 0x93 comes as .npy, one that begins
 * with a byte below 9 as bare f32. Every answer must be a known status with a body that is JSON; an internal error is a
 * defect. No backups: they would write files.
 */
#include "server/v1.h"
#include "tests/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Collections "f" and "g", which inputs find. */
static const char filled[] =
    "POST /cairn/v1/collections\n{\"name\":\"f\",\"dim\":2,\"metric\":\"l2\"}\n\n"
    "POST /cairn/v1/collections\n{\"name\":\"g\",\"lexical\":true,\"spaces\":[{\"dim\":2},{\"name\":\"s\",\"kind\":\"sparse\"},"
    "{\"name\":\"m\",\"kind\":\"multi\",\"dim\":2}]}\n\n"
    "PUT /cairn/v1/collections/f/patterns\n{\"patterns\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"n\":1,\"t\":[\"a\",\"b\"]}},"
    "{\"id\":\"x\",\"vector\":[2,1],\"domain\":\"d\",\"confidence\":0.5},{\"id\":3,\"vector\":[0,1],\"expires_at\":9999999999999}]}\n\n"
    "PUT /cairn/v1/collections/g/patterns\n{\"patterns\":[{\"id\":\"x\",\"vector\":[1,2],\"text\":\"a word\",\"payload\":{\"n\":1}},"
    "{\"id\":7,\"vector\":[2,2],\"vectors\":{\"s\":{\"indices\":[1,9],\"values\":[1,2]},\"m\":[[1,2],[3,4]]},\"payload\":{\"a\":{\"b\":[1,\"x\"]}}}]}\n\n";

static void check_answer(const struct crn_request *request, const struct crn_answer *answer)
{
    static const unsigned known[] = {200, 201, 204, 400, 403, 404, 405, 409, 413, 504};
    struct crn_json root, part;
    cairn_error err = {0};
    bool found = false;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) found |= answer->status == known[i];
    require(found, answer->body.data);
    require(answer->body.failed == CAIRN_OK, "an answer is cut");
    if (answer->content_type != NULL || answer->status == 204 || request->method == CRN_HEAD) return;
    struct crn_json_parser *parser = crn_json_parser_create();
    require(crn_json_parse(parser, answer->body.data, answer->body.len, &root, &err) == CAIRN_OK,
            answer->body.data);
    require(answer->status < 400 || crn_json_get(root, "error", &part), "a failure is not told");
    crn_json_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct crn_v1_options options = {0};
    struct crn_v1 *v1;
    cairn_error err = {0};

    open_database();
    const bool filling = wants_filling();
    require(crn_v1_open(database, &options, &v1, &err) == CAIRN_OK, err.message);
    if (filling) ask_all(crn_v1_handle, v1, (const uint8_t *)filled, sizeof filled - 1, check_answer);
    ask_all(crn_v1_handle, v1, data, size, check_answer);
    crn_v1_close(v1);
    return 0;
}
