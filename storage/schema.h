/*
 * What a Cairn file holds: telling one from other files, making a new one, and bringing an older one up to
 * date. The tables are described in docs/STORAGE.md.
 */
#ifndef CRN_STORAGE_SCHEMA_H
#define CRN_STORAGE_SCHEMA_H

#include "storage/connection.h"

#define CRN_APPLICATION_ID 0x4361726e /* "Carn" */
#define CRN_PAGE_BYTES 8192

/* One step of the schema: what leads from the version before to this one. */
struct crn_schema_step {
    int version;
    const char *sql;
};

/*
 * Looks at a file's first bytes through SQLite's file layer, without letting SQLite read or repair it, and
 * without opening it beside SQLite (closing it would let go of this process's locks on it). NOT_CAIRN,
 * NEWER_FORMAT, IO.
 */
cairn_status crn_schema_probe(const struct crn_conn_options *options, cairn_error *err);

/* Makes a new, complete database at `path`. The caller renames it to where it belongs. */
cairn_status crn_schema_create(const char *path, const char *vfs, cairn_error *err);

/* The file's schema version as SQLite sees it, its WAL included. */
cairn_status crn_schema_version(struct crn_conn *conn, int *out_version, cairn_error *err);

/* Brings the database to the newest version, in one transaction. Under the write lock. NEWER_FORMAT. */
cairn_status crn_schema_migrate(struct crn_conn *conn, cairn_error *err);
/* The same with another list of steps, ascending by version: for tests. */
cairn_status crn_schema_migrate_steps(struct crn_conn *conn, const struct crn_schema_step *steps,
                                      size_t count, cairn_error *err);

/* A new database identity, written to meta: for new and restored databases. */
cairn_status crn_schema_new_uuid(struct crn_conn *conn, cairn_error *err);
cairn_status crn_schema_uuid(struct crn_conn *conn, unsigned char out_uuid[16], cairn_error *err);

#endif
