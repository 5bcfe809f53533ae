/* A collection's settings as JSON, in and out: the first line of `export --with-schema`. */
#ifndef CRN_CLI_SCHEMA_H
#define CRN_CLI_SCHEMA_H

#include "base/buf.h"

#include <cairn/db.h>

/* Appends {"collection":..,"lexical":..,"metadata":..,"spaces":[..],"payload_indexes":[..]}. */
cairn_status crn_cli_schema_write(struct crn_buf *buf, cairn_collection *collection, cairn_error *err);

/* Creates collection `name` with the settings of a schema. INVALID_JSON, INVALID_ARGUMENT, EXISTS, ... */
cairn_status crn_cli_schema_create(cairn_db *db, const char *name, const char *schema, cairn_error *err);

#endif
