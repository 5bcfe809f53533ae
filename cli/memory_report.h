/* What an optimization of memories did, for retrieve and prune. */
#ifndef CRN_CLI_MEMORY_REPORT_H
#define CRN_CLI_MEMORY_REPORT_H

#include "base/buf.h"

#include <cairn/reasoning.h>
#include <stdbool.h>

void crn_cli_memory_report_print(const cairn_memory_report *report, bool dry_run);
cairn_status crn_cli_memory_report_write(struct crn_buf *buf,
                                         const cairn_memory_report *report); /* one JSON object */

#endif
