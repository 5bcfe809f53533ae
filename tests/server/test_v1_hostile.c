/* Bodies that have been tampered with: every one gets an answer that is JSON, with a status that fits, and the database stays whole. */
#include "tests/server/v1_fixture.h"

#include "base/json.h"
#include "base/rng.h"

#define ROUNDS 4000

static const struct {
    enum crn_method method;
    const char *path, *body;
} seeds[] = {
    {CRN_POST, "collections",
     "{\"name\":\"b\",\"spaces\":[{\"dim\":2,\"metric\":\"l2\"},{\"name\":\"s\",\"kind\":\"sparse\"}],\"metadata\":{\"x\":[1]}}"},
    {CRN_PUT, "collections/a/patterns",
     "{\"patterns\":[{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"},\"vector\":[1,2.5],\"ttl\":1e9,\"if_version\":0}]}"},
    {CRN_PUT, "collections/a/patterns",
     "{\"id\":7,\"vector_b64\":\"AACAPwAAAEA=\",\"vectors\":{\"s\":{\"indices\":[1,9],\"values\":[1,2]},\"m\":[[1,2],[3,4]]},\"payload\":{\"a\":{\"b\":[1,\"x\"]}}}"},
    {CRN_PATCH, "collections/a/patterns/x",
     "{\"confidence\":0.5,\"usage_count\":3,\"expires_at\":1999999999999,\"payload\":{}}"},
    {CRN_POST, "collections/a/patterns/get",
     "{\"ids\":[1,\"x\",{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"}],\"with_vectors\":true}"},
    {CRN_POST, "collections/a/patterns/scroll",
     "{\"filter\":{\"$or\":[{\"a.b\":{\"$gt\":1}},{\"n\":null}]},\"limit\":5,\"cursor\":1}"},
    {CRN_POST, "collections/a/search",
     "{\"vector\":[1,2],\"k\":3,\"filter\":{\"n\":{\"$in\":[1,2]}},\"with_pattern\":true,\"explain\":true}"},
    {CRN_POST, "collections/a/search",
     "{\"space\":\"s\",\"vector\":{\"indices\":[1,9],\"values\":[1,2]},\"recall\":0.9,\"min_score\":0.1}"},
    {CRN_POST, "collections/a/search",
     "{\"text\":\"word\",\"mode\":\"lexical\",\"timeout_ms\":1000,\"oversampling\":2}"},
    {CRN_POST, "collections/a/retrieve",
     "{\"vector\":[1,2],\"k\":3,\"use_mmr\":true,\"mmr_lambda\":0.5,\"synthesize_context\":true}"},
};

static size_t tamper(struct crn_rng *rng, char *body, size_t length, size_t room)
{
    static const char bytes[] = "{}[]\",:0123456789-.eE tfn\\\x01\xff";

    for (uint64_t i = 0, changes = 1 + crn_rng_below(rng, 3); i < changes && length > 1; i++) {
        const size_t at = (size_t)crn_rng_below(rng, length);
        const size_t from = (size_t)crn_rng_below(rng, length);
        const char byte = bytes[crn_rng_below(rng, sizeof bytes - 1)];
        switch (crn_rng_below(rng, 5)) {
        case 0:
            body[at] = byte;
            break;
        case 1: /* a byte more */
            if (length + 1 >= room) break;
            memmove(body + at + 1, body + at, length - at);
            body[at] = byte;
            length++;
            break;
        case 2: /* a byte less */
            memmove(body + at, body + at + 1, length - at - 1);
            length--;
            break;
        case 3: /* cut */
            if (crn_rng_below(rng, 4) == 0) length = at;
            break;
        default: /* a piece over another */
            memmove(body + at, body + from, (length - (at > from ? at : from)) / 2);
        }
    }
    return length;
}

static void tampered_bodies(void **state)
{
    struct world *world = *state;
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_rng rng = test_rng();
    unsigned done = 0;

    holds(
        world, 201,
        ask(world, CRN_POST, "collections",
            "{\"name\":\"a\",\"lexical\":true,\"spaces\":[{\"dim\":2},{\"name\":\"s\",\"kind\":\"sparse\"},{\"name\":\"m\",\"kind\":\"multi\",\"dim\":2}]}"),
        "a");
    holds(world, 200,
          ask(world, CRN_PUT, "collections/a/patterns",
              "{\"id\":\"x\",\"vector\":[1,2],\"text\":\"a word\",\"payload\":{\"n\":1}}"),
          "x");
    for (int round = 0; round < ROUNDS; round++) {
        const size_t which = (size_t)crn_rng_below(&rng, COUNT_OF(seeds));
        char body[400];
        struct crn_json root;
        memcpy(body, seeds[which].body, strlen(seeds[which].body));
        const size_t length = tamper(&rng, body, strlen(seeds[which].body), sizeof body);
        char *exact = malloc(length > 0 ? length : 1);
        memcpy(exact, body, length);
        const struct asked asked = {.principal = {.role = CRN_ROLE_ADMIN, .name = ""},
                                    .body = {exact, length}};
        const char *answer = ask_with(world, &asked, seeds[which].method, seeds[which].path);
        const unsigned status = world->answer.status;
        if (status >= 500 ||
            crn_json_parse(parser, answer, world->answer.body.len, &root, NULL) != CAIRN_OK) {
            fail_msg("round %d, %.*s: %u %s", round, (int)length, body, status, answer);
        }
        done += status < 300;
        free(exact);
    }
    print_message("%u of %d were done all the same\n", done, ROUNDS);
    crn_json_parser_free(parser);
}

/* Bodies are JSON, which is UTF-8. */
static void text_that_is_no_utf8_is_refused(void **state)
{
    struct world *world = *state;
    static const char *const broken[] = {
        "{\"id\":\"\xff\",\"vector\":[1,2]}",
        "{\"id\":\"a\",\"vector\":[1,2],\"payload\":{\"t\":\"\xc3\"}}",
        "{\"id\":\"a\",\"vector\":[1,2],\"text\":\"\xed\xa0\x80\"}",
        "{\"\xc0\x80\":1}",
    };

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        const char *answer = ask(world, CRN_PUT, "collections/a/patterns", broken[i]);
        if (world->answer.status != 400) fail_msg("%zu: %u %s", i, world->answer.status, answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tampered_bodies, world_open, world_close),
        cmocka_unit_test_setup_teardown(text_that_is_no_utf8_is_refused, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
