/*
 * The naive truth beside a database, for tests that break things: what every acknowledged call has left, and
 * what the one call under way may leave. A row's whole content follows from its collection, its number and a
 * stamp that no two writes share, so that the truth is one stamp a row (0: not there). It is plain memory
 * without pointers and may lie in memory shared by processes: it then outlives the writer that is killed.
 *
 * A model_collection has one writer at a time. A call under way is all there or not at all, whatever happens.
 */
#ifndef CRN_TESTS_FAULTS_MODEL_H
#define CRN_TESTS_FAULTS_MODEL_H

#include "base/rng.h"

#include <cairn/cairn.h>

#define MODEL_COLLECTIONS 3u
#define MODEL_ROWS 600u /* numbers 0..; ids "r<number>" */
#define MODEL_DIM 16u

struct model_collection {
    bool exists;
    uint32_t last_stamp;
    uint32_t stamps[MODEL_ROWS];
    struct {
        bool under_way;
        bool acknowledged; /* the database answered OK: only the state after it is right */
        bool exists;       /* after it */
        uint32_t stamps[MODEL_ROWS];
    } call;
    uint64_t acknowledged; /* calls */
};

struct model {
    struct model_collection collections[MODEL_COLLECTIONS];
};

/* An open database with the model's collections "c0".. as far as they are there. */
struct model_session {
    struct model *model;
    cairn_db *db;
    cairn_collection *collections[MODEL_COLLECTIONS]; /* NULL: not there */
};

/* ---- rows ---- */

struct model_row { /* content, made from number and stamp */
    char id[16];
    char domain[8];
    char text[40];
    char payload[64];
    float vector[MODEL_DIM];
    double confidence;
};
void model_row(struct model_row *row, unsigned collection, uint32_t number, uint32_t stamp);
cairn_pattern model_pattern(const struct model_row *row);           /* borrows the row */
const cairn_collection_options *model_options(unsigned collection); /* of another metric and kind each */

/* ---- a session ---- */

cairn_status model_open(struct model_session *session, struct model *model, const char *path,
                        const cairn_open_options *options, cairn_error *err);
void model_close(struct model_session *session);
/* Opens the collections anew: after a call that failed, nobody knows which are there. */
cairn_status model_refresh(struct model_session *session, cairn_error *err);

/* One random call on a collection: a write, seldom optimize, rebuild, create, drop or index creation; the
 * model follows. */
cairn_status model_step(struct model_session *session, unsigned collection, struct crn_rng *rng,
                        cairn_error *err);

/* Steps on random collections until that many are done or one fails; `threaded`: so many on each collection,
 * each of a thread of its own. A collection whose call is still under way is left alone. */
cairn_status model_run(struct model_session *session, struct crn_rng *rng, unsigned steps, bool threaded,
                       cairn_error *err);

/* A write by hand: model_begin, any stamps in call.stamps, the database's call, model_end with its answer. */
void model_begin(struct model_collection *collection);
void model_end(struct model_collection *collection, cairn_status status);

/*
 * Is the database what the model says? Every row with every field, no row more, counts, searches against the
 * naive answer, and (with `thorough`) cairn_verify. The call under way is settled by what is found. False:
 * `message` tells what is wrong.
 */
#define MODEL_MESSAGE 1024
bool model_check(struct model_session *session, struct crn_rng *rng, bool thorough,
                 char message[MODEL_MESSAGE]);

/* Takes the rows that are there as the truth, each as it was written once: when acknowledged calls may be
 * lost (LAZY). */
bool model_adopt(struct model_session *session, char message[MODEL_MESSAGE]);

/* Searches one collection for random vectors and rows, and compares with the naive answer. */
bool model_check_search(struct model_session *session, unsigned collection, struct crn_rng *rng,
                        char message[MODEL_MESSAGE]);

/* ---- what the tests around it share ---- */

/* A new folder, in memory where the machine has that (fsync is not what these tests measure); removed with
 * all in it. */
char *model_folder(void);
void model_folder_remove(char *folder);

/* CAIRN_TEST_SEED and CAIRN_TEST_SEEDS from the environment: the first seed (printed; random by default) and
 * how many follow, `usual` by default. */
uint64_t model_first_seed(void);
unsigned model_seed_count(unsigned usual);

#endif
