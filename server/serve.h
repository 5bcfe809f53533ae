/*
 * `cairn serve`: a database behind the HTTP server, with keys, health, metrics and logs. DIR/memory.cairn is
 * the database; the folder is made when it is not there.
 */
#ifndef CRN_SERVER_SERVE_H
#define CRN_SERVER_SERVE_H

#include "server/config.h"

struct crn_serve;

/* Opens the database and listens. `config` is kept until it is closed. `signals`: SIGTERM and SIGINT stop it.
 * The error names the setting, file or address that is at fault. */
cairn_status crn_serve_open(const struct crn_config *config, bool signals, struct crn_serve **out,
                            cairn_error *err);
uint16_t crn_serve_port(const struct crn_serve *serve);
void crn_serve_run(struct crn_serve *serve);   /* until it is stopped */
void crn_serve_stop(struct crn_serve *serve);  /* any thread */
void crn_serve_close(struct crn_serve *serve); /* NULL accepted */

#endif
