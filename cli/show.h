/* Patterns for people: a block of fields for one, a short text for a row of a table. */
#ifndef CRN_CLI_SHOW_H
#define CRN_CLI_SHOW_H

#include <cairn/pattern.h>

/* Prints "name  value" lines, then the payload and the text. */
cairn_status crn_cli_show(const cairn_pattern *pattern, cairn_error *err);

/* The id as text, written into `out` where it is a number. */
const char *crn_cli_show_id(const cairn_pattern *pattern, char out[24]);

/* What says most about a pattern: its text, else its payload, else nothing. */
const char *crn_cli_show_text(const cairn_pattern *pattern);

#endif
