/* Rows, sessions and random calls. model_check.c compares. */
#include "tests/faults/model.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BATCH_MAX 40u

/* ---- rows ---- */

void model_row(struct model_row *row, unsigned collection, uint32_t number, uint32_t stamp)
{
    struct crn_rng rng;

    crn_rng_init(&rng, (uint64_t)collection << 60 | (uint64_t)number << 32 | stamp);
    memset(row, 0, sizeof(*row));
    snprintf(row->id, sizeof(row->id), "r%" PRIu32, number);
    snprintf(row->domain, sizeof(row->domain), "d%" PRIu32, stamp % 4);
    snprintf(row->text, sizeof(row->text), "stone %" PRIu32 " on path %" PRIu32, number, stamp);
    snprintf(row->payload, sizeof(row->payload), "{\"n\":%" PRIu32 ",\"parity\":\"%s\"}", stamp,
             stamp % 2 ? "odd" : "even");
    for (unsigned i = 0; i < MODEL_DIM; i++) row->vector[i] = (float)crn_rng_normal(&rng);
    row->confidence = (double)(stamp % 100 + 1) / 128;
}

cairn_pattern model_pattern(const struct model_row *row)
{
    return (cairn_pattern){.size = sizeof(cairn_pattern),
                           .id = row->id,
                           .domain = row->domain,
                           .vector = row->vector,
                           .text = row->text,
                           .payload = row->payload,
                           .confidence = row->confidence};
}

const cairn_collection_options *model_options(unsigned collection)
{
    static const cairn_collection_options options[MODEL_COLLECTIONS] = {
        {.size = sizeof(cairn_collection_options),
         .dim = MODEL_DIM,
         .metric = CAIRN_METRIC_COSINE,
         .lexical = true},
        {.size = sizeof(cairn_collection_options), .dim = MODEL_DIM, .metric = CAIRN_METRIC_L2},
        {.size = sizeof(cairn_collection_options),
         .dim = MODEL_DIM,
         .metric = CAIRN_METRIC_DOT,
         .quantization = CAIRN_QUANTIZATION_SCALAR},
    };

    return &options[collection];
}

/* ---- a session ---- */

static void collection_name(char name[16], unsigned collection)
{
    snprintf(name, 16, "c%u", collection);
}

static cairn_status open_collections(struct model_session *session, cairn_error *err)
{
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) {
        char name[16];
        cairn_status status;

        collection_name(name, i);
        status = cairn_collection_open(session->db, name, NULL, &session->collections[i], err);
        if (status != CAIRN_OK && status != CAIRN_NO_COLLECTION) return status;
        if (status != CAIRN_OK) session->collections[i] = NULL;
    }
    return CAIRN_OK;
}

cairn_status model_open(struct model_session *session, struct model *model, const char *path,
                        const cairn_open_options *options, cairn_error *err)
{
    cairn_status status;

    memset(session, 0, sizeof(*session));
    session->model = model;
    status = cairn_open(path, options, &session->db, err);
    if (status == CAIRN_OK) status = open_collections(session, err);
    if (status != CAIRN_OK) model_close(session);
    return status;
}

void model_close(struct model_session *session)
{
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) cairn_collection_close(session->collections[i]);
    cairn_close(session->db);
    session->db = NULL;
    memset(session->collections, 0, sizeof(session->collections));
}

cairn_status model_refresh(struct model_session *session, cairn_error *err)
{
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) cairn_collection_close(session->collections[i]);
    memset(session->collections, 0, sizeof(session->collections));
    return open_collections(session, err);
}

/* ---- calls ---- */

void model_begin(struct model_collection *collection)
{
    collection->call.acknowledged = false;
    collection->call.exists = collection->exists;
    memcpy(collection->call.stamps, collection->stamps, sizeof(collection->stamps));
    __atomic_store_n(&collection->call.under_way, true, __ATOMIC_RELEASE);
}

/* A failed call stays under way: it may have left all or nothing until somebody looks. */
void model_end(struct model_collection *collection, cairn_status status)
{
    if (status != CAIRN_OK) return;
    __atomic_store_n(&collection->call.acknowledged, true, __ATOMIC_RELEASE);
    collection->exists = collection->call.exists;
    memcpy(collection->stamps, collection->call.stamps, sizeof(collection->stamps));
    collection->acknowledged++;
    __atomic_store_n(&collection->call.under_way, false, __ATOMIC_RELEASE);
}

/* Up to `wanted` different numbers whose row is there, or is not; from a random one on. */
static uint32_t pick(const struct model_collection *truth, bool there, uint32_t wanted, struct crn_rng *rng,
                     uint32_t numbers[BATCH_MAX])
{
    uint32_t start = (uint32_t)crn_rng_below(rng, MODEL_ROWS), count = 0;

    for (uint32_t i = 0; i < MODEL_ROWS && count < wanted; i++) {
        uint32_t number = (start + i) % MODEL_ROWS;
        if ((truth->stamps[number] != 0) == there) numbers[count++] = number;
    }
    return count;
}

static cairn_status write_rows(struct model_session *session, unsigned which, cairn_write_mode mode,
                               const uint32_t *numbers, uint32_t count, cairn_error *err)
{
    struct model_collection *truth = &session->model->collections[which];
    struct model_row rows[BATCH_MAX];
    cairn_pattern patterns[BATCH_MAX];
    cairn_status status;

    if (count == 0) return CAIRN_OK;
    model_begin(truth);
    for (uint32_t i = 0; i < count; i++) {
        truth->call.stamps[numbers[i]] = ++truth->last_stamp;
        model_row(&rows[i], which, numbers[i], truth->last_stamp);
        patterns[i] = model_pattern(&rows[i]);
    }
    status = cairn_write(session->collections[which], mode, patterns, count, NULL, err);
    model_end(truth, status);
    return status;
}

static cairn_status insert(struct model_session *session, unsigned which, struct crn_rng *rng,
                           cairn_error *err)
{
    uint32_t numbers[BATCH_MAX];
    uint32_t wanted = crn_rng_below(rng, 2) ? 1 : 2 + (uint32_t)crn_rng_below(rng, BATCH_MAX - 1);
    uint32_t count = pick(&session->model->collections[which], false, wanted, rng, numbers);

    return write_rows(session, which, CAIRN_INSERT, numbers, count, err);
}

static cairn_status upsert(struct model_session *session, unsigned which, struct crn_rng *rng,
                           cairn_error *err)
{
    const struct model_collection *truth = &session->model->collections[which];
    uint32_t numbers[BATCH_MAX];
    uint32_t count = pick(truth, true, 1 + (uint32_t)crn_rng_below(rng, 5), rng, numbers);

    if (crn_rng_below(rng, 3) == 0) return write_rows(session, which, CAIRN_UPDATE, numbers, count, err);
    count += pick(truth, false, (uint32_t)crn_rng_below(rng, 5), rng, numbers + count);
    return write_rows(session, which, CAIRN_UPSERT, numbers, count, err);
}

static cairn_status delete_rows(struct model_session *session, unsigned which, struct crn_rng *rng,
                                cairn_error *err)
{
    struct model_collection *truth = &session->model->collections[which];
    uint32_t numbers[BATCH_MAX];
    uint32_t count = pick(truth, true, 1 + (uint32_t)crn_rng_below(rng, 8), rng, numbers);
    char texts[BATCH_MAX][16];
    cairn_id ids[BATCH_MAX] = {{0}};
    uint64_t deleted = 0;
    cairn_status status;

    if (count == 0) return CAIRN_OK;
    model_begin(truth);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "r%" PRIu32, numbers[i]);
        ids[i].text = texts[i];
        truth->call.stamps[numbers[i]] = 0;
    }
    status = cairn_delete(session->collections[which], ids, count, &deleted, err);
    model_end(truth, status);
    if (status != CAIRN_OK || deleted == count) return status;
    snprintf(err->message, sizeof(err->message), "%" PRIu64 " of %" PRIu32 " rows deleted", deleted, count);
    return err->status = CAIRN_INTERNAL;
}

/* By domain, or by a filter that takes the older rows of one parity. */
static cairn_status delete_where(struct model_session *session, unsigned which, struct crn_rng *rng,
                                 cairn_error *err)
{
    struct model_collection *truth = &session->model->collections[which];
    uint32_t limit = (uint32_t)crn_rng_below(rng, truth->last_stamp + 1),
             parity = (uint32_t)crn_rng_below(rng, 2);
    bool by_domain = crn_rng_below(rng, 2);
    char domain[8], filter[80];
    cairn_scope scope = {.size = sizeof(scope)};
    cairn_status status;

    snprintf(domain, sizeof(domain), "d%" PRIu32, limit % 4);
    snprintf(filter, sizeof(filter), "{\"n\":{\"$lt\":%" PRIu32 "},\"parity\":\"%s\"}", limit,
             parity ? "odd" : "even");
    if (by_domain)
        scope.domain = domain;
    else
        scope.filter = filter;
    model_begin(truth);
    for (uint32_t i = 0; i < MODEL_ROWS; i++) {
        uint32_t stamp = truth->stamps[i];
        if (by_domain ? stamp % 4 == limit % 4 : stamp < limit && stamp % 2 == parity)
            truth->call.stamps[i] = 0;
    }
    status = cairn_delete_where(session->collections[which], &scope, NULL, err);
    model_end(truth, status);
    return status;
}

/* A failure's message names the call. */
static cairn_status told(const char *call, cairn_status status, cairn_error *err)
{
    char message[CAIRN_MESSAGE_MAX];

    if (status == CAIRN_OK) return status;
    memcpy(message, err->message, sizeof(message));
    snprintf(err->message, sizeof(err->message), "%s: %.300s", call, message);
    return status;
}

static cairn_status create(struct model_session *session, unsigned which, cairn_error *err)
{
    struct model_collection *truth = &session->model->collections[which];
    char name[16];
    cairn_status status;

    collection_name(name, which);
    model_begin(truth);
    truth->call.exists = true;
    status =
        cairn_collection_open(session->db, name, model_options(which), &session->collections[which], err);
    if (status != CAIRN_OK) session->collections[which] = NULL;
    model_end(truth, status);
    return status;
}

static cairn_status drop(struct model_session *session, unsigned which, cairn_error *err)
{
    struct model_collection *truth = &session->model->collections[which];
    char name[16];
    cairn_status status, after;
    uint64_t rows;

    collection_name(name, which);
    model_begin(truth);
    truth->call.exists = false;
    memset(truth->call.stamps, 0, sizeof(truth->call.stamps));
    status = cairn_collection_drop(session->db, name, err);
    model_end(truth, status);
    if (status != CAIRN_OK) return status;
    after = cairn_count(session->collections[which], NULL, &rows, err);
    cairn_collection_close(session->collections[which]);
    session->collections[which] = NULL;
    if (after != CAIRN_OK && after != CAIRN_NO_COLLECTION) return after;
    if (after == CAIRN_NO_COLLECTION) return CAIRN_OK;
    snprintf(err->message, sizeof(err->message), "a handle to a dropped collection counts %" PRIu64 " rows",
             rows);
    return err->status = CAIRN_INTERNAL;
}

/* Calls that change no row. */
static cairn_status care(struct model_session *session, unsigned which, struct crn_rng *rng, cairn_error *err)
{
    cairn_collection *collection = session->collections[which];

    switch (crn_rng_below(rng, 8)) {
    case 0:
        return told("payload_index_create", cairn_payload_index_create(collection, "n", err), err);
    case 1:
        return told("payload_index_create", cairn_payload_index_create(collection, "parity", err), err);
    case 2:
        return told("payload_index_drop", cairn_payload_index_drop(collection, "n", err), err);
    case 3:
        return told("rebuild", cairn_rebuild(session->db, NULL, NULL, err), err);
    default:
        return told("optimize", cairn_optimize(collection, NULL, NULL, err), err);
    }
}

cairn_status model_step(struct model_session *session, unsigned collection, struct crn_rng *rng,
                        cairn_error *err)
{
    uint64_t dice = crn_rng_below(rng, 100);

    if (!session->collections[collection]) return told("create", create(session, collection, err), err);
    if (dice < 45) return told("insert", insert(session, collection, rng, err), err);
    if (dice < 65) return told("upsert", upsert(session, collection, rng, err), err);
    if (dice < 78) return told("delete", delete_rows(session, collection, rng, err), err);
    if (dice < 84) return told("delete_where", delete_where(session, collection, rng, err), err);
    if (dice < 86) return told("drop", drop(session, collection, err), err);
    return care(session, collection, rng, err);
}

struct runner {
    struct model_session *session;
    unsigned collection;
    unsigned steps;
    struct crn_rng rng;
    cairn_status status;
    cairn_error err;
};

static void *run_on_one(void *arg)
{
    struct runner *runner = arg;

    for (unsigned i = 0; i < runner->steps && runner->status == CAIRN_OK; i++)
        runner->status = model_step(runner->session, runner->collection, &runner->rng, &runner->err);
    return NULL;
}

static cairn_status run_threads(struct model_session *session, struct crn_rng *rng, unsigned steps,
                                cairn_error *err)
{
    struct runner runners[MODEL_COLLECTIONS];
    pthread_t threads[MODEL_COLLECTIONS];
    cairn_status status = CAIRN_OK;

    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) {
        bool idle = !session->model->collections[i].call.under_way;
        runners[i] = (struct runner){.session = session, .collection = i, .steps = idle ? steps : 0};
        crn_rng_init(&runners[i].rng, crn_rng_u64(rng));
        if (pthread_create(&threads[i], NULL, run_on_one, &runners[i]) != 0) abort();
    }
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) {
        pthread_join(threads[i], NULL);
        if (status != CAIRN_OK || runners[i].status == CAIRN_OK) continue;
        status = runners[i].status;
        *err = runners[i].err;
    }
    return status;
}

cairn_status model_run(struct model_session *session, struct crn_rng *rng, unsigned steps, bool threaded,
                       cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    if (threaded) return run_threads(session, rng, steps, err);
    for (unsigned i = 0; i < steps && status == CAIRN_OK; i++) {
        unsigned collection = (unsigned)crn_rng_below(rng, MODEL_COLLECTIONS);

        if (!session->model->collections[collection].call.under_way)
            status = model_step(session, collection, rng, err);
    }
    return status;
}

/* ---- around ---- */

static bool memory_has_room(void)
{
    struct statvfs info;

    return access("/dev/shm", W_OK | X_OK) == 0 && statvfs("/dev/shm", &info) == 0 &&
           (uint64_t)info.f_bavail * info.f_frsize > UINT64_C(512) << 20;
}

char *model_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];

    if (!parent) parent = memory_has_room() ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof(path), "%s/cairn-faults-XXXXXX", parent);
    return mkdtemp(path) ? strdup(path) : NULL;
}

static void remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream && (entry = readdir(stream)) != NULL) {
        char child[1024];
        struct stat info;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode))
            remove_tree(child);
        else
            unlink(child);
    }
    if (stream) closedir(stream);
    rmdir(path);
}

void model_folder_remove(char *folder)
{
    if (folder) remove_tree(folder);
    free(folder);
}

uint64_t model_first_seed(void)
{
    const char *given = getenv("CAIRN_TEST_SEED");
    unsigned char entropy[16];
    uint64_t seed;

    crn_rng_entropy(entropy);
    memcpy(&seed, entropy, sizeof(seed));
    if (given) seed = strtoull(given, NULL, 0);
    printf("CAIRN_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

unsigned model_seed_count(unsigned usual)
{
    const char *given = getenv("CAIRN_TEST_SEEDS");

    return given ? (unsigned)strtoul(given, NULL, 0) : usual;
}
