/*
 * Any bytes as requests to the Qdrant dialect, without a socket: each is a line "METHOD /path" and a body up to an
 * empty line. Every answer must be a known status, with a body that is JSON unless it says otherwise; an internal
 * error is a defect. The database lives as long as the program, its collections as long as an input.
 */
#include "base/json.h"
#include "server/qdrant.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS_MAX 40u /* an input is not to take long */
#define SEGMENTS_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* ---- the database ---- */

static char folder[200];
static cairn_db *database;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_database(void)
{
    cairn_close(database);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void open_database(void)
{
    const char *parent = getenv("TMPDIR");
    char path[220];
    cairn_error err = {0};

    if (database != NULL) return;
    if (parent == NULL) parent = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/cairn-fuzz-XXXXXX", parent);
    require(mkdtemp(folder) != NULL, "no temporary folder");
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    const cairn_open_options options = {.size = sizeof options, .durability = CAIRN_LAZY, .no_background = true, .threads = 1};
    require(cairn_open(path, &options, &database, &err) == CAIRN_OK, err.message);
    atexit(remove_database);
}

static void drop_all(void)
{
    char **names;
    size_t count;
    cairn_error err = {0};

    require(cairn_collection_list(database, &names, &count, &err) == CAIRN_OK, err.message);
    for (size_t i = 0; i < count; i++) require(cairn_collection_drop(database, names[i], &err) == CAIRN_OK, err.message);
    cairn_free(names);
    require(cairn_set_metadata(database, "{}", &err) == CAIRN_OK, err.message);
}

/* ---- requests ---- */

/* The text up to `end`, which is skipped; all that is left without one. */
static struct crn_text take_until(struct crn_text *from, const char *end)
{
    const char *found = memmem(from->data, from->length, end, strlen(end));
    const size_t length = found == NULL ? from->length : (size_t)(found - from->data);
    const struct crn_text taken = {from->data, length};
    const size_t used = found == NULL ? length : length + strlen(end);

    *from = (struct crn_text){from->data + used, from->length - used};
    return taken;
}

static enum crn_method method_of(struct crn_text word)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == word.length && memcmp(names[i], word.data, word.length) == 0) return (enum crn_method)i;
    }
    return CRN_OPTIONS;
}

static void check_answer(const struct crn_answer *answer)
{
    static const unsigned known[] = {200, 400, 403, 404, 405, 408, 409, 422};
    struct crn_json root, part;
    cairn_error err = {0};
    bool found = false;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) found |= answer->status == known[i];
    require(found, answer->body.data);
    require(answer->body.failed == CAIRN_OK, "an answer is cut");
    if (answer->content_type != NULL) return;
    struct crn_json_parser *parser = crn_json_parser_create();
    require(crn_json_parse(parser, answer->body.data, answer->body.len, &root, &err) == CAIRN_OK, answer->body.data);
    const bool version = crn_json_get(root, "version", &part);
    require(version || crn_json_get(root, answer->status == 200 ? "result" : "status", &part), "an answer has no result");
    crn_json_parser_free(parser);
}

static void ask(struct crn_qdrant *qdrant, struct crn_text line, struct crn_text body)
{
    struct crn_text segments[SEGMENTS_MAX];
    struct crn_request request = {.segments = segments, .body = body, .id = "fuzz", .principal = {.role = CRN_ROLE_ADMIN, .name = ""}};
    struct crn_answer answer = {.status = 200};

    request.method = method_of(take_until(&line, " "));
    while (line.length > 0 && request.segment_count < SEGMENTS_MAX) {
        const struct crn_text segment = take_until(&line, "/");
        /* The server decodes no other: these are refused before. */
        if (memchr(segment.data, '\0', segment.length) != NULL) return;
        if (segment.length > 0) segments[request.segment_count++] = segment;
    }
    crn_buf_init(&answer.body, (size_t)1 << 28);
    crn_qdrant_handle(qdrant, &request, &answer);
    check_answer(&answer);
    crn_buf_release(&answer.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crn_text left = {(const char *)data, size};
    struct crn_qdrant *qdrant;
    cairn_error err = {0};

    open_database();
    require(crn_qdrant_open(database, NULL, &qdrant, &err) == CAIRN_OK, err.message);
    for (unsigned i = 0; left.length > 0 && i < REQUESTS_MAX; i++) {
        const struct crn_text line = take_until(&left, "\n");
        ask(qdrant, line, take_until(&left, "\n\n"));
    }
    crn_qdrant_close(qdrant);
    drop_all();
    return 0;
}
