/*
 * cairn/embed.h: text to vector.
 *
 * An embedder is a small table of functions: Cairn's own two are made here, and a host may bring its
 * own. A collection that has one attached makes vectors from texts, on writing and on searching. The
 * vector space records the embedder's model name; another model's vectors are MODEL_MISMATCH. An
 * embedder that fails is EMBEDDER: nothing is ever put in its place.
 */
#ifndef CAIRN_EMBED_H
#define CAIRN_EMBED_H

#include <cairn/db.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_embedder {
    size_t size;
    void *ctx;
    const char *model; /* identity, as in "cairn-ngram-1"; lives as long as the embedder */
    uint32_t dim;
    /* texts[0..count) to out_vectors[count][dim], f32, row-major. Called from several threads at once. */
    cairn_status (*embed)(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                          cairn_error *err);
    void (*free)(void *ctx); /* may be NULL */
} cairn_embedder;

/*
 * Built in, offline, deterministic: hashed word and character n-grams with sub-linear weights. It finds
 * texts by the words and word parts they share; it knows no meanings. dim 0 = 384. Model name:
 * "cairn-ngram-1" (the dim is recorded with the space). *out_embedder is released by cairn_embedder_free.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_embedder_ngram(uint32_t dim, cairn_embedder **out_embedder,
                                                           cairn_error *err);

/* An OpenAI-compatible embeddings endpoint. */
typedef struct cairn_openai_options {
    size_t size;
    const char *url;     /* as in "http://127.0.0.1:8080/v1/embeddings"; required */
    const char *model;   /* required; sent, and recorded with the space */
    const char *api_key; /* sent as a bearer token; NULL = none; never logged */
    uint32_t dim;        /* 0 = asked once, at creation */
    uint32_t batch;      /* texts a request; 0 = 64 */
    uint32_t timeout_ms; /* a request; 0 = 30000 */
    uint32_t retries;    /* after 429, 5xx and broken connections, with growing pauses; 0 = 4 */
} cairn_openai_options;

/* EMBEDDER when the endpoint does not answer as it should, with its own words in the message. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_embedder_openai(const cairn_openai_options *options,
                                                            cairn_embedder **out_embedder, cairn_error *err);

CAIRN_API void cairn_embedder_free(cairn_embedder *embedder);

/*
 * Attaches an embedder to the collection's default space; the collection borrows it until it is closed
 * or another (or NULL) is attached. A space that states no model yet records this one with its first
 * write from text. MODEL_MISMATCH, DIM_MISMATCH.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_attach(cairn_collection *collection,
                                                              const cairn_embedder *embedder,
                                                              cairn_error *err);

#ifdef __cplusplus
}
#endif
#endif
