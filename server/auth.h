/*
 * API keys. A file holds a line a key, with the key's SHA-256 and not the key: keys have 256 random bits, so
 * that there is nothing to guess and no slow hash is needed.
 *
 *   # name  role(read|write|admin)  SHA-256, hexadecimal  [collections, separated by commas]
 *   agent-7 write 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 notes,facts
 */
#ifndef CRN_SERVER_AUTH_H
#define CRN_SERVER_AUTH_H

#include "base/log.h"
#include "server/exchange.h"

struct crn_auth; /* shared; but for crn_auth_refresh */

/* NO_FILE; INVALID_ARGUMENT with the file and line. */
cairn_status crn_auth_open(const char *path, struct crn_auth **out, cairn_error *err);
void crn_auth_close(struct crn_auth *auth);

/* Reads the file again if it is another than it was, and a second after the last look at the earliest, or at once. A file that cannot be
 * read or has a mistake changes nothing. Both are told to `log`. By the thread that finds keys; what crn_auth_find has given before stays
 * good. */
void crn_auth_refresh(struct crn_auth *auth, bool at_once, const struct crn_log *log);

/* Who the request's `api-key: KEY` or `Authorization: Bearer KEY` is; false: no key, or no such key. Takes as
 * long for one key of the file as for another. *out points into `auth`. */
bool crn_auth_find(const struct crn_auth *auth, const struct crn_request *request, struct crn_principal *out);

#define CRN_AUTH_KEY_MAX 80u
#define CRN_AUTH_LINE_MAX 512u

/* Makes a key and the file's line for it. `collections` is as in the file, or NULL. */
const char *crn_role_name(enum crn_role role); /* "read", "write", "admin"; "" for none */

cairn_status crn_auth_new_key(const char *name, const char *role, const char *collections,
                              char key[CRN_AUTH_KEY_MAX], char line[CRN_AUTH_LINE_MAX], cairn_error *err);

#endif
