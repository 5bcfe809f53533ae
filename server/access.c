/* Beside collections/NAME/points/... and the like below cairn/v1 no path but a GET's is a reader's, so that a route
 * forgotten here refuses too much. */
#include "server/access.h"

#include <string.h>

static bool is(struct crn_text text, const char *word)
{
    return strlen(word) == text.length && memcmp(text.data, word, text.length) == 0;
}

/* POSTs that ask: collections/NAME/facet, collections/NAME/points (by ids) and
 * collections/NAME/points/search... */
static bool asks(const struct crn_request *request)
{
    static const char *const words[] = {"query", "search", "recommend", "discover", "scroll", "count"};
    const struct crn_text *segments = request->segments;

    if (request->method != CRN_POST || request->segment_count < 3) return false;
    if (request->segment_count == 3) return is(segments[2], "points") || is(segments[2], "facet");
    for (size_t i = 0; is(segments[2], "points") && i < sizeof words / sizeof words[0]; i++) {
        if (is(segments[3], words[i])) return true;
    }
    return false;
}

/* The same of Cairn's own interface: search, retrieve, recall, projection, patterns/get, patterns/scroll, patterns/count. */
static bool asks_own(const struct crn_request *request, const struct crn_text *rest, size_t count)
{
    if (request->method != CRN_POST || count < 3) return false;
    if (count == 3)
        return is(rest[2], "search") || is(rest[2], "retrieve") || is(rest[2], "recall") ||
               is(rest[2], "projection");
    return count == 4 && is(rest[2], "patterns") &&
           (is(rest[3], "get") || is(rest[3], "scroll") || is(rest[3], "count"));
}

static bool is_own(const struct crn_request *request)
{
    return request->segment_count >= 2 && is(request->segments[0], "cairn") && is(request->segments[1], "v1");
}

/* collections/NAME..., below cairn/v1 or not; but Qdrant's collections/aliases, whose body names collections, is for the handler to check. */
static bool names_collection(const struct crn_request *request, size_t skip)
{
    const struct crn_text *segments = request->segments;

    if (request->segment_count < skip + 2 || !is(segments[skip], "collections")) return false;
    return skip != 0 || request->method != CRN_POST || request->segment_count != 2 ||
           !is(segments[1], "aliases");
}

enum crn_role crn_access_needs(const struct crn_request *request)
{
    const enum crn_method method = request->method;
    const bool own = is_own(request);
    const struct crn_text *rest = request->segments + (own ? 2 : 0);
    const size_t count = request->segment_count - (own ? 2 : 0);

    if (method == CRN_GET || method == CRN_HEAD || method == CRN_OPTIONS) return CRN_ROLE_READ;
    if (count < 3 || !is(rest[0], "collections")) return CRN_ROLE_ADMIN;
    if (own && count == 3 && is(rest[2], "optimize")) return CRN_ROLE_ADMIN;
    if (!own && count == 4 && is(rest[2], "snapshots") && method != CRN_DELETE)
        return CRN_ROLE_ADMIN; /* recover, upload */
    return (own ? asks_own(request, rest, count) : asks(request)) ? CRN_ROLE_READ : CRN_ROLE_WRITE;
}

bool crn_access_is_aside(const char *name, size_t length)
{
    const size_t prefix = sizeof CRN_ACCESS_ASIDE - 1;

    return length >= prefix && memcmp(name, CRN_ACCESS_ASIDE, prefix) == 0;
}

bool crn_access_covers(const struct crn_principal *principal, const char *name, size_t length)
{
    if (crn_access_is_aside(name, length)) return false;
    if (principal->collections == NULL) return true;
    for (size_t i = 0; i < principal->collection_count; i++) {
        const char *covered = principal->collections[i];
        if (strlen(covered) == length && memcmp(covered, name, length) == 0) return true;
    }
    return false;
}

bool crn_access_allowed(const struct crn_request *request)
{
    const struct crn_principal *principal = &request->principal;
    const size_t skip = is_own(request) ? 2 : 0;

    if (principal->role < crn_access_needs(request)) return false;
    if (!names_collection(request, skip)) return true;
    return crn_access_covers(principal, request->segments[skip + 1].data, request->segments[skip + 1].length);
}
