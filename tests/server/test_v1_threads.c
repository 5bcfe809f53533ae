/* Many threads at once, with collections dropped, made anew and evicted under them. */
#include "tests/server/v1_fixture.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 150

struct worker {
    struct world world; /* the shared interface, with an answer of its own */
    unsigned number;
    unsigned wrong;
    char what[400];
};

/* What another thread may have done first is no failure. */
static bool fits(unsigned status)
{
    return status == 200 || status == 201 || status == 404 || status == 409;
}

static void note(struct worker *worker, const char *answer)
{
    if (fits(worker->world.answer.status)) return;
    if (worker->wrong++ == 0)
        snprintf(worker->what, sizeof worker->what, "%u %s", worker->world.answer.status, answer);
}

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    struct world *world = &worker->world;
    char path[100], body[200];

    for (unsigned round = 0; round < ROUNDS; round++) {
        const char name = (char)('a' + (round + worker->number) % 3);
        snprintf(path, sizeof path, "collections/%c/patterns", name);
        snprintf(body, sizeof body, "{\"id\":%u,\"text\":\"word %u\"}", round, round);
        note(worker, ask(world, CRN_PUT, path, body));
        snprintf(path, sizeof path, "collections/%c/search", name);
        note(worker, ask(world, CRN_POST, path, "{\"text\":\"word\",\"k\":3,\"with_pattern\":true}"));
        note(worker, ask(world, CRN_GET, round % 2 == 0 ? "slow" : "collections", NULL));
        if (round % 10 != worker->number) continue;
        snprintf(path, sizeof path, "collections/%c", name);
        snprintf(body, sizeof body, "{\"name\":\"%c\"}", name);
        note(worker, ask(world, CRN_DELETE, path, NULL));
        note(worker, ask(world, CRN_POST, "collections", body));
    }
    return NULL;
}

static void collections_change_under_threads(void **state)
{
    struct world *world = *state;
    const struct crn_v1_options options = {.open_collections_max = 1};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    crn_v1_close(world->v1);
    ok(crn_v1_open(world->database.db, &options, &world->v1, err));
    for (const char *name = "abc"; *name != '\0'; name++) {
        char body[32];
        snprintf(body, sizeof body, "{\"name\":\"%c\"}", *name);
        holds(world, 201, ask(world, CRN_POST, "collections", body), "name");
    }
    for (unsigned i = 0; i < THREADS; i++) {
        memset(&workers[i], 0, sizeof workers[i]);
        workers[i].world.v1 = world->v1;
        workers[i].number = i;
        crn_buf_init(&workers[i].world.answer.body, SIZE_MAX / 2);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        crn_buf_release(&workers[i].world.answer.body);
        if (workers[i].wrong > 0)
            fail_msg("thread %u: %u answers that do not fit, as: %s", i, workers[i].wrong, workers[i].what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(collections_change_under_threads, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
