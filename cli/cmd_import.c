/* cairn import: records from a file into a collection, resumable, in bounded memory. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/import_batch.h"
#include "cli/import_state.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/reader.h"
#include "cli/signals.h"
#include "cli/store.h"

#include <stdio.h>
#include <string.h>

#define OPTIMIZE_ROWS 10000 /* fewer are found by comparing with all of them */

static const char *db_path;
static const char *file_path;
static const char *domain;
static const char *id_prefix;
static uint64_t batch_records = 1000;
static unsigned format_choice;
static unsigned on_error; /* 2: stop */
static bool acks, resume, no_optimize, json;

static const struct crn_cli_operand operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "FILE", .text = &file_path},
    {0},
};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_CHOICE("format", CRN_CLI_FORMAT_WORDS, format_choice,
                          "how FILE is written (default: by its suffix)"),
    CRN_CLI_OPTION_TEXT("domain", "NAME", domain, "the domain of records that name none"),
    CRN_CLI_OPTION_TEXT("id-prefix", "TEXT", id_prefix,
                        "ids of .npy and .fvecs rows: TEXT and the row's number"),
    CRN_CLI_OPTION_COUNT("batch", "N", 1, 100000, batch_records,
                         "records of one transaction (default: 1000)"),
    CRN_CLI_OPTION_CHOICE("on-error", "skip|stop", on_error, "what to do at a bad record (default: skip)"),
    CRN_CLI_OPTION_FLAG("acks", acks, "print each record's id once it is on disk, and nothing else"),
    CRN_CLI_OPTION_FLAG("resume", resume, "go on where the last import of FILE stopped"),
    CRN_CLI_OPTION_FLAG("no-optimize", no_optimize, "leave the building of the index to later"),
    CRN_CLI_OPTION_FLAG("json", json, "print the summary as a JSON object"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

struct import {
    struct crn_cli_store store;
    struct crn_cli_input input;
    struct crn_cli_reader reader;
    struct crn_cli_batch batch;
    struct crn_cli_sink sink;
    struct crn_cli_import_state state; /* path NULL: the input cannot be taken up again */
    struct crn_cli_progress progress;
    uint64_t started_ns;
    uint64_t resumed; /* records stored by earlier runs */
    bool optimized;
};

/* The first record that tells how its vectors are made. */
static const cairn_pattern *first_telling(const struct crn_cli_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->patterns[i].vector != NULL || batch->patterns[i].text != NULL) return &batch->patterns[i];
    }
    return NULL;
}

/* Makes what was read durable, then remembers how far that was; not when a bad record ended it, so that the
 * next run comes to that record again. */
static cairn_status flush(struct import *im, cairn_error *err)
{
    bool stopping = im->sink.stopped;

    if (im->store.collection == NULL && (im->batch.count > 0 || im->reader.schema != NULL)) {
        CRN_TRY(crn_cli_store_create(&im->store, im->reader.schema, first_telling(&im->batch), err));
        im->sink.collection = im->store.collection;
    }
    im->sink.stopped = false; /* by a record that could not be read: those before it go in */
    CRN_TRY(crn_cli_batch_write(&im->batch, &im->sink, err));
    im->sink.stopped = im->sink.stopped || stopping;
    if (im->state.path == NULL || im->sink.stopped) return CAIRN_OK;

    im->state.offset = im->input.offset;
    im->state.line = im->reader.line;
    im->state.stored = im->sink.stored;
    im->state.bad = im->sink.bad;
    return crn_cli_import_state_save(&im->state, &im->input, err);
}

static void show_progress(struct import *im)
{
    crn_cli_progress_show(&im->progress, "import", im->sink.stored, im->input.offset, im->input.size);
}

/* Reads to the end, to the first bad record with --on-error stop, or until a signal. */
static cairn_status read_all(struct import *im, cairn_error *err)
{
    enum crn_cli_read read = CRN_CLI_READ_BAD;
    cairn_error read_err;

    while (!crn_cli_interrupted() && !im->sink.stopped) {
        cairn_pattern *pattern = &im->batch.patterns[im->batch.count];
        read = crn_cli_reader_next(&im->reader, &im->batch.arena, pattern, &read_err);
        if (read == CRN_CLI_READ_END || read == CRN_CLI_READ_FAILED) break;
        if (read == CRN_CLI_READ_BAD) {
            crn_cli_progress_end(&im->progress);
            crn_cli_sink_bad(&im->sink, im->reader.record_line, &read_err);
        } else {
            if (pattern->domain == NULL) pattern->domain = domain;
            crn_cli_batch_take(&im->batch, im->reader.record_line);
        }
        if (crn_cli_batch_is_full(&im->batch)) { /* bad records take memory too */
            CRN_TRY(flush(im, err));
            show_progress(im);
        }
    }

    CRN_TRY(flush(im, err));
    if (read != CRN_CLI_READ_FAILED) return CAIRN_OK;
    *err = read_err;
    return err->status;
}

static cairn_status take_up(struct import *im, cairn_error *err)
{
    bool found;

    if (!im->input.is_file) return CAIRN_OK;
    CRN_TRY(crn_cli_import_state_init(&im->state, db_path, crn_cli_collection_name(), file_path, err));
    cairn_status status = crn_cli_import_state_load(&im->state, &im->input, &found, err);
    if (!resume) {
        if (found)
            crn_cli_note("an import of %s was left unfinished; this one begins anew (--resume goes on)",
                         file_path);
        im->state.stored = im->state.bad = 0;
        return CAIRN_OK;
    }
    if (status != CAIRN_OK || !found) return status;
    im->sink.stored = im->resumed = im->state.stored;
    im->sink.bad = im->state.bad;
    return crn_cli_reader_seek(&im->reader, im->state.offset, im->state.line, err);
}

static cairn_status open_all(struct import *im, cairn_error *err)
{
    const struct crn_cli_format *format;
    bool exists;

    CRN_TRY(crn_cli_reader_format(file_path, format_choice, &format, err));
    CRN_TRY(crn_cli_input_open(&im->input, file_path, err));
    if (resume && !im->input.is_file) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "--resume needs a file; a stream cannot be read again");
    }
    im->reader.id_prefix = id_prefix;
    CRN_TRY(crn_cli_reader_begin(&im->reader, format, &im->input, err));
    CRN_TRY(crn_cli_batch_init(&im->batch, (size_t)batch_records, err));
    CRN_TRY(crn_cli_store_open_db(&im->store, db_path, CRN_CLI_LOAD, err));
    CRN_TRY(crn_cli_store_collection(&im->store, &exists, err));
    im->sink = (struct crn_cli_sink){.collection = im->store.collection,
                                     .unit = format->unit,
                                     .acks = acks,
                                     .stop_at_first = on_error == 2};
    return take_up(im, err);
}

/* All records are in: builds the index over many. */
static cairn_status finish(struct import *im, cairn_error *err)
{
    if (im->state.path != NULL) crn_cli_import_state_remove(&im->state);
    if (no_optimize || im->sink.stored - im->resumed < OPTIMIZE_ROWS) return CAIRN_OK;
    im->optimized = true;
    return cairn_optimize(im->store.collection, crn_cli_progress_call, &im->progress, err);
}

static void print_summary(const struct import *im)
{
    FILE *out = acks ? stderr : stdout;
    struct crn_cli_number text;
    double seconds = (double)(crn_clock_ns() - im->started_ns) / 1e9;
    uint64_t stored = im->sink.stored - im->resumed;

    if (json) {
        fprintf(out,
                "{\"stored\":%llu,\"bad\":%llu,\"stored_earlier\":%llu,\"seconds\":%.3f,\"optimized\":%s}\n",
                (unsigned long long)stored, (unsigned long long)im->sink.bad, (unsigned long long)im->resumed,
                seconds, im->optimized ? "true" : "false");
        return;
    }
    fprintf(out, "stored %s record%s", crn_cli_count(stored, &text), stored == 1 ? "" : "s");
    fprintf(out, " in %s", crn_cli_duration(seconds, &text));
    if (im->resumed > 0) fprintf(out, ", %s by earlier runs", crn_cli_count(im->resumed, &text));
    if (im->sink.bad > 0) fprintf(out, "; %s bad", crn_cli_count(im->sink.bad, &text));
    fputc('\n', out);
}

static int tell_interrupted(const struct import *im, bool stored_all)
{
    struct crn_cli_number text;

    if (stored_all) {
        crn_cli_note(
            "interrupted while building the index; all records are stored, `cairn optimize` goes on");
    } else {
        crn_cli_note("interrupted; %s records are stored. %s", crn_cli_count(im->sink.stored, &text),
                     im->state.path != NULL ? "The same command with --resume goes on."
                                            : "A stream cannot be taken up again.");
    }
    return CRN_CLI_EXIT_INTERRUPTED;
}

static int import(struct import *im)
{
    cairn_error err;

    cairn_status status = open_all(im, &err);
    if (status == CAIRN_OK) {
        crn_cli_progress_begin(&im->progress, "records");
        status = read_all(im, &err);
        crn_cli_progress_end(&im->progress);
    }
    if (status != CAIRN_OK) {
        int exit_status = crn_cli_fail(&err);
        if (im->sink.stored > 0 && im->state.path != NULL) {
            crn_cli_note("what was read before is stored; the same command with --resume goes on");
        }
        return exit_status;
    }
    if (crn_cli_interrupted()) return tell_interrupted(im, false);

    if (!im->sink.stopped) {
        status = finish(im, &err);
        crn_cli_progress_end(&im->progress);
        if (status == CAIRN_CANCELLED) return tell_interrupted(im, true);
    }
    print_summary(im);
    if (status != CAIRN_OK) return crn_cli_fail(&err);
    return im->sink.bad > 0 ? CRN_CLI_EXIT_SOME_BAD : CRN_CLI_EXIT_OK;
}

static int run(void)
{
    struct import im = {.input.fd = -1, .started_ns = crn_clock_ns()};
    int exit_status = import(&im);

    crn_cli_store_close(&im.store);
    crn_cli_import_state_release(&im.state);
    crn_cli_batch_release(&im.batch);
    crn_cli_reader_end(&im.reader);
    crn_cli_input_close(&im.input);
    return exit_status;
}

const struct crn_cli_command crn_cli_command_import = {
    .name = "import",
    .summary = "Stores the records of a file, or of standard input (-)",
    .detail = "The database and the collection are created when absent: the first vector gives the\n"
              "dim; texts without vectors get theirs from the built-in embedder. Records replace\n"
              "those of the same id. Files of any size are read in little memory; a line may have\n"
              "128 MiB. A bad record is told with its line and left out, and the exit status is 4.\n"
              "\n"
              "Ctrl-C ends after the batch that is being written; --resume goes on there. A record\n"
              "without an id gets a new one with each import of it.\n"
              "\n"
              "FILE is JSON Lines (.jsonl), CSV with a header row (.csv), or vectors alone (.fvecs,\n"
              ".npy of f2, f4 or f8). The forms of a record are in docs/CLI.md.",
    .examples = "cairn import memory.cairn notes.jsonl --lexical\n"
                "zcat notes.jsonl.gz | cairn import memory.cairn - --domain notes\n"
                "cairn import vectors.cairn base.fvecs --metric l2\n"
                "cairn import memory.cairn big.jsonl --resume",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_collection_group, &crn_cli_settings_group, &crn_cli_embed_group,
                             &crn_cli_progress_group),
    .run = run,
};
