/*
 * A stream of bytes to be read: a file, standard input, or memory. Reads ahead by a block, keeps what a
 * caller still needs, and knows its offset. Memory grows only with the longest line or item asked for.
 */
#ifndef CRN_CLI_INPUT_H
#define CRN_CLI_INPUT_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_CLI_INPUT_MAX ((size_t)128 << 20) /* bytes of one line, or of one CSV record */

struct crn_cli_input {
    int fd;        /* -1: all is in memory */
    bool is_file;  /* a regular file: it has a size, and can be read again from an offset */
    uint64_t size; /* of a regular file */
    uint64_t inode;
    uint64_t offset; /* of the next byte */
    char *data;
    size_t begin, end, cap; /* unread: data[begin..end) */
    bool eof;               /* nothing after data[end) */
};

/* "-" is standard input. NO_FILE, IO. Released by crn_cli_input_close. */
cairn_status crn_cli_input_open(struct crn_cli_input *input, const char *path, cairn_error *err);
cairn_status crn_cli_input_open_memory(struct crn_cli_input *input, const void *data, size_t len,
                                       cairn_error *err);
void crn_cli_input_close(struct crn_cli_input *input);

/* Goes to an offset of a regular file, or of memory. */
cairn_status crn_cli_input_seek(struct crn_cli_input *input, uint64_t offset, cairn_error *err);

/* Has data[begin..begin+len) there when the stream is that long; see how much is with
 * crn_cli_input_available. LIMIT above CRN_CLI_INPUT_MAX; CANCELLED when a signal ended the wait. */
cairn_status crn_cli_input_need(struct crn_cli_input *input, size_t len, cairn_error *err);
static inline size_t crn_cli_input_available(const struct crn_cli_input *input)
{
    return input->end - input->begin;
}
static inline const char *crn_cli_input_at(const struct crn_cli_input *input)
{
    return input->data + input->begin;
}

/* Has all that is left there. LIMIT above CRN_CLI_INPUT_MAX. */
cairn_status crn_cli_input_all(struct crn_cli_input *input, cairn_error *err);

/* Moves behind len of the bytes that are available. */
void crn_cli_input_skip(struct crn_cli_input *input, size_t len);

/* Reads a line without its end ("\n" or "\r\n"); the last one may lack it. The line is valid until the
 * next call. out_end: there was none. LIMIT: it is longer than CRN_CLI_INPUT_MAX; it was skipped. */
cairn_status crn_cli_input_line(struct crn_cli_input *input, const char **out_line, size_t *out_len,
                                bool *out_end, cairn_error *err);

/* Moves behind the next newline, or to the end. */
cairn_status crn_cli_input_skip_line(struct crn_cli_input *input, cairn_error *err);

#endif
