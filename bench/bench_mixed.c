/*
 * What a search costs while somebody writes: one thread searches, first alone, then beside a thread that inserts as fast as it
 * can, and then, with --turns, with that thread writing and stopped in turns: the same searches over the same tails and segments; or, with --sustain, both go on for long, and each second tells the rate, the slowest batch, the searches' latencies, the
 * length of the tail and the number of segments; the end, what CPU a row took without that of searching, and all searches' latencies. One row of every tenth batch is asked for as soon as its write was answered, and must be found. No row
 * is written twice. Of searches of half a millisecond and more is told what they did: compute, scan, or wait.
 *
 *   bench_mixed [--rows 200000] [--dim 384] [--index flat|auto|...] [--quantization none|scalar] [--batch 100] [--seconds 10]
 *               [--tail 16384] [--turns 0] [--sustain SECONDS] [--pace ROWS_PER_SECOND] [--rate SEARCHES_PER_SECOND] [--dir FOLDER]
 *
 * --pace slows the writer down, --rate who searches (0: full rate). Each turn is --seconds long, half of it with the writer.
 */
#include "base/clock.h"
#include "base/rng.h"

#include <cairn/cairn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LOW_DIM 16u
#define CLUSTERS 256u
#define QUERIES 512u
#define POOL 4096u /* rows and noises that new rows are made of */
#define SAMPLES_MAX (1u << 22)
#define STATS_EVERY 10u /* seconds of --sustain: statistics count all rows */

struct settings {
    uint32_t rows, dim, batch, seconds, tail, turns, sustain, pace, rate;
    const char *quantization, *index, *folder;
};

struct stage {
    struct settings s;
    float *basis;   /* [LOW_DIM][dim] */
    float *centres; /* [CLUSTERS][LOW_DIM] */
    float *queries; /* [QUERIES][dim] */
    float *pool;    /* [POOL][dim] */
    float *noise;   /* [POOL][dim] */
    cairn_db *db;
    cairn_collection *collection;
    _Atomic bool stop, pause;
    _Atomic bool paused; /* the writer heard of it */
    _Atomic uint64_t written;
    _Atomic uint32_t slowest_us; /* of the batches of the present second */
    uint32_t next_row;
};

static void must(cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return;
    fprintf(stderr, "bench_mixed: %s: %s\n", cairn_status_name(status), err->message);
    exit(1);
}

/* ---- data ---- */

/* Clusters in a few dimensions, a linear image of them, and a little noise. */
static void make_row(const struct stage *stage, struct crn_rng *rng, float *out)
{
    const float *centre = stage->centres + (size_t)crn_rng_below(rng, CLUSTERS) * LOW_DIM;
    const uint32_t dim = stage->s.dim;

    for (uint32_t d = 0; d < dim; d++) out[d] = 0.05F * (float)crn_rng_normal(rng);
    for (uint32_t i = 0; i < LOW_DIM; i++) {
        const float low = centre[i] + 0.4F * (float)crn_rng_normal(rng);
        for (uint32_t d = 0; d < dim; d++) out[d] += low * stage->basis[(size_t)i * dim + d];
    }
}

/* A row like no other, for little work: making whole ones would slow the writer down. */
static void vary_row(const struct stage *stage, struct crn_rng *rng, float *out)
{
    const uint32_t dim = stage->s.dim;
    const float *row = stage->pool + (size_t)crn_rng_below(rng, POOL) * dim;
    const float *noise = stage->noise + (size_t)crn_rng_below(rng, POOL) * dim;
    const float share = (float)crn_rng_unit(rng);

    for (uint32_t d = 0; d < dim; d++) out[d] = row[d] + share * noise[d];
}

static void make_data(struct stage *stage)
{
    struct crn_rng rng;

    crn_rng_init(&rng, 7);
    stage->basis = malloc((size_t)LOW_DIM * stage->s.dim * sizeof(float));
    stage->centres = malloc((size_t)CLUSTERS * LOW_DIM * sizeof(float));
    stage->queries = malloc((size_t)QUERIES * stage->s.dim * sizeof(float));
    for (size_t i = 0; i < (size_t)LOW_DIM * stage->s.dim; i++)
        stage->basis[i] = (float)(crn_rng_normal(&rng) / 4);
    for (size_t i = 0; i < (size_t)CLUSTERS * LOW_DIM; i++) stage->centres[i] = (float)crn_rng_normal(&rng);
    for (size_t q = 0; q < QUERIES; q++) make_row(stage, &rng, stage->queries + q * stage->s.dim);
    stage->pool = malloc((size_t)POOL * stage->s.dim * sizeof(float));
    stage->noise = malloc((size_t)POOL * stage->s.dim * sizeof(float));
    for (size_t i = 0; i < POOL; i++) make_row(stage, &rng, stage->pool + i * stage->s.dim);
    for (size_t i = 0; i < (size_t)POOL * stage->s.dim; i++)
        stage->noise[i] = 0.1F * (float)crn_rng_normal(&rng);
}

struct batch {
    uint32_t count, dim;
    cairn_pattern *patterns;
    float *vectors;
    char (*ids)[24];
};

static void batch_init(struct batch *batch, uint32_t count, uint32_t dim)
{
    batch->count = count;
    batch->dim = dim;
    batch->patterns = calloc(count, sizeof *batch->patterns);
    batch->vectors = malloc((size_t)count * dim * sizeof *batch->vectors);
    batch->ids = malloc(count * sizeof *batch->ids);
}

static void batch_release(struct batch *batch)
{
    free(batch->patterns);
    free(batch->vectors);
    free(batch->ids);
}

static void batch_fill(struct batch *batch, const struct stage *stage, struct crn_rng *rng)
{
    for (uint32_t i = 0; i < batch->count; i++) make_row(stage, rng, batch->vectors + (size_t)i * batch->dim);
}

static void batch_write(struct batch *batch, struct stage *stage, uint32_t count)
{
    cairn_error err;

    for (uint32_t i = 0; i < count; i++) {
        snprintf(batch->ids[i], sizeof batch->ids[i], "row-%u", stage->next_row++);
        batch->patterns[i] = (cairn_pattern){.size = sizeof *batch->patterns,
                                             .id = batch->ids[i],
                                             .vector = batch->vectors + (size_t)i * batch->dim};
    }
    must(cairn_insert(stage->collection, batch->patterns, count, &err), &err);
}

static void fill_database(struct stage *stage, const char *path)
{
    const cairn_open_options open = {.size = sizeof open, .tail_rows_max = 1u << 22, .no_background = true};
    cairn_collection_options options = {.size = sizeof options, .dim = stage->s.dim, .index = stage->s.index};
    struct batch batch;
    struct crn_rng rng;
    cairn_error err;

    if (strcmp(stage->s.quantization, "scalar") == 0) options.quantization = CAIRN_QUANTIZATION_SCALAR;
    crn_rng_init(&rng, 1);
    must(cairn_open(path, &open, &stage->db, &err), &err);
    must(cairn_collection_open(stage->db, "rows", &options, &stage->collection, &err), &err);
    batch_init(&batch, 1000, stage->s.dim);
    while (stage->next_row < stage->s.rows) {
        const uint32_t left = stage->s.rows - stage->next_row;
        batch_fill(&batch, stage, &rng);
        batch_write(&batch, stage, left < 1000 ? left : 1000);
    }
    batch_release(&batch);
    must(cairn_optimize(stage->collection, NULL, NULL, &err), &err);
    cairn_collection_close(stage->collection);
    cairn_close(stage->db);
}

/* ---- searching ---- */

/* What the thread did during searches of SLOW_NS and more. */
#define SLOW_NS 500000u
struct slow {
    uint64_t searches, scanned; /* scanned: not answered by indexes alone */
    double seconds, cpu_seconds;
    long faults, waits, preempted; /* waits: for a lock or the disk */
};

struct latencies {
    uint32_t *samples_us; /* [SAMPLES_MAX], in tenths of a microsecond */
    size_t count;
    double seconds;
    struct slow slow;
};

static double thread_cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void note_slow(struct slow *slow, uint64_t took_ns, double cpu_seconds, const struct rusage *before,
                      const cairn_results *results)
{
    cairn_search_info info = {.size = sizeof info};
    struct rusage after;

    getrusage(RUSAGE_THREAD, &after);
    cairn_results_info(results, &info);
    slow->searches++;
    slow->scanned += info.rows_scored > 2000;
    slow->seconds += (double)took_ns / 1e9;
    slow->cpu_seconds += cpu_seconds;
    slow->faults += after.ru_minflt + after.ru_majflt - before->ru_minflt - before->ru_majflt;
    slow->waits += after.ru_nvcsw - before->ru_nvcsw;
    slow->preempted += after.ru_nivcsw - before->ru_nivcsw;
}

static void print_slow(const struct slow *slow)
{
    if (slow->searches == 0) return;
    printf(
        "%-14s %8llu of %.1f ms and more: %.3f s, %.3f s of it computing; %llu scanned; %ld times preempted, %ld waits, %ld faults\n",
        "", (unsigned long long)slow->searches, SLOW_NS / 1e6, slow->seconds, slow->cpu_seconds,
        (unsigned long long)slow->scanned, slow->preempted, slow->waits, slow->faults);
}

static uint64_t search_ns(struct stage *stage, const float *vector, uint32_t k, cairn_results **out_results)
{
    const cairn_query query = {.size = sizeof query, .vector = vector, .k = k};
    const uint64_t began_ns = crn_clock_ns();
    cairn_error err;

    must(cairn_search(stage->collection, &query, out_results, &err), &err);
    return crn_clock_ns() - began_ns;
}

static void await_turn(const struct stage *stage, uint64_t began_ns, size_t done)
{
    if (stage->s.rate == 0) return;
    const uint64_t due_ns = began_ns + done * 1000000000u / stage->s.rate;
    const struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                 .tv_nsec = (long)(due_ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

/* Adds to what is there. */
static void search_on(struct stage *stage, double seconds, struct latencies *out)
{
    const uint64_t began_ns = crn_clock_ns();
    const uint64_t end_ns = began_ns + (uint64_t)(seconds * 1e9);
    const size_t already = out->count;

    for (size_t q = 0; crn_clock_ns() < end_ns && out->count < SAMPLES_MAX; q = (q + 1) % QUERIES) {
        await_turn(stage, began_ns, out->count - already);
        cairn_results *results;
        struct rusage before;
        getrusage(RUSAGE_THREAD, &before);
        const double cpu_seconds = thread_cpu_seconds();
        const uint64_t took_ns = search_ns(stage, stage->queries + q * stage->s.dim, 10, &results);
        if (took_ns >= SLOW_NS)
            note_slow(&out->slow, took_ns, thread_cpu_seconds() - cpu_seconds, &before, results);
        cairn_results_free(results);
        out->samples_us[out->count++] = (uint32_t)(took_ns / 100);
    }
    out->seconds += (double)(crn_clock_ns() - began_ns) / 1e9;
}

static void search_for(struct stage *stage, double seconds, struct latencies *out)
{
    *out = (struct latencies){.samples_us = out->samples_us};
    search_on(stage, seconds, out);
}

static int by_u32(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* In milliseconds; after sort_latencies. */
static double percentile(const struct latencies *latencies, double part)
{
    const size_t i = (size_t)(part * (double)latencies->count);
    return latencies->count == 0
               ? 0
               : latencies->samples_us[i < latencies->count ? i : latencies->count - 1] / 1e4;
}

static void sort_latencies(struct latencies *latencies)
{
    qsort(latencies->samples_us, latencies->count, sizeof *latencies->samples_us, by_u32);
}

static void print_latencies(const char *what, const struct latencies *l)
{
    printf("%-14s %8zu searches, %7.0f/s   p50 %7.3f   p99 %7.3f   p999 %7.3f   max %7.3f ms\n", what,
           l->count, (double)l->count / l->seconds, percentile(l, 0.5), percentile(l, 0.99),
           percentile(l, 0.999), percentile(l, 1));
    print_slow(&l->slow);
}

/* ---- writing ---- */

static void expect_found(struct stage *stage, const struct batch *batch)
{
    const uint32_t last = batch->count - 1;
    cairn_results *results;

    bool found = false;

    /* Rows made of the same parts may lie at the same place. */
    search_ns(stage, batch->vectors + (size_t)last * batch->dim, 5, &results);
    for (size_t i = 0; i < cairn_results_count(results); i++)
        found |= strcmp(cairn_results_at(results, i)->id.text, batch->ids[last]) == 0;
    cairn_results_free(results);
    if (found) return;
    fprintf(stderr, "bench_mixed: %s was written and is not found\n", batch->ids[last]);
    exit(1);
}

static void note_batch(struct stage *stage, uint32_t took_us)
{
    uint32_t slowest_us = atomic_load(&stage->slowest_us);

    while (took_us > slowest_us && !atomic_compare_exchange_weak(&stage->slowest_us, &slowest_us, took_us))
        continue;
}

static void *write_on(void *arg)
{
    struct stage *stage = arg;
    struct batch batch;
    struct crn_rng rng;
    const uint64_t began_ns = crn_clock_ns();

    crn_rng_init(&rng, 2);
    batch_init(&batch, stage->s.batch, stage->s.dim);
    for (uint64_t n = 0; !atomic_load(&stage->stop); n++) {
        for (; atomic_load(&stage->pause) && !atomic_load(&stage->stop); usleep(1000))
            atomic_store(&stage->paused, true);
        for (uint32_t i = 0; i < batch.count; i++)
            vary_row(stage, &rng, batch.vectors + (size_t)i * batch.dim);
        const uint64_t before_ns = crn_clock_ns();
        batch_write(&batch, stage, batch.count);
        note_batch(stage, (uint32_t)((crn_clock_ns() - before_ns) / 1000));
        const uint64_t written = atomic_fetch_add(&stage->written, batch.count) + batch.count;
        if (n % 10 == 0) expect_found(stage, &batch);
        if (stage->s.pace == 0) continue;
        const double ahead_s = (double)written / stage->s.pace - (double)(crn_clock_ns() - began_ns) / 1e9;
        if (ahead_s > 0) usleep((useconds_t)(ahead_s * 1e6));
    }
    batch_release(&batch);
    return NULL;
}

/* A number of the space, as the statistics tell it. */
/* Rows in tails, and segments. */
static void read_stats(struct stage *stage, long *tail, long *segments)
{
    const char *const keys[] = {"\"tail_rows\":", "\"segments\":"};
    long *const numbers[] = {tail, segments};
    cairn_error err;
    char *json;

    must(cairn_collection_stats(stage->collection, &json, &err), &err);
    const char *spaces = strstr(json, "\"spaces\"");
    for (int i = 0; i < 2; i++) {
        const char *at = spaces == NULL ? NULL : strstr(spaces, keys[i]);
        *numbers[i] = at == NULL ? -1 : strtol(at + strlen(keys[i]), NULL, 10);
    }
    cairn_free(json);
}

/* The writer writes and stops in turns. What it leaves is searched as it is: maintenance may still be at it. */
static void take_turns(struct stage *stage, struct latencies *stopped, struct latencies *beside)
{
    *stopped = (struct latencies){.samples_us = stopped->samples_us};
    *beside = (struct latencies){.samples_us = beside->samples_us};
    for (uint32_t i = 0; i < stage->s.turns; i++) {
        search_on(stage, stage->s.seconds / 2.0, beside);
        atomic_store(&stage->paused, false);
        atomic_store(&stage->pause, true);
        while (!atomic_load(&stage->paused)) usleep(1000);
        search_on(stage, stage->s.seconds / 2.0, stopped);
        atomic_store(&stage->pause, false);
    }
    sort_latencies(stopped);
    sort_latencies(beside);
    print_latencies("it stopped", stopped);
    print_latencies("it writing", beside);
    printf("in turns: p50 %.2f times, p99 %.2f times, p999 %.2f times\n",
           percentile(beside, 0.5) / percentile(stopped, 0.5),
           percentile(beside, 0.99) / percentile(stopped, 0.99),
           percentile(beside, 0.999) / percentile(stopped, 0.999));
}

static void measure(struct stage *stage)
{
    struct latencies alone = {.samples_us = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    struct latencies beside = {.samples_us = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    pthread_t writer;

    search_for(stage, stage->s.seconds / 4.0 + 1, &alone); /* until all is mapped, verified and opened */
    search_for(stage, stage->s.seconds, &alone);
    sort_latencies(&alone);
    print_latencies("alone", &alone);
    const uint64_t began_ns = crn_clock_ns();
    if (pthread_create(&writer, NULL, write_on, stage) != 0) exit(1);
    search_for(stage, stage->s.seconds, &beside);
    const double seconds = (double)(crn_clock_ns() - began_ns) / 1e9;
    const uint64_t written = atomic_load(&stage->written);
    long tail, segments;
    read_stats(stage, &tail, &segments);
    sort_latencies(&beside);
    print_latencies("with a writer", &beside);
    printf(
        "writer %.0f rows/s; p50 %.2f times, p99 %.2f times, p999 %.2f times; tail %ld rows, %ld segments\n",
        (double)written / seconds, percentile(&beside, 0.5) / percentile(&alone, 0.5),
        percentile(&beside, 0.99) / percentile(&alone, 0.99),
        percentile(&beside, 0.999) / percentile(&alone, 0.999), tail, segments);
    if (stage->s.turns != 0) take_turns(stage, &alone, &beside);
    atomic_store(&stage->stop, true);
    pthread_join(writer, NULL);
    free(alone.samples_us);
    free(beside.samples_us);
}

static double process_cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add_samples(struct latencies *all, const struct latencies *some)
{
    const size_t left = SAMPLES_MAX - all->count, count = some->count < left ? some->count : left;

    memcpy(all->samples_us + all->count, some->samples_us, count * sizeof *some->samples_us);
    all->count += count;
    all->seconds += some->seconds;
}

static void sustain(struct stage *stage)
{
    struct latencies second = {.samples_us = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    struct latencies all = {.samples_us = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    const double cpu_before = process_cpu_seconds() - thread_cpu_seconds();
    const uint64_t began_ns = crn_clock_ns();
    long tail_most = 0, segments_most = 0;
    uint32_t slowest_us = 0;
    uint64_t before = 0, before_ns = began_ns;
    pthread_t writer;

    if (pthread_create(&writer, NULL, write_on, stage) != 0) exit(1);
    long tail = 0, segments = 0;
    for (unsigned turn = 0; before_ns - began_ns < (uint64_t)stage->s.sustain * 1000000000u; turn++) {
        search_for(stage, 1, &second);
        add_samples(&all, &second);
        sort_latencies(&second);
        if (turn % STATS_EVERY == 0) read_stats(stage, &tail, &segments);
        const uint64_t written = atomic_load(&stage->written), now_ns = crn_clock_ns();
        const uint32_t batch_us = atomic_exchange(&stage->slowest_us, 0);
        printf(
            "%4u s %8.0f rows/s, slowest batch %6.1f ms   p50 %7.3f   p99 %7.3f   max %7.3f ms   tail %6ld rows, %3ld segments\n",
            (unsigned)((now_ns - began_ns) / 1000000000u),
            (double)(written - before) * 1e9 / (double)(now_ns - before_ns), batch_us / 1e3,
            percentile(&second, 0.5), percentile(&second, 0.99), percentile(&second, 1), tail, segments);
        if (batch_us > slowest_us) slowest_us = batch_us;
        fflush(stdout);
        before = written;
        before_ns = now_ns;
        if (tail > tail_most) tail_most = tail;
        if (segments > segments_most) segments_most = segments;
    }
    atomic_store(&stage->stop, true);
    pthread_join(writer, NULL);
    printf(
        "sustained %.0f rows/s over %.1f s; slowest batch %.1f ms, longest tail %ld rows, most segments %ld\n",
        (double)atomic_load(&stage->written) / ((double)(crn_clock_ns() - began_ns) / 1e9),
        (double)(crn_clock_ns() - began_ns) / 1e9, slowest_us / 1e3, tail_most, segments_most);
    printf("CPU of writing and maintenance: %.1f us a row\n",
           (process_cpu_seconds() - thread_cpu_seconds() - cpu_before) * 1e6 /
               (double)atomic_load(&stage->written));
    sort_latencies(&all);
    print_latencies("all searches", &all);
    free(second.samples_us);
    free(all.samples_us);
}

/* ---- the program ---- */

static void parse(int argc, char **argv, struct settings *s)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const uint32_t number = (uint32_t)strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--rows") == 0)
            s->rows = number;
        else if (strcmp(argv[i], "--dim") == 0)
            s->dim = number;
        else if (strcmp(argv[i], "--batch") == 0)
            s->batch = number;
        else if (strcmp(argv[i], "--seconds") == 0)
            s->seconds = number;
        else if (strcmp(argv[i], "--tail") == 0)
            s->tail = number;
        else if (strcmp(argv[i], "--turns") == 0)
            s->turns = number;
        else if (strcmp(argv[i], "--rate") == 0)
            s->rate = number;
        else if (strcmp(argv[i], "--sustain") == 0)
            s->sustain = number;
        else if (strcmp(argv[i], "--pace") == 0)
            s->pace = number;
        else if (strcmp(argv[i], "--quantization") == 0)
            s->quantization = value;
        else if (strcmp(argv[i], "--index") == 0)
            s->index = value;
        else if (strcmp(argv[i], "--dir") == 0)
            s->folder = value;
        else {
            fprintf(stderr, "bench_mixed: unknown option %s\n", argv[i]);
            exit(2);
        }
    }
    if (s->dim != 0 && s->batch != 0 && s->seconds != 0) return;
    fprintf(stderr, "bench_mixed: --dim, --batch and --seconds are above 0\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static struct stage stage = {.s = {.rows = 200000,
                                       .dim = 384,
                                       .batch = 100,
                                       .seconds = 10,
                                       .tail = 16384,
                                       .quantization = "none",
                                       .index = "flat",
                                       .folder = "/tmp"}};
    char folder[256], path[300], command[320];
    cairn_error err;

    parse(argc, argv, &stage.s);
    make_data(&stage);
    snprintf(folder, sizeof folder, "%s/cairn-bench-XXXXXX", stage.s.folder);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    printf("%u rows of dim %u, index %s, quantization %s, batches of %u, tail %u\n", stage.s.rows,
           stage.s.dim, stage.s.index, stage.s.quantization, stage.s.batch, stage.s.tail);
    fill_database(&stage, path);
    const cairn_open_options open = {.size = sizeof open, .must_exist = true, .tail_rows_max = stage.s.tail};
    must(cairn_open(path, &open, &stage.db, &err), &err);
    must(cairn_collection_open(stage.db, "rows", NULL, &stage.collection, &err), &err);
    if (stage.s.sustain != 0)
        sustain(&stage);
    else
        measure(&stage);
    cairn_collection_close(stage.collection);
    cairn_close(stage.db);
    free(stage.noise);
    free(stage.pool);
    free(stage.queries);
    free(stage.centres);
    free(stage.basis);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
