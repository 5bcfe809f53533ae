/*
 * The path of a database: made absolute, its file system judged, and files made to appear at a path, whole
 * and without replacing another.
 */
#ifndef CRN_STORAGE_PATH_H
#define CRN_STORAGE_PATH_H

#include "base/log.h"

#include <stdbool.h>
#include <sys/vfs.h>

/* Absolute, symbolic links followed, so that a file has one name and one folder beside it whoever opens it.
 * The file need not exist, its folder must (NO_FILE). *out_path is freed by crn_mem_free. */
cairn_status crn_path_resolve(const char *path, char **out_path, cairn_error *err);

/* NETWORK_FS where SQLite's locks and shared memory cannot be relied on; a warning where that cannot be
 * known. `path` is resolved; the file need not exist. */
cairn_status crn_path_check_filesystem(const char *path, const struct crn_log *log, cairn_error *err);

/* Renames and syncs the folder. Without `replace` it fails with EXISTS rather than take another file's
 * place. */
cairn_status crn_path_appear(const char *from, const char *to, bool replace, cairn_error *err);
cairn_status crn_path_sync(const char *path, cairn_error *err); /* the file's own bytes */

/* Removes a database file and what SQLite keeps beside it, without asking whether they are there. */
void crn_path_remove_database(const char *path);

/* Seam for tests: what statfs answers. NULL: the system's. */
void crn_path_set_statfs(int (*fn)(const char *path, struct statfs *out));

#endif
