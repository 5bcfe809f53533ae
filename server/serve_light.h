/* Searches that take no longer than the index does: nothing but a vector and how many are wanted. */
#ifndef CRN_SERVER_SERVE_LIGHT_H
#define CRN_SERVER_SERVE_LIGHT_H

#include "server/exchange.h"

/* Whether the request is one. False where in doubt: it is then answered as any other. */
bool crn_serve_is_light(const struct crn_request *request);

#endif
