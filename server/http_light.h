/*
 * Which requests the loop answers by itself. Handing a request to a worker and its answer back costs two switches of threads
 * and several system calls, more than a search in a small collection takes. So a request that its route calls light stays on the
 * loop when nobody else is served meanwhile, one client asks again and again, and the last requests to the path were short. One
 * that takes long after all keeps the others waiting once; then its path has to prove itself anew.
 */
#ifndef CRN_SERVER_HTTP_LIGHT_H
#define CRN_SERVER_HTTP_LIGHT_H

#include <stdbool.h>
#include <stdint.h>

#define CRN_HTTP_LIGHT_PATHS 256u
#define CRN_HTTP_LIGHT_NS 250000u       /* from the last byte read to the answer: no longer is short */
#define CRN_HTTP_LIGHT_SHORT 64u        /* so many short ones of a path in a row */
#define CRN_HTTP_LIGHT_CREDIT 256u      /* and up to so many are remembered: a longer one halves them */
#define CRN_HTTP_LIGHT_LONG_NS 2000000u /* one of this length takes all */
#define CRN_HTTP_LIGHT_ALONE 16u        /* and so many requests of one connection, without any other's */

struct crn_http_server;
struct crn_http_connection;
struct crn_http_exchange;

/* All zero at first. */
struct crn_http_light {
    struct {
        uint32_t path; /* its hash */
        uint32_t in_a_row;
    } short_ones[CRN_HTTP_LIGHT_PATHS];
    const struct crn_http_connection *asker; /* of the last request; compared only */
    uint32_t asked_in_a_row;
};

/* For each request that was read and is not the route's own to answer on the loop. */
bool crn_http_light_stays(struct crn_http_server *server, const struct crn_http_connection *connection,
                          const struct crn_http_exchange *exchange);
/* For each that was answered by a handler. */
void crn_http_light_answered(struct crn_http_server *server, const struct crn_http_exchange *exchange);

#endif
