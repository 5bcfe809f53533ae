/*
 * What a program has of a database that is there: the time to open it and to answer the first query, then recall and speed of
 * searches by one thread, one query a call of cairn_search, ids and scores read; and the most memory the process ever held.
 *
 *   cairn import big.cairn BASE.fvecs --metric l2 --index ivf
 *   bench_search big.cairn QUERIES.fvecs TRUTH.ivecs [--ef|--nprobe N,N,...] [--copied]
 *                [--collection NAME] [--json MEMBERS]
 *
 * Ids are the rows' numbers, as import gives them. Efforts of 0, the default, leave the choice to the index. At each a pass over all
 * queries, which is told when it is the first of them all, gives the recall; then passes until there are three and 0.4 seconds of
 * them, and the one in the middle is the speed: the rule of bench/peers. Results count by their ids alone. At the end stands the speed at a
 * recall of .90, .95 and .99, log-linear between the points of the curve's upper edge.
 *
 * --copied: cairn_open_options.index_memory = CAIRN_INDEX_COPIED. --json MEMBERS: points as JSON lines alone, for bench/peers/curve.py,
 * each with these members ("cfg": "graph"); then the sweep ends at a recall of .995, as theirs do.
 */
#include "base/clock.h"
#include "cli/matrix.h"

#include <cairn/cairn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K 10
#define EFFORTS_MAX 64
#define PASSES_MIN 3
#define PASSES_MS 400.0
#define ENOUGH 0.995

struct setup {
    const char *db, *collection, *queries, *truth, *members; /* members: of JSON lines, or NULL */
    uint32_t efforts[EFFORTS_MAX];
    size_t effort_count;
    bool nprobe, copied;
};

struct point {
    uint32_t effort;
    double recall, qps, p50_ms, p99_ms;
};

static cairn_collection *collection;
static struct crn_cli_matrix queries, truth;

static void must(cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return;
    fprintf(stderr, "bench_search: %s: %s\n", cairn_status_name(status), err->message);
    exit(1);
}

static double ms_since(uint64_t begin_ns)
{
    return (double)(crn_clock_ns() - begin_ns) / 1e6;
}

/* A line of /proc/self/status in MiB; 0 where there is none. */
static double memory_mib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[200];
    double kib = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) kib = strtod(line + strlen(name) + 1, NULL);
    }
    if (file != NULL) fclose(file);
    return kib / 1024;
}

static void tell_memory(void)
{
    printf("memory: %.0f MiB at most, now %.0f anonymous and %.0f of mapped files\n", memory_mib("VmHWM"),
           memory_mib("RssAnon"), memory_mib("RssFile"));
}

static uint64_t number_of(const cairn_id *id)
{
    return id->type == CAIRN_ID_U64 ? id->u64 : strtoull(id->text, NULL, 10);
}

/* Asks for one query; the ids found into found[K], and how many. */
static size_t search(const struct setup *s, uint32_t effort, size_t q, uint64_t *found)
{
    cairn_results *results;
    cairn_error err;
    float score = 0;

    must(cairn_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = queries.floats + q * queries.columns,
                                    .dim = queries.columns, .k = K, .ef = s->nprobe ? 0 : effort,
                                    .nprobe = s->nprobe ? effort : 0),
                      &results, &err),
         &err);
    const size_t count = cairn_results_count(results);
    for (size_t i = 0; i < count; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        found[i] = number_of(&hit->id);
        score += hit->score;
    }
    __asm__ volatile("" : : "r"(&score) : "memory"); /* the scores were read */
    cairn_results_free(results);
    return count;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* A pass over all queries: what each took into took_ms. Returns the sum; *right: how many of the true nearest were found. */
static double pass(const struct setup *s, uint32_t effort, double *took_ms, size_t *right)
{
    double sum_ms = 0;

    *right = 0;
    for (size_t q = 0; q < queries.rows; q++) {
        uint64_t found[K];
        const uint64_t begin_ns = crn_clock_ns();
        const size_t count = search(s, effort, q, found);
        sum_ms += took_ms[q] = ms_since(begin_ns);
        const uint32_t *nearest = truth.ids + q * truth.columns;
        for (size_t i = 0; i < count; i++) {
            for (size_t t = 0; t < K; t++) *right += nearest[t] == found[i];
        }
    }
    return sum_ms;
}

static struct point measure(const struct setup *s, uint32_t effort, bool first)
{
    const size_t n = queries.rows;
    double *took_ms = malloc(n * sizeof *took_ms), *sums = NULL, total = 0;
    struct point point = {.effort = effort};
    size_t right, passes = 0;

    double sum_ms = pass(s, effort, took_ms, &right);
    if (first && s->members == NULL) printf("the first pass: %.0f searches/s\n", (double)n * 1000 / sum_ms);
    for (; passes < PASSES_MIN || total < PASSES_MS; total += sum_ms) {
        sums = realloc(sums, (passes + 1) * sizeof *sums);
        sum_ms = sums[passes++] = pass(s, effort, took_ms, &right);
    }
    qsort(sums, passes, sizeof *sums, ascending);
    qsort(took_ms, n, sizeof *took_ms, ascending); /* of the last pass */
    point.recall = (double)right / (double)(K * n);
    point.qps = (double)n * 1000 / sums[passes / 2];
    point.p50_ms = took_ms[n / 2];
    point.p99_ms = took_ms[n * 99 / 100];
    free(took_ms);
    free(sums);
    return point;
}

static void tell(const struct setup *s, const struct point *p)
{
    const char *knob = s->nprobe ? "nprobe" : "ef";

    if (s->members != NULL) {
        printf("{\"lib\": \"cairn\", %s, \"%s\": %u, \"recall\": %.5f, \"qps\": %.1f, \"p50_ms\": %.4f, "
               "\"p99_ms\": %.4f}\n",
               s->members, knob, p->effort, p->recall, p->qps, p->p50_ms, p->p99_ms);
    } else {
        printf("%s %u: recall@%d %.4f, %.0f searches/s, p50 %.3f ms, p99 %.3f ms\n", knob, p->effort, K,
               p->recall, p->qps, p->p50_ms, p->p99_ms);
    }
    fflush(stdout);
}

/* The speed at a recall, as bench/peers/curve.py has it: between the fastest point that has it and the best that is faster. */
static void tell_speed_at(double recall, const struct point *points, size_t count)
{
    const struct point *above = NULL, *below = NULL;

    for (size_t i = 0; i < count; i++) {
        if (points[i].recall >= recall && (above == NULL || points[i].qps > above->qps)) above = points + i;
    }
    for (size_t i = 0; above != NULL && i < count; i++) {
        if (points[i].qps > above->qps && (below == NULL || points[i].recall > below->recall))
            below = points + i;
    }
    if (above == NULL) {
        printf("recall %.2f: not reached\n", recall);
    } else if (below == NULL) {
        printf("recall %.2f: %.0f searches/s at least\n", recall, above->qps);
    } else {
        const double share = (recall - below->recall) / (above->recall - below->recall);
        printf("recall %.2f: %.0f searches/s\n", recall, below->qps * pow(above->qps / below->qps, share));
    }
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: bench_search DB QUERIES TRUTH [--ef|--nprobe N,...] [--copied] [--collection NAME] [--json MEMBERS]\n");
    exit(2);
}

static struct setup setup_of(int argc, char **argv)
{
    struct setup s = {.collection = "default", .effort_count = 1};

    if (argc < 4) usage();
    s.db = argv[1];
    s.queries = argv[2];
    s.truth = argv[3];
    for (int i = 4; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--copied") == 0) {
            s.copied = true;
        } else if (strcmp(argv[i], "--collection") == 0 && more) {
            s.collection = argv[++i];
        } else if (strcmp(argv[i], "--json") == 0 && more) {
            s.members = argv[++i];
        } else if ((strcmp(argv[i], "--ef") == 0 || strcmp(argv[i], "--nprobe") == 0) && more) {
            s.nprobe = strcmp(argv[i++], "--nprobe") == 0;
            s.effort_count = 0;
            for (char *at = argv[i]; *at != '\0' && s.effort_count < EFFORTS_MAX; at += *at == ',')
                s.efforts[s.effort_count++] = (uint32_t)strtoul(at, &at, 10);
        } else {
            usage();
        }
    }
    return s;
}

int main(int argc, char **argv)
{
    const struct setup s = setup_of(argc, argv);
    struct point points[EFFORTS_MAX];
    uint64_t found[K];
    cairn_error err;
    cairn_db *db;

    must(crn_cli_matrix_read_floats(s.queries, NULL, UINT64_MAX, NULL, &queries, &err), &err);
    must(crn_cli_matrix_read_ids(s.truth, NULL, UINT64_MAX, &truth, &err), &err);
    if (truth.rows != queries.rows || truth.columns < K) {
        fprintf(stderr,
                "bench_search: %s: %d neighbors of %llu queries are asked for, there are %u of %llu\n",
                s.truth, K, (unsigned long long)queries.rows, truth.columns, (unsigned long long)truth.rows);
        return 1;
    }
    const uint64_t begin_ns = crn_clock_ns();
    must(cairn_open(s.db,
                    CAIRN_OPTIONS(cairn_open_options, .must_exist = true, .no_background = true,
                                  .index_memory = s.copied ? CAIRN_INDEX_COPIED : CAIRN_INDEX_MAPPED),
                    &db, &err),
         &err);
    must(cairn_collection_open(db, s.collection, NULL, &collection, &err), &err);
    if (s.members == NULL) printf("open: %.1f ms\n", ms_since(begin_ns));
    (void)search(&s, 0, 0, found);
    if (s.members == NULL) printf("open and first search: %.1f ms\n", ms_since(begin_ns));
    for (size_t i = 0; i < s.effort_count; i++) {
        points[i] = measure(&s, s.efforts[i], i == 0);
        tell(&s, points + i);
        if (s.members != NULL && points[i].recall >= ENOUGH) break;
    }
    if (s.members == NULL) {
        tell_speed_at(0.90, points, s.effort_count);
        tell_speed_at(0.95, points, s.effort_count);
        tell_speed_at(0.99, points, s.effort_count);
        tell_memory();
    }
    cairn_collection_close(collection);
    cairn_close(db);
    crn_cli_matrix_release(&queries);
    crn_cli_matrix_release(&truth);
    return 0;
}
