/* Reports of cairn_memory_optimize. */
#include "cli/memory_report.h"

#include "cli/output.h"

#include <stdio.h>

void crn_cli_memory_report_print(const cairn_memory_report *report, bool dry_run)
{
    const char *would = dry_run ? "would be " : "";
    struct crn_cli_number number;
    uint64_t saved = report->space_saved_bytes > 0 ? (uint64_t)report->space_saved_bytes : 0;

    printf("of %s patterns", crn_cli_count(report->patterns_before, &number));
    printf(" %s %smerged into others,", crn_cli_count(report->patterns_consolidated, &number), would);
    printf(" %s %spruned;", crn_cli_count(report->patterns_pruned, &number), would);
    printf(" %s %ssaved\n", crn_cli_bytes(saved, &number), would);
    if (report->search_after_ms > 0) {
        printf("a search took %.3f ms before, %.3f ms after\n", report->search_before_ms,
               report->search_after_ms);
    }
}

cairn_status crn_cli_memory_report_write(struct crn_buf *buf, const cairn_memory_report *report)
{
    crn_buf_printf(buf,
                   "{\"patterns_before\":%llu,\"patterns_consolidated\":%llu,\"patterns_pruned\":%llu,"
                   "\"space_saved_bytes\":%lld,\"search_before_ms\":",
                   (unsigned long long)report->patterns_before,
                   (unsigned long long)report->patterns_consolidated,
                   (unsigned long long)report->patterns_pruned, (long long)report->space_saved_bytes);
    crn_buf_json_double(buf, report->search_before_ms);
    crn_buf_puts(buf, ",\"search_after_ms\":");
    crn_buf_json_double(buf, report->search_after_ms);
    return crn_buf_putc(buf, '}');
}
