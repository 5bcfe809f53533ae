/* What a request may do, by its method and path alone: known before its body is read. */
#ifndef CRN_SERVER_ACCESS_H
#define CRN_SERVER_ACCESS_H

#include "server/exchange.h"

/* The role that a request needs. What is not known to read needs more: WRITE within a collection, ADMIN
 * elsewhere. */
enum crn_role crn_access_needs(const struct crn_request *request);

/* Whether the principal has that role, and may use the collection that the path names. */
bool crn_access_allowed(const struct crn_request *request);

/* Collections that the server makes aside, to put them in another's place when they are whole, have names that begin so. No key
 * covers them, so that nobody sees or makes one. */
#define CRN_ACCESS_ASIDE ".cairn-aside-"
bool crn_access_is_aside(const char *name, size_t length);

/* Does the key cover the collection? */
bool crn_access_covers(const struct crn_principal *principal, const char *name, size_t length);

#endif
