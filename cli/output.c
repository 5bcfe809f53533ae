/* Standard output, and numbers for people. Tables are in table.c. */
#include "cli/output.h"

#include "base/utf8.h"
#include "cli/exit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_errno; /* of the first write that failed */

const char *crn_cli_style(enum crn_cli_style style)
{
    static const char *const escapes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[33m"};
    static int coloured = -1;

    if (coloured < 0) {
        const char *no_color = getenv("NO_COLOR");
        coloured = (no_color == NULL || no_color[0] == '\0') && isatty(STDOUT_FILENO);
    }
    return coloured > 0 ? escapes[style] : "";
}

bool crn_cli_output_failed(void)
{
    return ferror(stdout) != 0;
}

bool crn_cli_output_line(struct crn_buf *buf)
{
    if (crn_buf_putc(buf, '\n') != CAIRN_OK) {
        if (write_errno == 0) write_errno = buf->failed == CAIRN_LIMIT ? EOVERFLOW : ENOMEM;
        return false;
    }

    bool written = fwrite(buf->data, 1, buf->len, stdout) == buf->len;
    if (!written && write_errno == 0) write_errno = errno;
    crn_buf_clear(buf);
    return written;
}

void crn_cli_output_text(const char *text)
{
    size_t len = crn_utf8_valid(text, strlen(text));

    for (size_t at = 0; at < len;) {
        size_t from = at;
        uint32_t code = crn_utf8_next(text, len, &at);
        bool control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
        if (control && code != '\n' && code != '\t') {
            putchar(' ');
        } else {
            fwrite(text + from, 1, at - from, stdout);
        }
    }
}

int crn_cli_output_finish(int exit_status)
{
    if (fflush(stdout) != 0 && write_errno == 0) write_errno = errno;
    if (write_errno == 0 && !ferror(stdout)) return exit_status;
    if (write_errno == EPIPE) return CRN_CLI_EXIT_PIPE;
    crn_cli_note("writing to standard output: %s", strerror(write_errno != 0 ? write_errno : EIO));
    return exit_status == CRN_CLI_EXIT_OK ? CRN_CLI_EXIT_FAILED : exit_status;
}

const char *crn_cli_count(uint64_t count, struct crn_cli_number *out)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out->text;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out->text;
}

const char *crn_cli_bytes(uint64_t size_bytes, struct crn_cli_number *out)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)size_bytes;
    size_t unit = 0;

    while (size >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        size /= 1024;
        unit++;
    }
    snprintf(out->text, sizeof out->text, "%.*f %s", unit == 0 ? 0 : 1, size, units[unit]);
    return out->text;
}

const char *crn_cli_duration(double seconds, struct crn_cli_number *out)
{
    if (seconds < 0.001) {
        snprintf(out->text, sizeof out->text, "%.0f us", seconds * 1e6);
    } else if (seconds < 1) {
        snprintf(out->text, sizeof out->text, "%.1f ms", seconds * 1e3);
    } else if (seconds < 100) {
        snprintf(out->text, sizeof out->text, "%.1f s", seconds);
    } else if (seconds < 6000) {
        snprintf(out->text, sizeof out->text, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    } else {
        snprintf(out->text, sizeof out->text, "%.1f h", seconds / 3600);
    }
    return out->text;
}
