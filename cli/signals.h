/*
 * Ctrl-C and SIGTERM: the first one asks the running command to finish what it is in the middle of, the
 * second one ends the program at once (which no database minds). A reader of standard output that
 * goes away is an error of writing, not a signal.
 */
#ifndef CRN_CLI_SIGNALS_H
#define CRN_CLI_SIGNALS_H

#include <stdbool.h>

void crn_cli_signals_install(void);
bool crn_cli_interrupted(void);

#endif
