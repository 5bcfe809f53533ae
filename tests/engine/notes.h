/* A database with one collection, "notes" of dim 2 and cosine, for tests of single rows. */
#ifndef CRN_TESTS_ENGINE_NOTES_H
#define CRN_TESTS_ENGINE_NOTES_H

#include "tests/engine/rows.h"

struct fixture {
    struct database database;
    cairn_collection *notes;
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    quiet_database_create(&fixture->database);
    ok(cairn_collection_open(fixture->database.db, "notes", CAIRN_OPTIONS(cairn_collection_options, .dim = 2),
                             &fixture->notes, err));
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    database_verify_clean(&fixture->database);
    cairn_collection_close(fixture->notes);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

static inline cairn_written write_one(struct fixture *fixture, cairn_write_mode mode,
                                      const cairn_pattern *pattern)
{
    cairn_written written;

    ok(cairn_write(fixture->notes, mode, pattern, 1, &written, err));
    return written;
}

#define put(mode, ...) write_one(fixture, mode, CAIRN_OPTIONS(cairn_pattern, __VA_ARGS__))

#endif
