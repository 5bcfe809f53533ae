/*
 * A verification under way, shared by its files: where findings go, and how far it is.
 */
#ifndef CRN_STORAGE_VERIFY_H
#define CRN_STORAGE_VERIFY_H

#include "storage/store_internal.h"

struct crn_verify {
    struct crn_store *store;
    struct crn_reader *reader; /* one snapshot for everything */
    cairn_finding_fn finding;  /* may be NULL */
    cairn_progress_fn progress;
    void *ctx;
    const char *phase;
    uint64_t done, total;
    uint64_t findings;
    cairn_error *err;
};

void crn_verify_found(struct crn_verify *verify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Begins a phase; counts one row of it. CANCELLED when the caller says so. */
cairn_status crn_verify_phase(struct crn_verify *verify, const char *phase, uint64_t total);
cairn_status crn_verify_step(struct crn_verify *verify);

/* A status that says something of the file, rather than of the verification, is a finding: CORRUPT. */
cairn_status crn_verify_absorb(struct crn_verify *verify, cairn_status status, const char *what);

/* A key as findings name it. */
#define CRN_VERIFY_KEY(owner, key) "'" owner " '||(" key ">>32)||' row '||(" key "&4294967295)"

/* Runs SQL whose rows are wrong: each one's first column is told behind `what`. */
cairn_status crn_verify_none(struct crn_verify *verify, const char *sql, uint32_t number, const char *what);

/* The phases, in their order. */
cairn_status crn_verify_pages(struct crn_verify *verify); /* verify.c */
cairn_status crn_verify_rows(struct crn_verify *verify,
                             const struct crn_catalog *catalog); /* verify_rows.c */
cairn_status crn_verify_indexes(struct crn_verify *verify,
                                const struct crn_catalog *catalog); /* verify_indexes.c */
cairn_status crn_verify_trajectories(struct crn_verify *verify,
                                     const struct crn_catalog *catalog); /* verify_rows.c */
cairn_status crn_verify_log(struct crn_verify *verify);                  /* verify_rows.c */

#endif
