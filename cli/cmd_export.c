/* cairn export: all patterns of a collection as JSON Lines, or its vectors as .npy. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/export_file.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record.h"
#include "cli/schema.h"
#include "cli/scope.h"
#include "cli/signals.h"
#include "cli/store.h"

#include <endian.h>
#include <string.h>

#define PAGE 256             /* patterns read at once */
#define NPY_HEADER_BYTES 128 /* of version 1.0, padded */

static const char *db_path, *output_path;
static unsigned format;
static bool with_schema, no_vectors, force;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("output", "FILE", output_path,
                        "write to FILE, which appears when it is whole (default: standard output)",
                        .letter = 'o'),
    CRN_CLI_OPTION_CHOICE("format", "jsonl|npy", format,
                          "npy: the vectors, and their ids in FILE.ids (default: jsonl)"),
    CRN_CLI_OPTION_FLAG("with-schema", with_schema,
                        "a first line with the collection's settings, which import follows"),
    CRN_CLI_OPTION_FLAG("no-vectors", no_vectors, "leave the vectors out"),
    CRN_CLI_OPTION_FLAG("force", force, "replace FILE"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

struct export
{
    struct crn_cli_store store;
    struct crn_cli_export_file file; /* not open: standard output */
    struct crn_cli_export_file ids;  /* of .npy */
    struct crn_buf buf;
    struct crn_cli_progress progress;
    uint64_t total, done;
    uint64_t rows, without_vector; /* of .npy */
    uint32_t dim;                  /* of .npy; 0 before the first */
    bool npy;
};

/* Writes and clears the buffer. False when writing failed; the file or standard output remembers why. */
static bool put_line(struct export *ex, FILE *file)
{
    if (file == NULL) return crn_cli_output_line(&ex->buf);
    crn_buf_putc(&ex->buf, '\n');
    bool written = ex->buf.failed == CAIRN_OK && fwrite(ex->buf.data, 1, ex->buf.len, file) == ex->buf.len;
    crn_buf_clear(&ex->buf);
    return written;
}

static bool put_npy_row(struct export *ex, const cairn_pattern *pattern)
{
    if (pattern->vector == NULL) {
        ex->without_vector++;
        return true;
    }
    ex->dim = pattern->dim;
    for (uint32_t i = 0; i < pattern->dim; i++) {
        uint32_t bits;
        memcpy(&bits, &pattern->vector[i], sizeof bits);
        bits = htole32(bits);
        if (fwrite(&bits, sizeof bits, 1, ex->file.file) != 1) return false;
    }
    ex->rows++;
    crn_cli_record_write_id(&ex->buf, pattern);
    return put_line(ex, ex->ids.file);
}

/* The header in the place that was left for it: only now the rows are counted. */
static void put_npy_header(struct export *ex)
{
    char header[NPY_HEADER_BYTES + 1] = "\x93NUMPY\x01";

    header[7] = 0; /* version 1.0 */
    header[8] = NPY_HEADER_BYTES - 10;
    header[9] = 0;
    int len = snprintf(header + 10, sizeof header - 10,
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, %u), }",
                       (unsigned long long)ex->rows, ex->dim);
    memset(header + 10 + len, ' ', (size_t)(NPY_HEADER_BYTES - 11 - len));
    header[NPY_HEADER_BYTES - 1] = '\n';
    rewind(ex->file.file);
    fwrite(header, 1, NPY_HEADER_BYTES, ex->file.file);
}

static cairn_status put_pattern(struct export *ex, const cairn_pattern *pattern, cairn_error *err)
{
    bool written;

    if (ex->npy) {
        written = put_npy_row(ex, pattern);
    } else {
        cairn_status status = crn_cli_record_write(&ex->buf, pattern, false);
        if (status != CAIRN_OK) return crn_error_set(err, status, "no memory to write a pattern");
        written = put_line(ex, ex->file.file);
    }
    ex->done++;
    if (written) return CAIRN_OK;
    return crn_error_set(err, CAIRN_IO, "writing stopped after %llu patterns",
                         (unsigned long long)ex->done - 1);
}

static cairn_status put_schema(struct export *ex, cairn_error *err)
{
    crn_buf_puts(&ex->buf, "{\"schema\":");
    CRN_TRY(crn_cli_schema_write(&ex->buf, ex->store.collection, err));
    crn_buf_putc(&ex->buf, '}');
    return put_line(ex, ex->file.file) ? CAIRN_OK
                                       : crn_error_set(err, CAIRN_IO, "the first line cannot be written");
}

static cairn_status put_all(struct export *ex, cairn_error *err)
{
    cairn_scope scope = crn_cli_scope();
    cairn_status status = CAIRN_OK;
    uint64_t cursor = 0;

    if (with_schema && !ex->npy) CRN_TRY(put_schema(ex, err));
    do {
        cairn_patterns *patterns = NULL;
        status = cairn_scroll(ex->store.collection, &scope, &cursor, PAGE, !no_vectors, &patterns, err);
        for (size_t i = 0; status == CAIRN_OK && i < cairn_patterns_count(patterns); i++) {
            status = put_pattern(ex, cairn_patterns_at(patterns, i), err);
        }
        cairn_patterns_free(patterns);
        crn_cli_progress_show(&ex->progress, "export", ex->done, ex->done, ex->total);
        if (status == CAIRN_OK && crn_cli_interrupted())
            status = crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    } while (status == CAIRN_OK && cursor != 0);
    return status;
}

static cairn_status open_all(struct export *ex, cairn_error *err)
{
    cairn_scope scope = crn_cli_scope();

    const char *suffix = output_path != NULL ? strrchr(output_path, '.') : NULL;
    ex->npy = format == 2 || (format == 0 && suffix != NULL && strcmp(suffix, ".npy") == 0);
    if (ex->npy && (output_path == NULL || no_vectors)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the vectors of --format npy want --output FILE.npy");
    }
    CRN_TRY(crn_cli_store_open_db(&ex->store, db_path, CRN_CLI_READ, err));
    CRN_TRY(cairn_collection_open(ex->store.db, crn_cli_collection_name(), NULL, &ex->store.collection, err));
    CRN_TRY(cairn_count(ex->store.collection, &scope, &ex->total, err));
    if (output_path != NULL) CRN_TRY(crn_cli_export_file_open(&ex->file, output_path, "", force, err));
    if (!ex->npy) return CAIRN_OK;
    CRN_TRY(crn_cli_export_file_open(&ex->ids, output_path, ".ids", force, err));
    put_npy_header(ex);
    return CAIRN_OK;
}

static cairn_status finish(struct export *ex, cairn_error *err)
{
    if (ex->npy) {
        put_npy_header(ex);
        CRN_TRY(crn_cli_export_file_finish(&ex->ids, err));
        if (ex->without_vector > 0) {
            crn_cli_note("%llu patterns have no vector and are left out",
                         (unsigned long long)ex->without_vector);
        }
    }
    return ex->file.file != NULL ? crn_cli_export_file_finish(&ex->file, err) : CAIRN_OK;
}

static int run(void)
{
    struct export ex = {0};
    cairn_error err;

    crn_buf_init(&ex.buf, CRN_CLI_LINE_MAX);
    crn_cli_progress_begin(&ex.progress, "patterns");
    cairn_status status = open_all(&ex, &err);
    if (status == CAIRN_OK) status = put_all(&ex, &err);
    if (status == CAIRN_OK) status = finish(&ex, &err);
    crn_cli_progress_end(&ex.progress);

    crn_cli_export_file_release(&ex.file);
    crn_cli_export_file_release(&ex.ids);
    crn_cli_store_close(&ex.store);
    crn_buf_release(&ex.buf);
    if (crn_cli_output_failed()) return CRN_CLI_EXIT_FAILED; /* main tells why */
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_export = {
    .name = "export",
    .summary = "Writes all patterns of a collection, one JSON object a line",
    .detail = "Nothing is lost: importing the lines gives an equal collection, with --with-schema its\n"
              "settings too. Versions are not written: they begin anew.",
    .examples = "cairn export memory.cairn --with-schema -o memory.jsonl\n"
                "cairn export memory.cairn --domain build | jq -r .text\n"
                "cairn export memory.cairn -o vectors.npy",
    .operands = operands,
    .groups =
        CRN_CLI_GROUPS(&group, &crn_cli_scope_group, &crn_cli_collection_group, &crn_cli_progress_group),
    .run = run,
};
