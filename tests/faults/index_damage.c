/*
 * Damage in the folder beside the database: bytes changed, files cut, emptied, lengthened, taken away,
 * exchanged. Whatever happened, searches answer as the rows do, the log sink tells of it, and a rebuild
 * leaves nothing to find.
 */
#include "tests/base/support.h"
#include "tests/faults/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
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
    unsigned count = model_seed_count(40);

    (void)state;
    for (unsigned i = 0; i < count; i++, seed++) run_seed();
}

/* ---- approximate indexes ---- */

#define BIG_ROWS 1500u
#define BIG_QUERIES 100u /* an index is opened only when scanning has cost as much */
#define BIG_K 10u

static float big_vectors[BIG_ROWS + BIG_QUERIES][MODEL_DIM]; /* the rows', then the queries' */

static float l2(const float *a, const float *b)
{
    double square = 0;

    for (unsigned i = 0; i < MODEL_DIM; i++) square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)sqrt(square);
}

static int compare_floats(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static void fill_big(cairn_collection *collection)
{
    static struct model_row rows[BIG_ROWS + BIG_QUERIES];
    static cairn_pattern patterns[BIG_ROWS];
    cairn_error err;

    for (uint32_t i = 0; i < BIG_ROWS + BIG_QUERIES; i++) {
        model_row(&rows[i], 1, i, i + 1);
        memcpy(big_vectors[i], rows[i].vector, sizeof big_vectors[i]);
        if (i < BIG_ROWS) patterns[i] = model_pattern(&rows[i]);
    }
    if (cairn_insert(collection, patterns, BIG_ROWS, &err) != CAIRN_OK)
        fail_seed("cairn_insert", err.message);
    if (cairn_optimize(collection, NULL, NULL, &err) != CAIRN_OK) fail_seed("cairn_optimize", err.message);
}

/* How many of the hits are among the true nearest; each must have its true distance. */
static unsigned count_right(const cairn_results *results, const float *query)
{
    static float distances[BIG_ROWS];
    unsigned right = 0;

    for (uint32_t i = 0; i < BIG_ROWS; i++) distances[i] = l2(query, big_vectors[i]);
    qsort(distances, BIG_ROWS, sizeof distances[0], compare_floats);
    if (cairn_results_count(results) != BIG_K) fail_seed("a search", "hits are missing");
    for (size_t i = 0; i < BIG_K; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        unsigned long number = strtoul(hit->id.text + 1, NULL, 10);

        if (number >= BIG_ROWS) fail_seed("a hit that is not there", hit->id.text);
        if (!(fabsf(hit->distance - l2(query, big_vectors[number])) < 1e-3f))
            fail_seed("a hit's distance", hit->id.text);
        right += hit->distance <= distances[BIG_K - 1] + 1e-4f;
    }
    return right;
}

/* Returns how many searches the index answered. */
static unsigned search_big(cairn_collection *collection)
{
    unsigned right = 0, by_index = 0;

    for (uint32_t i = 0; i < BIG_QUERIES; i++) {
        const float *vector = big_vectors[BIG_ROWS + i];
        cairn_query query = {.size = sizeof query, .vector = vector, .k = BIG_K, .ef = 60};
        cairn_search_info info = {.size = sizeof info};
        cairn_results *results;
        cairn_error err;

        if (cairn_search(collection, &query, &results, &err) != CAIRN_OK)
            fail_seed("cairn_search", err.message);
        right += count_right(results, vector);
        cairn_results_info(results, &info);
        by_index += strcmp(info.plan, "index") == 0;
        cairn_results_free(results);
    }
    if (right < BIG_QUERIES * BIG_K * 95 / 100) fail_seed("searches", "the recall is below .95");
    return by_index;
}

/* Maintenance opens an index about a second after searches began to want it. */
static bool index_answers(cairn_collection *collection)
{
    for (unsigned attempt = 0; attempt < 200; attempt++) {
        if (search_big(collection) != 0) return true;
        usleep(50000);
    }
    return false;
}

static void damage_big(const char *path, struct crn_rng *rng)
{
    cairn_open_options options = options_of(rng);
    cairn_db *db;
    cairn_collection *collection;
    struct files files;
    uint64_t findings;
    cairn_error err;

    list_files(&files, path, ".derived");
    harm(&files, rng);
    if (cairn_open(path, &options, &db, &err) != CAIRN_OK) fail_seed("cairn_open", err.message);
    if (cairn_collection_open(db, "big", NULL, &collection, &err) != CAIRN_OK)
        fail_seed("cairn_collection_open", err.message);
    search_big(collection);
    if (cairn_optimize(collection, NULL, NULL, &err) != CAIRN_OK) fail_seed("cairn_optimize", err.message);
    search_big(collection);
    if (cairn_rebuild(db, NULL, NULL, &err) != CAIRN_OK) fail_seed("cairn_rebuild", err.message);
    if (!index_answers(collection)) fail_seed("searches after cairn_rebuild", "no index answers");
    if (cairn_verify(db, NULL, NULL, NULL, &findings, &err) != CAIRN_OK || findings != 0)
        fail_seed("cairn_verify", "has findings after cairn_rebuild");
    cairn_collection_close(collection);
    cairn_close(db);
}

static void a_damaged_index_costs_no_answer(void **state)
{
    static const char *const indexes[] = {"graph", "faiss:HNSW16"};
    const cairn_collection_options big = {
        .size = sizeof big, .dim = MODEL_DIM, .metric = CAIRN_METRIC_L2, .index = indexes[seed % 2]};
    unsigned count = model_seed_count(40) / 10;
    char *folder = model_folder(), path[600];
    struct crn_rng rng;
    cairn_db *db;
    cairn_collection *collection;
    cairn_error err;

    (void)state;
    assert_non_null(folder);
    crn_rng_init(&rng, seed);
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    cairn_open_options options = options_of(&rng);
    if (cairn_open(path, &options, &db, &err) != CAIRN_OK) fail_seed("cairn_open", err.message);
    if (cairn_collection_open(db, "big", &big, &collection, &err) != CAIRN_OK)
        fail_seed("cairn_collection_open", err.message);
    fill_big(collection);
    if (!index_answers(collection)) fail_seed("searches", "no index answers");
    cairn_collection_close(collection);
    cairn_close(db);
    for (unsigned i = 0; i < count; i++) damage_big(path, &rng);
    model_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_damage_changes_an_answer),
        cmocka_unit_test(a_damaged_index_costs_no_answer),
    };

    seed = model_first_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
