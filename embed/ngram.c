/*
 * "cairn-ngram-1": text to vector by feature hashing (Weinberger et al., ICML 2009). A text's features are
 * its words, its pairs of neighbouring words, and the letter trigrams of each word with its borders marked,
 * which carry typos and inflections. Each feature adds its weight, with a sign of its own, to one component
 * of its own, both taken from its hash. Then each sum is replaced by its signed square root, and the vector
 * is scaled to length 1.
 *
 * The weights know no statistics of a collection, so a text has one vector for ever. They were chosen on
 * Debian's package descriptions, as bench/bench_embed.c measures. What helped most: the square roots, which
 * keep a few strong features from drowning many weak ones, and one component a feature instead of two.
 * Trigrams alone do as well as all lengths from 3 to 5, and take less time.
 *
 * The output is a contract: the same bits on every machine. Sums are integers, and what follows are divisions
 * and square roots, which IEEE 754 rounds in one way only. Any change here is a new model name.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "embed/embedder.h"
#include "embed/ngram_words.h"

#include <cairn/embed.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MODEL "cairn-ngram-1"
#define DIM_DEFAULT 384u
#define DIM_MIN 16u

enum { SEED_WORD = 1, SEED_PAIR = 2, SEED_TRIGRAM = 3 };

/* Weights in 1/4096. */
#define ONE 4096
#define WEIGHT_WORD ONE
#define WEIGHT_COMMON_WORD 1638 /* 0.4 */
#define WEIGHT_PAIR 1638        /* 0.4 */
#define LOG_SLOPE 1420          /* 0.5 ln 2: seen n times counts 1 + 0.5 ln n */
#define TRIGRAMS_PER_WORD 2     /* length of all trigrams of a word together, against the word's own */

/* ---- the terms of a text, each once, with its count ---- */

/* Powers of two, as all sizes of the table. A table larger than SLOTS_KEPT is given back after its text, or
 * clearing it would slow down the next ones. */
#define SLOTS_FIRST 256u
#define SLOTS_KEPT 4096u
#define NO_WORD UINT32_MAX

struct term {
    uint64_t hash;
    uint32_t count; /* 0 = a free slot */
    uint32_t start; /* byte of the text where the word stands first; NO_WORD for a pair */
};

/* Open addressing with linear probing, at most half full. Words and pairs are told apart by their seeds. */
struct terms {
    struct term *slots;
    size_t slot_count;
    size_t used;
};

static struct term *find_slot(struct term *slots, size_t slot_count, uint64_t hash)
{
    size_t at = hash & (slot_count - 1);

    while (slots[at].count > 0 && slots[at].hash != hash) at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static void terms_release(struct terms *terms)
{
    crn_mem_free(terms->slots);
    *terms = (struct terms){0};
}

static void terms_clear(struct terms *terms)
{
    if (terms->slot_count > SLOTS_KEPT) {
        terms_release(terms);
    } else if (terms->used > 0) {
        memset(terms->slots, 0, terms->slot_count * sizeof *terms->slots);
        terms->used = 0;
    }
}

static size_t larger_size(const struct terms *terms)
{
    return terms->slot_count > 0 ? terms->slot_count * 2 : SLOTS_FIRST;
}

/* False when there is no memory. */
static bool terms_grow(struct terms *terms)
{
    size_t slot_count = larger_size(terms);
    struct term *slots = crn_mem_calloc(slot_count, sizeof *slots);

    if (slots == NULL) return false;
    for (size_t i = 0; i < terms->slot_count; i++) {
        const struct term *term = &terms->slots[i];
        if (term->count > 0) *find_slot(slots, slot_count, term->hash) = *term;
    }
    crn_mem_free(terms->slots);
    terms->slots = slots;
    terms->slot_count = slot_count;
    return true;
}

static cairn_status terms_add(struct terms *terms, uint64_t hash, uint32_t start, cairn_error *err)
{
    if (terms->used >= terms->slot_count / 2 && !terms_grow(terms)) {
        return crn_error_no_memory(err, larger_size(terms) * sizeof *terms->slots);
    }

    struct term *term = find_slot(terms->slots, terms->slot_count, hash);
    if (term->count == 0) {
        term->hash = hash;
        term->start = start;
        terms->used++;
    }
    term->count++;
    return CAIRN_OK;
}

static uint64_t pair_hash(const struct crn_ngram_word *first, const struct crn_ngram_word *second)
{
    char bytes[2 * sizeof first->bytes]; /* "<first><second>" */
    size_t first_len = first->starts[first->letters + 2], second_len = second->starts[second->letters + 2];

    memcpy(bytes, first->bytes, first_len);
    memcpy(bytes + first_len, second->bytes, second_len);
    return crn_hash64(bytes, first_len + second_len, SEED_PAIR);
}

/* Counts the words of text[0..len) and the pairs of neighbours. */
static cairn_status count_terms(struct terms *terms, const char *text, size_t len, cairn_error *err)
{
    struct crn_ngram_word words[2]; /* this one and the one before, in turn */
    size_t start = 0, pos = 0;

    terms_clear(terms);
    for (size_t n = 0; crn_ngram_word_next(text, len, &pos, &words[n % 2]); n++, start = pos) {
        const struct crn_ngram_word *word = &words[n % 2], *before = &words[(n + 1) % 2];
        uint64_t hash = crn_hash64(word->bytes, word->starts[word->letters + 2], SEED_WORD);
        CRN_TRY(terms_add(terms, hash, (uint32_t)start, err));
        if (n > 0) CRN_TRY(terms_add(terms, pair_hash(before, word), NO_WORD, err));
    }
    return CAIRN_OK;
}

/* ---- from terms to sums ---- */

struct sums {
    int64_t *values; /* [dim] */
    uint32_t dim;
};

static void add_feature(struct sums *sums, uint64_t hash, int64_t weight)
{
    uint64_t component = (hash >> 32) * sums->dim >> 32;

    sums->values[component] += hash & 1 ? weight : -weight;
}

/* weight * (1 + 0.5 ln count), the logarithm straight between powers of two. */
static int64_t sublinear(int64_t weight, uint32_t count)
{
    int octave = 31 - __builtin_clz(count);
    int64_t fraction = (int64_t)(count - (1u << octave)) * ONE >> octave;
    int64_t log2_count = (int64_t)octave * ONE + fraction;

    return weight * (ONE + log2_count * LOG_SLOPE / ONE) / ONE;
}

static void add_trigrams(struct sums *sums, const struct crn_ngram_word *word, int64_t word_weight)
{
    const uint16_t *starts = word->starts;
    int64_t weight = (int64_t)((double)(TRIGRAMS_PER_WORD * word_weight) / sqrt((double)word->letters));

    for (size_t i = 0; i < word->letters; i++) {
        uint64_t hash =
            crn_hash64(word->bytes + starts[i], (size_t)(starts[i + 3] - starts[i]), SEED_TRIGRAM);
        add_feature(sums, hash, i == 0 ? weight + weight / 2 : weight); /* a word's beginning tells most */
    }
}

static void add_terms(struct sums *sums, const struct terms *terms, const char *text, size_t len)
{
    struct crn_ngram_word word;

    memset(sums->values, 0, sums->dim * sizeof *sums->values);
    for (size_t i = 0; i < terms->slot_count; i++) {
        const struct term *term = &terms->slots[i];
        if (term->count == 0) continue;
        if (term->start == NO_WORD) {
            add_feature(sums, term->hash, sublinear(WEIGHT_PAIR, term->count));
            continue;
        }
        size_t pos = term->start;
        crn_ngram_word_next(text, len, &pos, &word);
        bool common = crn_ngram_word_is_common(&word);
        int64_t weight = sublinear(common ? WEIGHT_COMMON_WORD : WEIGHT_WORD, term->count);
        add_feature(sums, term->hash, weight);
        add_trigrams(sums, &word, weight);
    }
}

/* Signed square roots, scaled to length 1: the squares of the roots are the sums themselves. False when all
 * are zero. */
static bool make_vector(const struct sums *sums, float *out_vector)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < sums->dim; i++) {
        int64_t value = sums->values[i];
        total += (uint64_t)(value < 0 ? -value : value);
    }
    if (total == 0) return false;
    for (uint32_t i = 0; i < sums->dim; i++) {
        double share = (double)sums->values[i] / (double)total;
        out_vector[i] = (float)(share < 0 ? -sqrt(-share) : sqrt(share));
    }
    return true;
}

/* ---- the embedder ---- */

static cairn_status embed_text(struct terms *terms, struct sums *sums, const char *const *texts, size_t index,
                               float *out_vector, cairn_error *err)
{
    size_t len;

    CRN_TRY(crn_embedder_text_check(texts, index, &len, err));
    CRN_TRY(count_terms(terms, texts[index], len, err));
    add_terms(sums, terms, texts[index], len);
    if (make_vector(sums, out_vector)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_EMBEDDER,
                         "text %zu (\"%.40s\") has no letters or digits to make a vector of", index,
                         texts[index]);
}

static cairn_status ngram_embed(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                                cairn_error *err)
{
    const cairn_embedder *self = ctx;
    struct terms terms = {0};
    struct sums sums = {.dim = self->dim};
    cairn_status status = CAIRN_OK;

    sums.values = crn_mem_array(self->dim, sizeof *sums.values);
    if (sums.values == NULL) return crn_error_no_memory(err, self->dim * sizeof *sums.values);
    for (size_t i = 0; i < count && status == CAIRN_OK; i++) {
        status = embed_text(&terms, &sums, texts, i, out_vectors + i * self->dim, err);
    }
    terms_release(&terms);
    crn_mem_free(sums.values);
    return status;
}

cairn_status cairn_embedder_ngram(uint32_t dim, cairn_embedder **out_embedder, cairn_error *err)
{
    if (out_embedder == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "out_embedder is NULL");
    *out_embedder = NULL;
    if (dim == 0) dim = DIM_DEFAULT;
    if (dim < DIM_MIN || dim > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "dim is %" PRIu32 ", allowed are 0 and %u..%u", dim,
                             DIM_MIN, CAIRN_DIM_MAX);
    }

    cairn_embedder *embedder = crn_mem_alloc(sizeof *embedder);
    if (embedder == NULL) return crn_error_no_memory(err, sizeof *embedder);
    *embedder = (cairn_embedder){
        .size = sizeof *embedder, .ctx = embedder, .model = MODEL, .dim = dim, .embed = ngram_embed};
    *out_embedder = embedder;
    return CAIRN_OK;
}
