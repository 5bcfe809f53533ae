/* Reading ahead. */
#include "cli/input.h"

#include "base/error.h"
#include "base/mem.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1 << 18)

cairn_status crn_cli_input_open(struct crn_cli_input *input, const char *path, cairn_error *err)
{
    struct stat about;

    *input = (struct crn_cli_input){.fd = -1};
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return crn_error_errno(err, errno, "cannot open", path);
    if (fstat(fd, &about) != 0) about = (struct stat){0};
    if (S_ISDIR(about.st_mode)) {
        if (!is_stdin) close(fd);
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is a folder; name a file in it", path);
    }

    input->data = crn_mem_alloc(BLOCK_BYTES);
    if (input->data == NULL) {
        if (!is_stdin) close(fd);
        return crn_error_no_memory(err, BLOCK_BYTES);
    }
    input->cap = BLOCK_BYTES;
    input->fd = fd;
    input->is_file = !is_stdin && S_ISREG(about.st_mode);
    input->size = input->is_file ? (uint64_t)about.st_size : 0;
    input->inode = (uint64_t)about.st_ino;
    return CAIRN_OK;
}

cairn_status crn_cli_input_open_memory(struct crn_cli_input *input, const void *data, size_t len,
                                       cairn_error *err)
{
    *input = (struct crn_cli_input){.fd = -1, .eof = true, .size = len, .end = len, .cap = len};
    input->data = crn_mem_alloc(len);
    if (input->data == NULL) return crn_error_no_memory(err, len);
    if (len > 0) memcpy(input->data, data, len);
    return CAIRN_OK;
}

void crn_cli_input_close(struct crn_cli_input *input)
{
    if (input->fd > STDIN_FILENO) close(input->fd);
    crn_mem_free(input->data);
    *input = (struct crn_cli_input){.fd = -1};
}

cairn_status crn_cli_input_seek(struct crn_cli_input *input, uint64_t offset, cairn_error *err)
{
    if (offset > input->size) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "offset %llu is behind the file's end, %llu",
                             (unsigned long long)offset, (unsigned long long)input->size);
    }
    input->offset = offset;
    if (input->fd < 0) {
        input->begin = (size_t)offset;
        return CAIRN_OK;
    }
    if (lseek(input->fd, (off_t)offset, SEEK_SET) < 0)
        return crn_error_errno(err, errno, "cannot seek in", "the file");
    input->begin = input->end = 0;
    input->eof = false;
    return CAIRN_OK;
}

/* Makes room behind data[end) for a block more, of `need` unread bytes at least in all. */
static cairn_status make_room(struct crn_cli_input *input, size_t need, cairn_error *err)
{
    if (input->begin > 0) {
        memmove(input->data, input->data + input->begin, input->end - input->begin);
        input->end -= input->begin;
        input->begin = 0;
    }
    if (input->end + BLOCK_BYTES <= input->cap && need <= input->cap) return CAIRN_OK;

    size_t cap = input->cap * 2;
    if (cap < input->end + BLOCK_BYTES) cap = input->end + BLOCK_BYTES;
    if (cap < need) cap = need;
    char *data = crn_mem_realloc_array(input->data, cap, 1);
    if (data == NULL) return crn_error_no_memory(err, cap);
    input->data = data;
    input->cap = cap;
    return CAIRN_OK;
}

cairn_status crn_cli_input_need(struct crn_cli_input *input, size_t len, cairn_error *err)
{
    if (len <= input->end - input->begin) return CAIRN_OK;
    if (len > CRN_CLI_INPUT_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "longer than the %zu bytes that one line may have",
                             CRN_CLI_INPUT_MAX);
    }
    if (!input->eof) CRN_TRY(make_room(input, len, err));
    while (!input->eof && input->end - input->begin < len) {
        ssize_t got = read(input->fd, input->data + input->end, input->cap - input->end);
        if (got < 0 && errno != EINTR) return crn_error_errno(err, errno, "reading", "the input");
        if (got < 0 && crn_cli_interrupted()) return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
        if (got > 0) input->end += (size_t)got;
        input->eof = got == 0;
    }
    return CAIRN_OK;
}

cairn_status crn_cli_input_all(struct crn_cli_input *input, cairn_error *err)
{
    while (!input->eof) CRN_TRY(crn_cli_input_need(input, crn_cli_input_available(input) + 1, err));
    return CAIRN_OK;
}

void crn_cli_input_skip(struct crn_cli_input *input, size_t len)
{
    input->begin += len;
    input->offset += len;
}

cairn_status crn_cli_input_skip_line(struct crn_cli_input *input, cairn_error *err)
{
    for (;;) {
        size_t available = crn_cli_input_available(input);
        const char *newline = available > 0 ? memchr(crn_cli_input_at(input), '\n', available) : NULL;
        if (newline != NULL) {
            crn_cli_input_skip(input, (size_t)(newline - crn_cli_input_at(input)) + 1);
            return CAIRN_OK;
        }
        crn_cli_input_skip(input, available);
        if (input->eof) return CAIRN_OK;
        CRN_TRY(crn_cli_input_need(input, 1, err));
    }
}

cairn_status crn_cli_input_line(struct crn_cli_input *input, const char **out_line, size_t *out_len,
                                bool *out_end, cairn_error *err)
{
    const char *newline = NULL;
    size_t seen = 0; /* bytes known to hold no newline */

    *out_end = false;
    for (;;) {
        size_t available = crn_cli_input_available(input);
        if (available > seen) newline = memchr(crn_cli_input_at(input) + seen, '\n', available - seen);
        if (newline != NULL || (input->eof && available == seen)) break;
        seen = available;
        if (available >= CRN_CLI_INPUT_MAX) {
            CRN_TRY(crn_cli_input_skip_line(input, err));
            return crn_error_set(err, CAIRN_LIMIT, "the line is longer than %zu bytes", CRN_CLI_INPUT_MAX);
        }
        CRN_TRY(crn_cli_input_need(input, available + 1, err));
    }

    size_t len = newline != NULL ? (size_t)(newline - crn_cli_input_at(input)) : seen;
    *out_line = crn_cli_input_at(input);
    *out_end = newline == NULL && len == 0;
    crn_cli_input_skip(input, len + (newline != NULL ? 1 : 0));
    if (len > 0 && (*out_line)[len - 1] == '\r') len--;
    *out_len = len;
    return CAIRN_OK;
}
