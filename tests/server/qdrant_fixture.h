/* A database with the dialect over it, asked by hand-made requests. */
#ifndef CRN_TESTS_SERVER_QDRANT_FIXTURE_H
#define CRN_TESTS_SERVER_QDRANT_FIXTURE_H

#include "server/qdrant.h"
#include "tests/engine/database.h"

#define SEGMENTS_MAX 16

struct world {
    struct database database;
    struct crn_qdrant *qdrant;
    struct crn_answer answer;
};

static inline int world_open(void **state)
{
    static struct world world;

    memset(&world, 0, sizeof world);
    database_create(&world.database, NULL);
    ok(crn_qdrant_open(world.database.db, NULL, &world.qdrant, err));
    crn_buf_init(&world.answer.body, SIZE_MAX / 2);
    *state = &world;
    return 0;
}

static inline int world_close(void **state)
{
    struct world *world = *state;

    crn_buf_release(&world->answer.body);
    crn_qdrant_close(world->qdrant);
    database_verify_clean(&world->database);
    database_remove(&world->database);
    return 0;
}

static inline void world_reopen(struct world *world)
{
    crn_qdrant_close(world->qdrant);
    database_reopen(&world->database, NULL);
    ok(crn_qdrant_open(world->database.db, NULL, &world->qdrant, err));
}

/* Its path in pieces; `segments` has room for SEGMENTS_MAX. */
static inline struct crn_request request_of(enum crn_method method, const char *path,
                                            struct crn_text *segments)
{
    struct crn_request request = {.method = method,
                                  .segments = segments,
                                  .id = "test",
                                  .principal = {.role = CRN_ROLE_ADMIN, .name = ""}};

    for (const char *at = path; *at != '\0' && *at != '?';) {
        const size_t length = strcspn(at, "/?");
        if (length > 0) segments[request.segment_count++] = (struct crn_text){at, length};
        at += length;
        if (*at == '/') at++;
    }
    return request;
}

/* Asks as `who` says: its principal, deadline and cancelled. `path` may end in one parameter, as "?wait=true". */
static inline const char *ask_like(struct world *world, const struct crn_request *who, enum crn_method method,
                                   const char *path, const char *body)
{
    struct crn_text segments[SEGMENTS_MAX];
    struct crn_field parameter;
    struct crn_request request = request_of(method, path, segments);
    const char *query = strchr(path, '?');

    request.principal = who->principal;
    request.deadline_ns = who->deadline_ns;
    request.cancelled = who->cancelled;
    if (query != NULL) {
        const size_t name = strcspn(++query, "=");
        parameter = (struct crn_field){{query, name}, {query + name + 1, strlen(query + name + 1)}};
        request.parameters = &parameter;
        request.parameter_count = 1;
    }
    if (body != NULL) request.body = (struct crn_text){body, strlen(body)};
    crn_buf_clear(&world->answer.body);
    world->answer.status = 200;
    world->answer.content_type = NULL;
    world->answer.header_count = 0;
    crn_qdrant_handle(world->qdrant, &request, &world->answer);
    return world->answer.body.data;
}

static inline const char *ask_as(struct world *world, enum crn_role role, enum crn_method method,
                                 const char *path, const char *body)
{
    const struct crn_request who = {.principal = {.role = role, .name = ""}};

    return ask_like(world, &who, method, path, body);
}

static inline const char *ask(struct world *world, enum crn_method method, const char *path, const char *body)
{
    return ask_as(world, CRN_ROLE_ADMIN, method, path, body);
}

/* The result must be this text; "…" is left out by giving only its beginning and ending it in a dot triple. */
#define result_is(world, method, path, body, expected)                                                   \
    do {                                                                                                 \
        const char *answer_ = ask(world, method, path, body);                                            \
        char whole_[16384];                                                                              \
        snprintf(whole_, sizeof whole_, "{\"result\":%s,\"status\":\"ok\",\"time\":", expected);         \
        if ((world)->answer.status != 200 || strncmp(answer_, whole_, strlen(whole_)) != 0) {            \
            fail_msg("%s:%d: %s: %u %s\n expected %s", __FILE__, __LINE__, path, (world)->answer.status, \
                     answer_, whole_);                                                                   \
        }                                                                                                \
    } while (0)

#define result_holds(world, method, path, body, expected)                                                \
    do {                                                                                                 \
        const char *answer_ = ask(world, method, path, body);                                            \
        if ((world)->answer.status != 200 || strstr(answer_, expected) == NULL) {                        \
            fail_msg("%s:%d: %s: %u %s\n expected %s", __FILE__, __LINE__, path, (world)->answer.status, \
                     answer_, expected);                                                                 \
        }                                                                                                \
    } while (0)

#define error_is(world, method, path, body, code, expected)                                              \
    do {                                                                                                 \
        const char *answer_ = ask(world, method, path, body);                                            \
        char whole_[2048];                                                                               \
        snprintf(whole_, sizeof whole_, "{\"status\":{\"error\":\"%s\"},\"time\":", expected);           \
        if ((world)->answer.status != (code) || strncmp(answer_, whole_, strlen(whole_)) != 0) {         \
            fail_msg("%s:%d: %s: %u %s\n expected %s", __FILE__, __LINE__, path, (world)->answer.status, \
                     answer_, whole_);                                                                   \
        }                                                                                                \
    } while (0)

/* Ids in the order of an answer, as "1 2 3": of hits, points or records. */
static inline const char *ids_of(const char *answer)
{
    static char ids[4096];
    size_t used = 0;

    ids[0] = '\0';
    for (const char *at = answer; (at = strstr(at, "{\"id\":")) != NULL;) {
        at += 6;
        used += (size_t)snprintf(ids + used, sizeof ids - used, used > 0 ? " %.*s" : "%.*s",
                                 (int)strcspn(at, ",}"), at);
    }
    return ids;
}

#define ids_are(world, method, path, body, expected)                                                         \
    do {                                                                                                     \
        const char *answer_ = ask(world, method, path, body);                                                \
        if ((world)->answer.status != 200 || strcmp(ids_of(answer_), expected) != 0) {                       \
            fail_msg("%s:%d: %s: %u %s\n expected ids %s", __FILE__, __LINE__, body, (world)->answer.status, \
                     answer_, expected);                                                                     \
        }                                                                                                    \
    } while (0)

#define done(world, method, path, body) result_holds(world, method, path, body, "\"status\":\"ok\"")

#endif
