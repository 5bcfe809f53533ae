/*
 * Damage in the folder beside the database: bytes changed, files cut, emptied, lengthened, taken away,
 * exchanged. Whatever happened, searches answer as the rows do, the log sink tells of it, and a rebuild
 * leaves nothing to find.
 */
#include "tests/base/support.h"
#include "tests/faults/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum damage { FLIP, CUT, EMPTY, LENGTHEN, REMOVE, EXCHANGE, DAMAGE_COUNT };

#define FILES_MAX 64

struct files {
    unsigned count;
    char paths[FILES_MAX][700];
};

static uint64_t seed;
static _Atomic unsigned warnings;
static char last_warning[CAIRN_MESSAGE_MAX];

static void take_log(void *ctx, cairn_log_level level, const char *message)
{
    (void)ctx;
    if (level > CAIRN_LOG_WARN) return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

static void fail_seed(const char *what, const char *message)
{
    fail_msg("CAIRN_TEST_SEED=%" PRIu64 " CAIRN_TEST_SEEDS=1: %s: %s (last warning: %s)", seed, what, message,
             last_warning);
}

static void list_files(struct files *files, const char *path, const char *suffix)
{
    char folder[700];
    struct dirent *entry;

    snprintf(folder, sizeof folder, "%s.d", path);
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    files->count = 0;
    while ((entry = readdir(stream)) != NULL && files->count < FILES_MAX) {
        size_t len = strlen(entry->d_name), suffix_len = strlen(suffix);
        if (entry->d_name[0] == '.' || len < suffix_len ||
            strcmp(entry->d_name + len - suffix_len, suffix) != 0)
            continue;
        int used =
            snprintf(files->paths[files->count++], sizeof files->paths[0], "%s/%s", folder, entry->d_name);
        assert_true(used < (int)sizeof files->paths[0]);
    }
    closedir(stream);
}

static char *read_file(const char *path, size_t *out_size)
{
    struct stat info;
    int fd = open(path, O_RDONLY);
    char *bytes;

    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    bytes = malloc((size_t)info.st_size + 1);
    assert_int_equal(read(fd, bytes, (size_t)info.st_size), info.st_size);
    close(fd);
    *out_size = (size_t)info.st_size;
    return bytes;
}

/* A new file under the name, so that whoever has mapped the old one keeps it. */
static void replace_file(const char *path, const char *bytes, size_t size)
{
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* A few bits, or many bytes; anywhere, or among the first, where the header is. */
static void flip(char *bytes, size_t size, struct crn_rng *rng)
{
    uint64_t count = crn_rng_below(rng, 2) ? 1 + crn_rng_below(rng, 8) : 200;
    uint64_t range = crn_rng_below(rng, 4) ? size : 1 + size / 16;

    for (uint64_t i = 0; size > 0 && i < count; i++)
        bytes[crn_rng_below(rng, range)] ^= (char)(1 + crn_rng_below(rng, 255));
}

/* True when whoever opens the file must notice. */
static bool harm(const struct files *files, struct crn_rng *rng)
{
    const char *path = files->paths[crn_rng_below(rng, files->count)];
    const char *other = files->paths[crn_rng_below(rng, files->count)];
    enum damage damage = crn_rng_below(rng, 2) ? FLIP : (enum damage)crn_rng_below(rng, DAMAGE_COUNT);
    size_t size = 0, other_size;
    char *bytes;

    if (access(path, F_OK) != 0 || access(other, F_OK) != 0) return false; /* removed already */
    bytes = read_file(path, &size);
    bytes = realloc(bytes, size + 5000);
    memset(bytes + size, 0x5a, 5000);
    switch (damage) {
    case FLIP:
        flip(bytes, size, rng);
        replace_file(path, bytes, size);
        break;
    case CUT:
        replace_file(path, bytes, (size_t)crn_rng_below(rng, size + 1));
        break;
    case EMPTY:
        replace_file(path, bytes, 0);
        break;
    case LENGTHEN:
        replace_file(path, bytes, size + 1 + (size_t)crn_rng_below(rng, 4999));
        break;
    case REMOVE:
        assert_int_equal(unlink(path), 0);
        break;
    default:
        free(bytes);
        bytes = read_file(other, &other_size);
        replace_file(path, bytes, other_size);
        break;
    }
    free(bytes);
    return damage == EMPTY || damage == REMOVE;
}

static cairn_open_options options_of(struct crn_rng *rng)
{
    return (cairn_open_options){.size = sizeof(cairn_open_options),
                                .tail_rows_max = 16,
                                .threads = 1,
                                .no_background = crn_rng_below(rng, 2),
                                .log = take_log};
}

static void open_session(struct model_session *session, struct model *model, const char *path,
                         struct crn_rng *rng)
{
    cairn_open_options options = options_of(rng);
    cairn_error err;

    if (model_open(session, model, path, &options, &err) != CAIRN_OK) fail_seed("cairn_open", err.message);
}

static void optimize_all(struct model_session *session)
{
    cairn_error err;

    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++)
        if (session->collections[i] && cairn_optimize(session->collections[i], NULL, NULL, &err) != CAIRN_OK)
            fail_seed("cairn_optimize", err.message);
}

static void check(struct model_session *session, struct crn_rng *rng, bool thorough, const char *when)
{
    char message[MODEL_MESSAGE] = "";

    if (!model_check(session, rng, thorough, message)) fail_seed(when, message);
}

/* `first` is open already, or its db is NULL. */
static void open_damaged(struct model_session *first, struct model *model, const char *path,
                         struct crn_rng *rng, bool must_tell)
{
    struct model_session second;
    cairn_error err;

    warnings = 0;
    last_warning[0] = '\0';
    open_session(&second, model, path, rng);
    check(&second, rng, false, "after the damage");
    if (must_tell && warnings == 0) fail_seed("after the damage", "nobody was told");
    if (model_run(&second, rng, 10, false, &err) != CAIRN_OK)
        fail_seed("a call after the damage", err.message);
    check(&second, rng, false, "after the damage and more writes");
    if (first->db) {
        if (model_refresh(first, &err) != CAIRN_OK) fail_seed("the first handle", err.message);
        check(first, rng, false, "through the handle opened before the damage");
    }
    if (cairn_rebuild(second.db, NULL, NULL, &err) != CAIRN_OK) fail_seed("cairn_rebuild", err.message);
    check(&second, rng, true, "after cairn_rebuild");
    model_close(&second);
}

static void run_seed(void)
{
    static struct model model;
    struct model_session session;
    struct files files;
    struct crn_rng rng;
    char *folder = model_folder(), path[600];
    bool derived_only, must_tell = false;
    cairn_error err;

    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    memset(&model, 0, sizeof model);
    crn_rng_init(&rng, seed);
    open_session(&session, &model, path, &rng);
    if (model_run(&session, &rng, 60, false, &err) != CAIRN_OK) fail_seed("a call", err.message);
    optimize_all(&session);
    check(&session, &rng, true, "before the damage");
    bool stays_open = crn_rng_below(&rng, 2);
    if (!stays_open) model_close(&session);

    /* Lock and shared memory are noticed to be gone within a second; who deletes them under a running program
     * has to wait. */
    derived_only = stays_open || crn_rng_below(&rng, 2);
    list_files(&files, path, derived_only ? ".derived" : "");
    for (uint64_t i = 1 + crn_rng_below(&rng, 4); i > 0 && files.count > 0; i--) {
        bool must_be_seen = harm(&files, &rng);
        if (derived_only && must_be_seen) must_tell = true;
    }
    open_damaged(&session, &model, path, &rng, must_tell);
    model_close(&session);
    model_folder_remove(folder);
}

static void no_damage_changes_an_answer(void **state)
{
    unsigned count = model_seed_count(60);

    (void)state;
    seed = model_first_seed();
    for (unsigned i = 0; i < count; i++, seed++) run_seed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_damage_changes_an_answer)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
