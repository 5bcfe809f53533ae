/*
 * The threads that answer. The loop offers exchanges, which wait in a queue with a maximum, and gets them
 * back answered: `done` is called on some worker when the list of answered ones was empty, and so once for
 * many under load.
 */
#ifndef CRN_SERVER_HTTP_WORKERS_H
#define CRN_SERVER_HTTP_WORKERS_H

#include "server/http_exchange.h"

struct crn_http_workers;

cairn_status crn_http_workers_start(unsigned count, size_t queue_max, void (*done)(void *ctx), void *ctx,
                                    struct crn_http_workers **out, cairn_error *err);
/* Waits for the threads, which finish what was offered. NULL accepted. */
void crn_http_workers_stop(struct crn_http_workers *workers);

/* Loop only. False: the queue is full. What is offered is taken up at the next crn_http_workers_wake, which
 * is called once a turn of the loop, so that many requests cost one lock. */
bool crn_http_workers_offer(struct crn_http_workers *workers, struct crn_http_exchange *exchange);
void crn_http_workers_wake(struct crn_http_workers *workers);
/* Loop only: a list, by `next`, of what was answered since the last call. */
struct crn_http_exchange *crn_http_workers_answered(struct crn_http_workers *workers);

size_t crn_http_workers_waiting(const struct crn_http_workers *workers); /* in the queue; any thread */

#endif
