/* A folder with an open store in it, and the short way to write and read rows of it. */
#ifndef CRN_TESTS_STORAGE_STORE_FIXTURE_H
#define CRN_TESTS_STORAGE_STORE_FIXTURE_H

#include "base/error.h"
#include "storage/store.h"
#include "tests/base/support.h"

#include <sqlite3.h>

struct fixture {
    char folder[256];
    char path[512];
    const char *vfs;
    bool durable; /* off: commits are not synced, which tests have no use for */
    struct crn_store *store;
    struct crn_reader *reader;  /* for callbacks; tests set and end it */
    struct crn_catalog catalog; /* the collection "notes": spaces "" and "small", both dense */
};

#define NOTES_DIM 4u
#define SMALL_DIM 2u

/* `call` uses ERR as its last argument. */
#define assert_status(call, wanted)                                                  \
    do {                                                                             \
        fixture_error = (cairn_error){0};                                            \
        fixture_expect((call), (wanted), &fixture_error, #call, __FILE__, __LINE__); \
    } while (0)
#define OK(call) assert_status(call, CAIRN_OK)
#define ERR (&fixture_error)

extern _Thread_local cairn_error fixture_error;
void fixture_expect(cairn_status status, cairn_status wanted, const cairn_error *err, const char *call,
                    const char *file, int line);

/* cmocka's setup and teardown: a new folder, an open store, the collection. The bare one only makes the
 * folder. */
int fixture_setup(void **state);
int fixture_setup_bare(void **state);
int fixture_teardown(void **state);

void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void fixture_reopen(struct fixture *fixture);
void fixture_create_notes(struct fixture *fixture, bool lexical);
void fixture_remove_folder(const char *folder);

/* One job. */
typedef cairn_status (*fixture_run)(struct crn_txn *txn, void *ctx, cairn_error *err);
cairn_status fixture_write(struct crn_store *store, fixture_run run, void *ctx, cairn_error *err);

cairn_status fixture_put(struct fixture *fixture, struct crn_record *record, bool vectors_unchanged,
                         cairn_error *err);
cairn_status fixture_delete(struct fixture *fixture, uint32_t local, cairn_error *err);

/* A row of string id with nothing else but its default vector of NOTES_DIM floats, 1..4. */
struct crn_record fixture_record(const char *id);
extern const float fixture_floats[8];

struct crn_reader *fixture_reader(struct crn_store *store);
uint32_t fixture_find(struct fixture *fixture, const char *id); /* 0: none */
uint64_t fixture_count(struct fixture *fixture);
uint64_t fixture_log_last(struct fixture *fixture);

/* Runs SQL on a connection of its own, past the store: damage. */
void fixture_raw(struct fixture *fixture, const char *sql);
int64_t fixture_raw_number(const char *path, const char *sql);

/* Verifies, and fails the test on any finding. */
void fixture_verify_clean(struct crn_store *store);
/* The number of findings; the first one's text in `first`. */
uint64_t fixture_verify(struct crn_store *store, char first[300]);

#endif
