/* A database in a folder of its own, for tests of the public API. */
#ifndef CRN_TESTS_ENGINE_DATABASE_H
#define CRN_TESTS_ENGINE_DATABASE_H

#include "tests/engine/support.h"

#include <cairn/cairn.h>
#include <ftw.h>
#include <unistd.h>

struct database {
    char folder[256];
    char path[300];
    cairn_db *db;
    char log[8192]; /* what the library told its host, one line each */
};

/* Fails the test with the error's message. */
#define ok(call)                                                                                    \
    do {                                                                                            \
        cairn_error ok_error_ = {0};                                                                \
        cairn_error *err = &ok_error_;                                                              \
        cairn_status ok_status_ = (call);                                                           \
        if (ok_status_ != CAIRN_OK) {                                                               \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, cairn_status_name(ok_status_), \
                     ok_error_.message);                                                            \
        }                                                                                           \
    } while (0)

/* The call must answer this status with a message that holds the text. Inside, `err` is the error. */
#define refused(expected, text, call)                                                          \
    do {                                                                                       \
        cairn_error refused_error_ = {0};                                                      \
        cairn_error *err = &refused_error_;                                                    \
        cairn_status refused_status_ = (call);                                                 \
        if (refused_status_ != (expected) || strstr(refused_error_.message, (text)) == NULL) { \
            fail_msg("%s:%d: %s: %s: '%s' (expected %s with '%s')", __FILE__, __LINE__, #call, \
                     cairn_status_name(refused_status_), refused_error_.message,               \
                     cairn_status_name(expected), (text));                                     \
        }                                                                                      \
    } while (0)

static inline void database_log(void *ctx, cairn_log_level level, const char *message)
{
    struct database *database = ctx;
    const size_t used = strlen(database->log);
    (void)level;
    snprintf(database->log + used, sizeof database->log - used, "%s\n", message);
}

static inline void database_open(struct database *database, const cairn_open_options *options)
{
    cairn_open_options all = options == NULL ? (cairn_open_options){.size = sizeof all} : *options;
    all.log = database_log;
    all.log_ctx = database;
    ok(cairn_open(database->path, &all, &database->db, err));
}

static inline void database_create(struct database *database, const cairn_open_options *options)
{
    const char *base = getenv("TMPDIR");

    memset(database, 0, sizeof *database);
    snprintf(database->folder, sizeof database->folder, "%s/cairn-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(database->folder));
    snprintf(database->path, sizeof database->path, "%s/memory.cairn", database->folder);
    database_open(database, options);
}

static inline void database_reopen(struct database *database, const cairn_open_options *options)
{
    cairn_close(database->db);
    database_open(database, options);
}

static inline int database_remove_entry(const char *path, const struct stat *status, int type,
                                        struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void database_remove(struct database *database)
{
    cairn_close(database->db);
    nftw(database->folder, database_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void database_print_finding(void *ctx, const char *message)
{
    (void)ctx;
    print_error("finding: %s\n", message);
}

static inline void database_verify_clean(struct database *database)
{
    uint64_t findings = 1;
    ok(cairn_verify(database->db, database_print_finding, NULL, NULL, &findings, err));
    assert_int_equal(findings, 0);
}

#endif
