/* The page at /dashboard: the files of server/dashboard, put into the program by the assembler. They hold no
 * data: what the page shows it asks of /cairn/v1/, with the key that its reader types in. */
#ifndef CRN_SERVER_DASHBOARD_H
#define CRN_SERVER_DASHBOARD_H

#include "server/exchange.h"

/* A crn_handler for GET and HEAD of /dashboard and what is below it; `ctx` is not used. Never waits. */
void crn_dashboard_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer);

#endif
