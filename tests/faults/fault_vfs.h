/*
 * A SQLite VFS for fault tests, over the default one: it counts, delays, fails on order, and loses power.
 * Registered under FAULT_VFS_NAME, so that cairn_open_options.vfs can name it. Thread-safe; its state is the
 * process's.
 */
#ifndef CRN_TESTS_FAULTS_FAULT_VFS_H
#define CRN_TESTS_FAULTS_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

#define FAULT_VFS_NAME "fault"

enum fault_op {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_DELETE,
    FAULT_SIZE,
    FAULT_ACCESS,
    FAULT_LOCK,
    FAULT_SHM, /* mapping the WAL index */
    FAULT_OP_COUNT,
    FAULT_ANY = FAULT_OP_COUNT,
};

enum fault_target { FAULT_ALL_FILES, FAULT_MAIN, FAULT_WAL };

/* The Nth call of a kind fails. */
struct fault_plan {
    enum fault_op op;
    enum fault_target target;
    uint64_t nth;     /* from now; 1 = the next */
    bool forever;     /* and all such calls after it */
    int code;         /* SQLITE_FULL, ...; 0 = the I/O error of the call's kind */
    bool short_write; /* a failing write leaves its first half */
};

struct fault_counts {
    uint64_t calls[FAULT_OP_COUNT];
    uint64_t bytes_written;
};

int fault_vfs_register(void); /* a SQLite status; again and again is fine */
const char *fault_op_name(enum fault_op op);

void fault_vfs_fail(const struct fault_plan *plan); /* NULL: no more */
uint64_t fault_vfs_matched(void);                   /* calls the plan spoke of, since it was made */
void fault_vfs_sync_delay_ms(unsigned delay_ms);    /* each sync takes so much longer */
void fault_vfs_counts(struct fault_counts *out_counts);
void fault_vfs_reset(void); /* no plan, no delay, no disk, all counts 0; no file may be open */

/*
 * Power cuts. From fault_vfs_disk on, files opened live on the simulated disk of fault_disk.h. A power cut
 * decides what survives and freezes the disk: all calls fail until fault_vfs_reopen has put the survivors in
 * place.
 */
void fault_vfs_disk(void);
void fault_vfs_power_cut(uint64_t seed);
/* The cut comes by itself at the nth call of the kind, before it has any effect, or (with `after`, when it
 * changes a file) when it had all of it; the call fails in either case. */
void fault_vfs_power_cut_at(enum fault_op op, uint64_t nth, bool after, uint64_t seed);
bool fault_vfs_is_cut(void);
/* All files must be closed; returns how many are not (and does nothing then). The disk stays on. */
int fault_vfs_reopen(void);

#endif
