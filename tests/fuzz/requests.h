/*
 * What the fuzzers of the interfaces share: a database that lives as long as the program; and requests read from any bytes, each a line
 * "METHOD /path" with a body up to an empty line, asked without a socket.
 *
 * Making and dropping a collection costs as much as a hundred other requests. So the collections "f" and "g" are there for all inputs,
 * filled, and stay for KEPT_FOR of them, or until an input drops them; others are dropped behind the input that made them.
 */
#ifndef CRN_TESTS_FUZZ_REQUESTS_H
#define CRN_TESTS_FUZZ_REQUESTS_H

#include "base/json.h"
#include "server/exchange.h"

#include <cairn/cairn.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS_MAX 40u /* an input is not to take long */
#define SEGMENTS_MAX 8u
#define KEPT_FOR 200u
#define KEPT_ROWS 100u /* an input may add some: then f and g are made anew */

static inline void require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* ---- the database ---- */

static char folder[200];
static cairn_db *database;

static inline int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void remove_database(void)
{
    cairn_close(database);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void open_database(void)
{
    const char *parent = getenv("TMPDIR");
    char path[220];
    cairn_error err = {0};

    if (database != NULL) return;
    if (parent == NULL) parent = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/cairn-fuzz-XXXXXX", parent);
    require(mkdtemp(folder) != NULL, "no temporary folder");
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    const cairn_open_options options = {
        .size = sizeof options, .durability = CAIRN_LAZY, .no_background = true, .threads = 1};
    require(cairn_open(path, &options, &database, &err) == CAIRN_OK, err.message);
    atexit(remove_database);
}

/* ---- requests ---- */

/* The text up to `end`, which is skipped; all that is left without one. */
static inline struct crn_text take_until(struct crn_text *from, const char *end)
{
    const char *found = memmem(from->data, from->length, end, strlen(end));
    const size_t length = found == NULL ? from->length : (size_t)(found - from->data);
    const struct crn_text taken = {from->data, length};
    const size_t used = found == NULL ? length : length + strlen(end);

    *from = (struct crn_text){from->data + used, from->length - used};
    return taken;
}

static inline enum crn_method method_of(struct crn_text word)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == word.length && memcmp(names[i], word.data, word.length) == 0)
            return (enum crn_method)i;
    }
    return CRN_OPTIONS;
}

/* Checks an answer that is there; the caller's. */
typedef void (*check_fn)(const struct crn_request *request, const struct crn_answer *answer);

/* "?a=b&c" behind a path. */
static inline size_t read_parameters(struct crn_text query, struct crn_field *out, size_t max)
{
    size_t count = 0;

    while (query.length > 0 && count < max) {
        struct crn_text pair = take_until(&query, "&");
        out[count].name = take_until(&pair, "=");
        out[count++].value = pair;
    }
    return count;
}

static inline void ask(crn_handler handler, void *ctx, struct crn_text line, struct crn_text body,
                       check_fn check)
{
    static const struct crn_field types[] = {{{"content-type", 12}, {"application/json", 16}},
                                             {{"content-type", 12}, {"application/octet-stream", 24}},
                                             {{"content-type", 12}, {"application/x-npy", 17}}};
    struct crn_text segments[SEGMENTS_MAX];
    struct crn_field parameters[SEGMENTS_MAX];
    struct crn_request request = {
        .segments = segments, .body = body, .id = "fuzz", .principal = {.role = CRN_ROLE_ADMIN, .name = ""}};
    struct crn_answer answer = {.status = 200};

    request.method = method_of(take_until(&line, " "));
    struct crn_text path = take_until(&line, "?");
    while (path.length > 0 && request.segment_count < SEGMENTS_MAX) {
        const struct crn_text segment = take_until(&path, "/");
        /* The server decodes no other: these are refused before. */
        if (memchr(segment.data, '\0', segment.length) != NULL) return;
        if (segment.length > 0) segments[request.segment_count++] = segment;
    }
    request.parameters = parameters;
    request.parameter_count = read_parameters(line, parameters, SEGMENTS_MAX);
    request.headers =
        &types[body.length > 0 ? (unsigned char)body.data[0] == 0x93 ? 2 : (unsigned char)body.data[0] < 9
                               : 0];
    request.header_count = 1;
    crn_buf_init(&answer.body, (size_t)1 << 28);
    handler(ctx, &request, &answer);
    check(&request, &answer);
    crn_buf_release(&answer.body);
}

static inline void ask_all(crn_handler handler, void *ctx, const uint8_t *data, size_t size, check_fn check)
{
    struct crn_text left = {(const char *)data, size};

    for (unsigned i = 0; left.length > 0 && i < REQUESTS_MAX; i++) {
        const struct crn_text line = take_until(&left, "\n");
        ask(handler, ctx, line, take_until(&left, "\n\n"), check);
    }
}

/* ---- between inputs ---- */

static inline uint64_t rows_of(const char *name)
{
    cairn_collection *collection;
    uint64_t count = 0;
    cairn_error err = {0};

    require(cairn_collection_open(database, name, NULL, &collection, &err) == CAIRN_OK, err.message);
    require(cairn_count(collection, NULL, &count, &err) == CAIRN_OK, err.message);
    cairn_collection_close(collection);
    return count;
}

static inline bool is_kept(const char *name)
{
    return (name[0] == 'f' || name[0] == 'g') && name[1] == '\0' && rows_of(name) <= KEPT_ROWS;
}

static inline void drop_others(bool all)
{
    char **names, *metadata = NULL;
    size_t count;
    cairn_error err = {0};

    require(cairn_collection_list(database, &names, &count, &err) == CAIRN_OK, err.message);
    for (size_t i = 0; i < count; i++) {
        if (all || !is_kept(names[i]))
            require(cairn_collection_drop(database, names[i], &err) == CAIRN_OK, err.message);
    }
    cairn_free(names);
    require(cairn_get_metadata(database, &metadata, &err) == CAIRN_OK, err.message);
    if (metadata != NULL) require(cairn_set_metadata(database, NULL, &err) == CAIRN_OK, err.message);
    cairn_free(metadata);
}

/* Whether f and g have to be made and filled before the input. */
static inline bool wants_filling(void)
{
    static unsigned inputs;
    char **names;
    size_t count;
    cairn_error err = {0};

    const bool anew = inputs++ % KEPT_FOR == 0;
    drop_others(anew);
    if (anew) return true;
    require(cairn_collection_list(database, &names, &count, &err) == CAIRN_OK, err.message);
    cairn_free(names);
    if (count == 2) return false;
    drop_others(true);
    return true;
}

#endif
