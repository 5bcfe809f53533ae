/* Both embedders used by many threads at once: each call gets the vectors it gets alone. */
#include "tests/base/support.h"
#include "tests/embed/standin.h"

#include <cairn/embed.h>
#include <pthread.h>

#define THREADS 8
#define ROUNDS 10
#define TEXTS 5
#define DIM_MAX 384

static struct standin server;

static int start(void **state)
{
    (void)state;
    standin_start(&server, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    standin_stop(&server);
    return 0;
}

/* One thread's work: its own texts, and the vectors that are right for them. */
struct worker {
    pthread_t thread;
    const cairn_embedder *embedder;
    char buffers[TEXTS][48];
    const char *texts[TEXTS];
    float expected[TEXTS * DIM_MAX];
    float vectors[TEXTS * DIM_MAX];
    int wrong; /* rounds that failed or gave other vectors */
};

static cairn_status embed(const struct worker *worker, float *out)
{
    return worker->embedder->embed(worker->embedder->ctx, worker->texts, TEXTS, out, NULL);
}

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    const size_t size = TEXTS * worker->embedder->dim * sizeof(float);

    for (int round = 0; round < ROUNDS; round++) {
        memset(worker->vectors, 0, size);
        worker->wrong += embed(worker, worker->vectors) != CAIRN_OK ||
                         memcmp(worker->vectors, worker->expected, size) != 0;
    }
    return NULL;
}

static void run_threads(const cairn_embedder *embedder)
{
    static struct worker workers[THREADS];

    for (int w = 0; w < THREADS; w++) {
        struct worker *worker = &workers[w];
        *worker = (struct worker){.embedder = embedder};
        for (int i = 0; i < TEXTS; i++) {
            snprintf(worker->buffers[i], sizeof worker->buffers[i], "text %d of thread %d", i, w);
            worker->texts[i] = worker->buffers[i];
        }
        assert_int_equal(embed(worker, worker->expected), CAIRN_OK);
    }
    for (int w = 0; w < THREADS; w++) {
        assert_int_equal(pthread_create(&workers[w].thread, NULL, work, &workers[w]), 0);
    }
    for (int w = 0; w < THREADS; w++) pthread_join(workers[w].thread, NULL);
    for (int w = 0; w < THREADS; w++) assert_int_equal(workers[w].wrong, 0);
}

static void ngram_is_shared(void **state)
{
    cairn_embedder *embedder;

    (void)state;
    assert_int_equal(cairn_embedder_ngram(DIM_MAX, &embedder, NULL), CAIRN_OK);
    run_threads(embedder);
    cairn_embedder_free(embedder);
}

static void openai_is_shared(void **state)
{
    cairn_embedder *embedder;
    char url[100];

    (void)state;
    if (server.pid == 0) skip();
    standin_url(&server, "ok/concurrent", url, sizeof url);
    assert_int_equal(cairn_embedder_openai(
                         CAIRN_OPTIONS(cairn_openai_options, .url = url, .model = "m", .dim = 8, .batch = 2),
                         &embedder, NULL),
                     CAIRN_OK);
    run_threads(embedder);
    cairn_embedder_free(embedder);

    /* Connections are kept: no more than there were threads, and the one that asks. */
    assert_int_equal(standin_ask(&server, "count/ok/concurrent"), THREADS * (ROUNDS + 1) * 3);
    assert_in_range(standin_ask(&server, "connections"), 1, THREADS + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ngram_is_shared),
        cmocka_unit_test(openai_is_shared),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
