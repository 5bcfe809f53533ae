/*
 * Any bytes as requests to the Qdrant dialect (requests.h). Every answer must be a known status, with a body that is JSON
 * unless it says otherwise; an internal error is a defect.
 */
#include "server/qdrant.h"
#include "tests/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Collections "f" and "g", which inputs find. */
static const char filled[] =
    "PUT /collections/f\n{\"vectors\":{\"size\":2,\"distance\":\"Cosine\"}}\n\n"
    "PUT /collections/g\n{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Euclid\"},\"m\":{\"size\":2,\"distance\":\"Dot\","
    "\"multivector_config\":{\"comparator\":\"max_sim\"}}},\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}}}\n\n"
    "PUT /collections/f/points\n{\"points\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"n\":1,\"t\":[\"a\",\"b\"],\"g\":{\"lon\":1,\"lat\":2}}},"
    "{\"id\":2,\"vector\":[2,1],\"payload\":{\"n\":2.5,\"a\":[{\"b\":1},{\"b\":null}]}},{\"id\":3,\"vector\":[0,1]}]}\n\n"
    "PUT /collections/g/points\n{\"points\":[{\"id\":1,\"vector\":{\"d\":[1,2],\"s\":{\"indices\":[1,9],\"values\":[1,2]}},\"payload\":{\"n\":1}},"
    "{\"id\":2,\"vector\":{\"m\":[[1,2],[3,4]]}},{\"id\":\"00000000-0000-0000-0000-000000000003\",\"vector\":{}}]}\n\n"
    "PUT /collections/f/index\n{\"field_name\":\"n\",\"field_schema\":\"integer\"}\n\n";

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
    const bool filling = wants_filling();
    require(crn_qdrant_open(database, NULL, &qdrant, &err) == CAIRN_OK, err.message);
    if (filling) ask_all(crn_qdrant_handle, qdrant, (const uint8_t *)filled, sizeof filled - 1, check_answer);
    ask_all(crn_qdrant_handle, qdrant, data, size, check_answer);
    crn_qdrant_close(qdrant);
    return 0;
}
