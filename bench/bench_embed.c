/*
 * bench_embed: does "cairn-ngram-1" find a text by a few of its words?
 *
 * The texts are lines: of the file given, or the names and synopses of Debian's packages (some 60,000 on
 * Debian 12). A query is made from a text drawn by chance, in four ways, and counts as a hit when that text
 * is among the 10 nearest of all. A table shows the share of hits and the texts embedded in a second on one
 * core, for several dims. The weights of embed/ngram.c were chosen on such texts. Ties and near copies among
 * them keep even a perfect search below 1. It measures no synonyms and no long texts.
 *
 *   bench_embed [--queries N] [--seed N] [file]
 */
#include "base/clock.h"
#include "base/rng.h"
#include "quant/flat_scan.h"

#include <cairn/embed.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 200000
#define QUERIES_MAX 2000
#define K 10
#define WORD_MAX 40 /* bytes of a word, a change and the NUL included */
#define QUERY_WORDS 3
#define WORDS_MAX 64 /* of a text that are looked at */
#define BLOCK_ROWS 512

/* Much faster than `apt-cache search .`, which searches. Lines are "name - synopsis". */
static const char list_packages[] =
    "apt-cache dumpavail 2>/dev/null | awk '/^Package: /{name=$2} "
    "/^Description(-en)?: /{sub(/^[^:]*: /, \"\"); print name \" - \" $0}' | LC_ALL=C sort -u";

enum kind { IN_A_ROW, ANY, TYPOS, INFLECTED, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = {"in a row", "any three", "typos", "inflected"};
static const uint32_t dims[] = {128, 256, 384, 768, 1024};

struct query {
    size_t target; /* the text it was made from */
    char text[QUERY_WORDS * WORD_MAX];
};

static char *texts[TEXTS_MAX];
static size_t text_count;
static struct query queries[KIND_COUNT][QUERIES_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "bench_embed: %s\n", what);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) fail("no memory");
    return memory;
}

static void read_texts(const char *path)
{
    FILE *in = path != NULL ? fopen(path, "r") : popen(list_packages, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (in == NULL) fail("cannot read the texts");
    while (text_count < TEXTS_MAX && (len = getline(&line, &cap, in)) > 0) {
        if (line[len - 1] == '\n') line[len - 1] = '\0';
        texts[text_count++] = line;
        line = NULL;
        cap = 0;
    }
    free(line);
    if (path != NULL) {
        fclose(in);
    } else {
        pclose(in);
    }
}

/* The text's words of `letters_min` ASCII letters and digits or more. Returns how many there are. */
static size_t split(const char *text, size_t letters_min, char words[][WORD_MAX])
{
    size_t count = 0;

    while (*text != '\0' && count < WORDS_MAX) {
        size_t len = 0;
        while (isalnum((unsigned char)text[len])) len++;
        if (len >= letters_min && len > 0 && len < WORD_MAX - 4) {
            memcpy(words[count], text, len);
            words[count++][len] = '\0';
        }
        text += len > 0 ? len : 1;
    }
    return count;
}

/* One letter left out, put in, replaced or swapped with the next, not at the word's ends. */
static void make_typo(struct crn_rng *rng, char *word)
{
    size_t len = strlen(word), at = 1 + crn_rng_below(rng, len - 2);
    char letter = (char)('a' + crn_rng_below(rng, 26));

    switch (crn_rng_below(rng, 4)) {
    case 0:
        memmove(word + at, word + at + 1, len - at);
        break;
    case 1:
        memmove(word + at + 1, word + at, len - at + 1);
        word[at] = letter;
        break;
    case 2:
        word[at] = letter;
        break;
    default:
        letter = word[at];
        word[at] = word[at + 1];
        word[at + 1] = letter;
    }
}

static bool cut_ending(char *word, const char *ending)
{
    size_t len = strlen(word), ending_len = strlen(ending);

    if (len < ending_len + 3 || strcmp(word + len - ending_len, ending) != 0) return false;
    word[len - ending_len] = '\0';
    return true;
}

/* "files" to "file", "tests" to "test", "reading" to "read", "read" to "reading" or "reads". */
static void inflect(struct crn_rng *rng, char *word)
{
    if (cut_ending(word, "ing") || cut_ending(word, "ed") || cut_ending(word, "s")) return;
    size_t len = strlen(word);
    snprintf(word + len, WORD_MAX - len, "%s", crn_rng_below(rng, 2) == 0 ? "s" : "ing");
}

static void shuffle(struct crn_rng *rng, char words[][WORD_MAX], size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = crn_rng_below(rng, i);
        char word[WORD_MAX];
        memcpy(word, words[i - 1], WORD_MAX);
        memmove(words[i - 1], words[j], WORD_MAX);
        memcpy(words[j], word, WORD_MAX);
    }
}

/* False when the text has too few words for a query. */
static bool make_query(struct crn_rng *rng, enum kind kind, size_t target, struct query *query)
{
    char words[WORDS_MAX][WORD_MAX];
    size_t count = split(texts[target], kind == IN_A_ROW ? 1 : 4, words), first = 0;

    if (count < QUERY_WORDS + 1) return false;
    if (kind == IN_A_ROW) {
        first = crn_rng_below(rng, count - QUERY_WORDS + 1);
    } else {
        shuffle(rng, words, count);
    }
    query->target = target;
    query->text[0] = '\0';
    for (size_t i = first; i < first + QUERY_WORDS; i++) {
        if (kind == TYPOS) make_typo(rng, words[i]);
        if (kind == INFLECTED) inflect(rng, words[i]);
        size_t len = strlen(query->text);
        snprintf(query->text + len, sizeof query->text - len, "%s%s", i > first ? " " : "", words[i]);
    }
    return true;
}

static void make_queries(uint64_t seed, size_t query_count)
{
    struct crn_rng rng;
    size_t tries = 0;

    crn_rng_init(&rng, seed);
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        for (size_t q = 0; q < query_count;) {
            if (make_query(&rng, kind, crn_rng_below(&rng, text_count), &queries[kind][q])) q++;
            if (tries++ > 100 * KIND_COUNT * QUERIES_MAX) fail("too few texts of four words and more");
        }
    }
}

static void embed(const cairn_embedder *embedder, const char *const *batch, size_t count, float *out)
{
    cairn_error err;

    if (embedder->embed(embedder->ctx, batch, count, out, &err) != CAIRN_OK) fail(err.message);
}

/* The share of queries whose own text is among the K nearest. Rows go in blocks that stay in the cache. */
static double hit_share(const float *rows, uint32_t dim, const float *vectors, const struct query *asked,
                        size_t query_count)
{
    struct crn_hit(*hits)[K] = allocate(query_count, sizeof *hits);
    struct crn_topk *tops = allocate(query_count, sizeof *tops);
    size_t found = 0;

    for (size_t q = 0; q < query_count; q++) crn_topk_init(&tops[q], hits[q], K);
    for (size_t row = 0; row < text_count; row += BLOCK_ROWS) {
        size_t n = text_count - row < BLOCK_ROWS ? text_count - row : BLOCK_ROWS;
        for (size_t q = 0; q < query_count; q++) {
            crn_flat_scan_f32(CRN_OP_DOT, vectors + q * dim, rows + row * dim, dim, n, row, NULL, &tops[q]);
        }
    }
    for (size_t q = 0; q < query_count; q++) {
        for (size_t i = 0; i < tops[q].count; i++) found += hits[q][i].label == asked[q].target;
    }
    free(tops);
    free(hits);
    return (double)found / (double)query_count;
}

static void bench_dim(uint32_t dim, size_t query_count)
{
    const char **batch = allocate(query_count, sizeof *batch);
    float *rows = allocate(text_count, dim * sizeof *rows);
    float *vectors = allocate(query_count, dim * sizeof *vectors);
    cairn_embedder *embedder;
    cairn_error err;

    if (cairn_embedder_ngram(dim, &embedder, &err) != CAIRN_OK) fail(err.message);
    uint64_t start = crn_clock_ns();
    embed(embedder, (const char *const *)texts, text_count, rows);
    double seconds = (double)(crn_clock_ns() - start) * 1e-9;

    printf("%5u %10.0f", dim, (double)text_count / seconds);
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        for (size_t q = 0; q < query_count; q++) batch[q] = queries[kind][q].text;
        embed(embedder, batch, query_count, vectors);
        printf(" %11.3f", hit_share(rows, dim, vectors, queries[kind], query_count));
        fflush(stdout);
    }
    printf("\n");
    cairn_embedder_free(embedder);
    free(vectors);
    free(rows);
    free(batch);
}

static size_t number(const char *text, size_t max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < 1 || value > max) fail("a number is out of its range");
    return value;
}

int main(int argc, char **argv)
{
    size_t query_count = 500, seed = 1;
    const char *path = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--queries") == 0 && i + 1 < argc) {
            query_count = number(argv[++i], QUERIES_MAX);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = number(argv[++i], SIZE_MAX);
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else {
            fail("usage: bench_embed [--queries N] [--seed N] [file]");
        }
    }
    read_texts(path);
    if (text_count == 0) {
        printf("bench_embed: skipped, no texts: give a file, or run it where apt has package lists\n");
        return 0;
    }
    make_queries(seed, query_count);
    printf("%zu texts, %zu queries of three words a kind, seed %zu: share of hit@%d\n\n", text_count,
           query_count, seed, K);
    printf("%5s %10s", "dim", "texts/s");
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) printf(" %11s", kind_names[kind]);
    printf("\n");
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) bench_dim(dims[i], query_count);

    for (size_t i = 0; i < text_count; i++) free(texts[i]);
    return 0;
}
