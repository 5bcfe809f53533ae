/* A database with Cairn's own interface over it, asked by hand-made requests. */
#ifndef CRN_TESTS_SERVER_V1_FIXTURE_H
#define CRN_TESTS_SERVER_V1_FIXTURE_H

#include "server/v1.h"
#include "tests/engine/database.h"

#define PARTS_MAX 16

struct world {
    struct database database;
    char backups[300];
    struct crn_v1 *v1;
    struct crn_answer answer;
};

struct asked { /* what a test may vary beside method, path and body */
    struct crn_principal principal;
    const char *content_type;
    struct crn_text body;
};

static inline void world_open_v1(struct world *world)
{
    const struct crn_v1_options options = {.backups = world->backups, .slow_ms = 0};

    ok(crn_v1_open(world->database.db, &options, &world->v1, err));
}

static inline int world_open(void **state)
{
    static struct world world;

    memset(&world, 0, sizeof world);
    database_create(&world.database, NULL);
    snprintf(world.backups, sizeof world.backups, "%s/backups", world.database.folder);
    world_open_v1(&world);
    crn_buf_init(&world.answer.body, SIZE_MAX / 2);
    *state = &world;
    return 0;
}

static inline int world_close(void **state)
{
    struct world *world = *state;

    crn_buf_release(&world->answer.body);
    crn_v1_close(world->v1);
    database_verify_clean(&world->database);
    database_remove(&world->database);
    return 0;
}

/* `path` is what stands behind /cairn/v1/, perhaps with "?a=b&c=d". */
static inline const char *ask_with(struct world *world, const struct asked *asked, enum crn_method method,
                                   const char *path)
{
    struct crn_text segments[PARTS_MAX] = {{"cairn", 5}, {"v1", 2}};
    struct crn_field parameters[PARTS_MAX];
    const struct crn_field type = {
        {"content-type", 12},
        {asked->content_type, asked->content_type != NULL ? strlen(asked->content_type) : 0}};
    struct crn_request request = {.method = method,
                                  .segments = segments,
                                  .segment_count = 2,
                                  .parameters = parameters,
                                  .headers = &type,
                                  .header_count = asked->content_type != NULL,
                                  .id = "test",
                                  .principal = asked->principal,
                                  .body = asked->body};
    const char *at = path;

    while (*at != '\0' && *at != '?') {
        const size_t length = strcspn(at, "/?");
        if (length > 0) segments[request.segment_count++] = (struct crn_text){at, length};
        at += length;
        if (*at == '/') at++;
    }
    while (*at == '?' || *at == '&') {
        const size_t name = strcspn(++at, "="), value = strcspn(at + name + 1, "&");
        parameters[request.parameter_count++] = (struct crn_field){{at, name}, {at + name + 1, value}};
        at += name + 1 + value;
    }
    crn_buf_clear(&world->answer.body);
    world->answer.status = 200;
    world->answer.content_type = NULL;
    crn_v1_handle(world->v1, &request, &world->answer);
    return world->answer.body.data;
}

static inline const char *ask_as(struct world *world, struct crn_principal principal, enum crn_method method,
                                 const char *path, const char *body)
{
    const struct asked asked = {.principal = principal, .body = {body, body != NULL ? strlen(body) : 0}};

    return ask_with(world, &asked, method, path);
}

static inline const char *ask(struct world *world, enum crn_method method, const char *path, const char *body)
{
    return ask_as(world, (struct crn_principal){.role = CRN_ROLE_ADMIN, .name = ""}, method, path, body);
}

static inline const char *ask_binary(struct world *world, enum crn_method method, const char *path,
                                     const char *type, const void *bytes, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a read past it */

    memcpy(exact, bytes, size);
    const struct asked asked = {
        .principal = {.role = CRN_ROLE_ADMIN, .name = ""}, .content_type = type, .body = {exact, size}};
    const char *answer = ask_with(world, &asked, method, path);
    free(exact);
    return answer;
}

#define holds(world, code, given, expected)                                                               \
    do {                                                                                                  \
        const char *holds_ = (given);                                                                     \
        if ((world)->answer.status != (code) || strstr(holds_, (expected)) == NULL) {                     \
            fail_msg("%s:%d: %u %s\n expected %u %s", __FILE__, __LINE__, (world)->answer.status, holds_, \
                     (unsigned)(code), (expected));                                                       \
        }                                                                                                 \
    } while (0)

/* The whole answer is this text. */
#define answers(world, method, path, sent, expected)                                                     \
    do {                                                                                                 \
        const char *answers_ = ask(world, method, path, sent);                                           \
        if ((world)->answer.status != 200 || strcmp(answers_, (expected)) != 0) {                        \
            fail_msg("%s:%d: %u %s\n expected %s", __FILE__, __LINE__, (world)->answer.status, answers_, \
                     (expected));                                                                        \
        }                                                                                                \
    } while (0)

#define fails(world, method, path, sent, code, named, part)                                             \
    do {                                                                                                \
        holds(world, code, ask(world, method, path, sent),                                              \
              "{\"error\":{\"status\":\"" named "\",\"message\":\"");                                   \
        if (strstr((world)->answer.body.data, (part)) == NULL) {                                        \
            fail_msg("%s:%d: %s\n expected %s", __FILE__, __LINE__, (world)->answer.body.data, (part)); \
        }                                                                                               \
    } while (0)

#endif
