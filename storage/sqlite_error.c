/*
 * SQLite's result codes as Cairn's statuses. The message keeps SQLite's own words and its extended code.
 */
#include "storage/connection.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

static cairn_status status_of_cantopen(int extended_code)
{
    switch (extended_code) {
    case SQLITE_CANTOPEN_ISDIR:
    case SQLITE_CANTOPEN_FULLPATH:
    case SQLITE_CANTOPEN_SYMLINK:
        return CAIRN_INVALID_ARGUMENT;
    default:
        return CAIRN_IO;
    }
}

cairn_status crn_sqlite_status(int extended_code)
{
    if (extended_code == SQLITE_IOERR_NOMEM) return CAIRN_NO_MEMORY;
    switch (extended_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return CAIRN_OK;
    case SQLITE_NOMEM:
        return CAIRN_NO_MEMORY;
    case SQLITE_FULL:
        return CAIRN_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CAIRN_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return CAIRN_READ_ONLY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return CAIRN_BUSY;
    case SQLITE_CANTOPEN:
        return status_of_cantopen(extended_code);
    case SQLITE_IOERR:
        return CAIRN_IO;
    case SQLITE_INTERRUPT:
        return CAIRN_CANCELLED;
    case SQLITE_TOOBIG:
        return CAIRN_LIMIT;
    case SQLITE_NOLFS:
        return CAIRN_UNSUPPORTED;
    default:
        return CAIRN_INTERNAL;
    }
}

/* An operating system's error behind the code tells more than the code: a full disk and a folder that may not
 * be written both come as "unable to open" or "disk I/O error". */
static cairn_status status_of_system(int error_number, cairn_status status)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return CAIRN_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return CAIRN_READ_ONLY;
    default:
        return status;
    }
}

/* The statements are fixed, so one that names something unknown to SQLite means that the file is not what it
 * was. */
static bool lacks_schema(int code, const char *text)
{
    return (code & 0xff) == SQLITE_ERROR && strncmp(text, "no such ", 8) == 0 &&
           strncmp(text, "no such module", 14) != 0;
}

cairn_status crn_conn_error(struct crn_conn *conn, int code, cairn_error *err)
{
    if (crn_sqlite_status(code) == CAIRN_OK) return CAIRN_OK;
    const int extended = conn->db != NULL ? sqlite3_extended_errcode(conn->db) : code;
    /* The connection's own code says more, unless it is about something else by now. */
    const int exact = (extended & 0xff) == (code & 0xff) ? extended : code;
    const char *text =
        exact == extended && conn->db != NULL ? sqlite3_errmsg(conn->db) : sqlite3_errstr(exact);
    cairn_status status = crn_sqlite_status(exact);

    if (lacks_schema(exact, text)) status = CAIRN_CORRUPT;
    if (status == CAIRN_IO) {
        const int error_number = conn->db != NULL ? sqlite3_system_errno(conn->db) : 0;
        status = status_of_system(error_number, status);
        if (error_number != 0) {
            return crn_error_set(err, status, "SQLite: %s (code %d; %s)", text, exact,
                                 strerror(error_number));
        }
    }
    return crn_error_set(err, status, "SQLite: %s (code %d)", text, exact);
}
