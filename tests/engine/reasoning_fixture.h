/* A collection of few dims, and short ways to put patterns into it and to retrieve them. */
#ifndef CRN_TESTS_ENGINE_REASONING_FIXTURE_H
#define CRN_TESTS_ENGINE_REASONING_FIXTURE_H

#include "tests/engine/database.h"

#include <math.h>

#define DIM 8u
#define DAY_MS 86400000LL
#define NOW 1800000000000LL

struct fixture {
    struct database database;
    cairn_collection *collection;
};

static inline void open_collection(struct fixture *fixture, cairn_metric metric)
{
    const cairn_collection_options options = {.size = sizeof options, .dim = DIM, .metric = metric};
    ok(cairn_collection_open(fixture->database.db, "c", &options, &fixture->collection, err));
}

/* Nothing here cuts the power. */
static const cairn_open_options lazy = {.size = sizeof lazy, .durability = CAIRN_LAZY};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    database_create(&fixture->database, &lazy);
    open_collection(fixture, CAIRN_METRIC_COSINE);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    cairn_collection_close(fixture->collection);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

static inline void put(struct fixture *fixture, const cairn_pattern *pattern)
{
    cairn_pattern filled = *pattern;

    filled.size = sizeof filled;
    ok(cairn_upsert(fixture->collection, &filled, 1, err));
}
#define PUT(fixture, ...) put(fixture, &(cairn_pattern){__VA_ARGS__})

static inline cairn_reasoning *retrieve(struct fixture *fixture, const cairn_retrieve_options *options)
{
    cairn_retrieve_options filled = *options;
    cairn_reasoning *reasoning;

    filled.size = sizeof filled;
    if (filled.now_ms == 0) filled.now_ms = NOW;
    ok(cairn_retrieve(fixture->collection, &filled, &reasoning, err));
    return reasoning;
}
#define RETRIEVE(fixture, ...) retrieve(fixture, &(cairn_retrieve_options){__VA_ARGS__})

static inline void random_vector(struct crn_rng *rng, float *out)
{
    for (uint32_t i = 0; i < DIM; i++) out[i] = (float)crn_rng_normal(rng);
}

static inline double dot(const float *a, const float *b)
{
    double sum = 0;
    for (uint32_t i = 0; i < DIM; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static inline double cosine(const float *a, const float *b)
{
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b));
}

/* A unit vector at this angle to the first axis, in the plane of the first and the given one. */
static inline void at_angle(double radians, uint32_t axis, float out[DIM])
{
    memset(out, 0, DIM * sizeof *out);
    out[0] = (float)cos(radians);
    out[axis] = (float)sin(radians);
}

static const float first_axis[DIM] = {1};

static inline const char *id_at(const cairn_reasoning *reasoning, size_t i)
{
    return i < cairn_reasoning_count(reasoning) ? cairn_reasoning_at(reasoning, i)->pattern->id : "(none)";
}

#endif
