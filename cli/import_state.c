/* The state file of an import. */
#include "cli/import_state.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_MAX ((size_t)4096) /* bytes of a state file */

cairn_status crn_cli_import_state_init(struct crn_cli_import_state *state, const char *db,
                                       const char *collection, const char *file, cairn_error *err)
{
    char real[PATH_MAX];
    struct crn_buf buf;

    *state = (struct crn_cli_import_state){0};
    if (realpath(file, real) == NULL) return crn_error_errno(err, errno, "cannot find", file);
    uint64_t hash = crn_hash64(collection, strlen(collection), crn_hash64(real, strlen(real), 0));

    crn_buf_init(&buf, STATE_MAX + strlen(db));
    if (crn_buf_printf(&buf, "%s.import-%016llx.json", db, (unsigned long long)hash) == CAIRN_OK) {
        state->path = crn_buf_take(&buf);
    }
    crn_buf_release(&buf);
    return state->path != NULL ? CAIRN_OK : crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a file name");
}

void crn_cli_import_state_release(struct crn_cli_import_state *state)
{
    crn_mem_free(state->path);
    *state = (struct crn_cli_import_state){0};
}

static bool read_number(struct crn_json object, const char *key, uint64_t *out)
{
    struct crn_json value;

    if (!crn_json_get(object, key, &value)) return false;
    if (crn_json_type(value) != CRN_JSON_U64 &&
        (crn_json_type(value) != CRN_JSON_I64 || crn_json_i64(value) < 0))
        return false;
    *out = crn_json_u64(value);
    return true;
}

static cairn_status parse(struct crn_cli_import_state *state, struct crn_json_parser *parser,
                          const char *text, size_t len, const struct crn_cli_input *input, cairn_error *err)
{
    struct crn_json root;
    uint64_t size, inode;

    if (crn_json_parse(parser, text, len, &root, err) != CAIRN_OK || !read_number(root, "size", &size) ||
        !read_number(root, "inode", &inode) || !read_number(root, "offset", &state->offset) ||
        !read_number(root, "line", &state->line) || !read_number(root, "stored", &state->stored) ||
        !read_number(root, "bad", &state->bad)) {
        return crn_error_set(err, CAIRN_INVALID_JSON,
                             "%s is damaged; remove it and import from the beginning", state->path);
    }
    if (size != input->size || inode != input->inode || state->offset > size) {
        return crn_error_set(err, CAIRN_CONFLICT,
                             "the file is not the one whose import stopped: its size or inode is "
                             "another; leave --resume out to import from the beginning");
    }
    return CAIRN_OK;
}

cairn_status crn_cli_import_state_load(struct crn_cli_import_state *state, const struct crn_cli_input *input,
                                       bool *out_found, cairn_error *err)
{
    char text[STATE_MAX];

    FILE *file = fopen(state->path, "re");
    *out_found = file != NULL;
    if (file == NULL)
        return errno == ENOENT ? CAIRN_OK : crn_error_errno(err, errno, "cannot read", state->path);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    cairn_status status = parse(state, parser, text, len, input, err);
    crn_json_parser_free(parser);
    return status;
}

static cairn_status write_file(const char *path, const struct crn_cli_import_state *state,
                               const struct crn_cli_input *input, cairn_error *err)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) return crn_error_errno(err, errno, "cannot write", path);
    fprintf(
        file, "{\"size\":%llu,\"inode\":%llu,\"offset\":%llu,\"line\":%llu,\"stored\":%llu,\"bad\":%llu}\n",
        (unsigned long long)input->size, (unsigned long long)input->inode, (unsigned long long)state->offset,
        (unsigned long long)state->line, (unsigned long long)state->stored, (unsigned long long)state->bad);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) return crn_error_errno(err, errno, "cannot write", path);
    return CAIRN_OK;
}

cairn_status crn_cli_import_state_save(const struct crn_cli_import_state *state,
                                       const struct crn_cli_input *input, cairn_error *err)
{
    size_t size = strlen(state->path) + sizeof ".new";
    char *aside = crn_mem_alloc(size);

    if (aside == NULL) return crn_error_no_memory(err, size);
    snprintf(aside, size, "%s.new", state->path);
    cairn_status status = write_file(aside, state, input, err);
    if (status == CAIRN_OK && rename(aside, state->path) != 0) {
        status = crn_error_errno(err, errno, "cannot write", state->path);
    }
    if (status != CAIRN_OK) unlink(aside);
    crn_mem_free(aside);
    return status;
}

void crn_cli_import_state_remove(const struct crn_cli_import_state *state)
{
    unlink(state->path);
}
