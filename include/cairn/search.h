/*
 * cairn/search.h: nearest patterns by vector, by text, or by both.
 *
 * A search sees every write that was answered before it began, whoever wrote it. It returns k
 * patterns whenever k match. Functions here may be called from any threads at once and never wait
 * for a writer.
 */
#ifndef CAIRN_SEARCH_H
#define CAIRN_SEARCH_H

#include <cairn/pattern.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cairn_search_mode {
    CAIRN_SEARCH_AUTO =
        0, /* vector and text given: hybrid where there is a lexical index; else by vector when given */
    CAIRN_SEARCH_VECTOR = 1,  /* by `vector`, or by `text` through the attached embedder */
    CAIRN_SEARCH_LEXICAL = 2, /* by `text`, BM25 over the collection's lexical index */
    CAIRN_SEARCH_HYBRID = 3,  /* both, fused */
} cairn_search_mode;

typedef enum cairn_fusion {
    CAIRN_FUSION_RRF = 0,      /* sum of 1/(60+rank); Cormack, Clarke, Buettcher, SIGIR 2009 */
    CAIRN_FUSION_WEIGHTED = 1, /* weighted sum of the two scores, each scaled to 0..1 over its candidates */
} cairn_fusion;

/* What compares vectors (docs/GPU.md). What is asked for and cannot be had, the other one does: cairn_search_info says which it was. */
typedef enum cairn_device {
    CAIRN_DEVICE_DEFAULT =
        0, /* what the collection's index says; rows that would be scanned, whichever was measured quicker */
    CAIRN_DEVICE_CPU = 1, /* the processor, also in a collection whose index is on a GPU */
    CAIRN_DEVICE_GPU =
        2, /* a GPU: all matching rows of the segments, whatever the index; they are uploaded when it is first asked for */
} cairn_device;

typedef struct cairn_query {
    size_t size;
    const float *vector;     /* [dim] */
    uint32_t dim;            /* 0 = the space's */
    const char *space;       /* NULL = the default space */
    const uint32_t *indices; /* a sparse query: [dim] indices, `vector` holds their values */
    const char *model;       /* what made the vector; NULL = not stated; MODEL_MISMATCH when another */
    const char *text;
    uint32_t k; /* 1..CAIRN_K_MAX; 0 is INVALID_ARGUMENT */
    cairn_search_mode mode;
    cairn_fusion fusion;
    double lexical_weight; /* weighted fusion, 0..1, 0 = the default 0.5; RRF ignores it */
    const char *domain;
    const char *agent;
    const char *type;
    const char *filter; /* JSON, docs/FILTERS.md */
    double min_confidence;
    double min_score; /* applied when has_min_score */
    bool has_min_score;
    bool exact;      /* compare with every matching row, at full precision */
    uint32_t ef;     /* effort of a graph index: candidates kept; 0 = the index's default */
    uint32_t nprobe; /* effort of an inverted-file index: lists visited; 0 = the default */
    double
        recall; /* instead of ef: the share of the true k nearest wanted, 0..1 as measured on the collection's own data when its
                              index was built; 0 = the default, 0.98. Graph indexes; others have their own default */
    double oversampling; /* candidates rescored for each of k with quantization; 0 = the default */
    uint32_t timeout_ms; /* 0 = none; TIMEOUT, never a part of the answer */
    bool with_pattern;   /* fill cairn_hit.pattern */
    bool with_vectors;   /* and its vectors */
    cairn_device device; /* for dense vectors */
} cairn_query;

typedef struct cairn_hit {
    cairn_id id;
    float score;    /* larger is better; see cairn_metric. Lexical: BM25. Hybrid: the fused score */
    float distance; /* smaller is nearer; see cairn_metric. Lexical and hybrid: minus the score */
    const cairn_pattern *pattern; /* NULL unless asked for */
} cairn_hit;

typedef struct cairn_results cairn_results;

/* How a search was answered. */
typedef struct cairn_search_info {
    size_t size;
    const char *plan;      /* "flat", "index", "filter-scan", "lexical", "hybrid": static text */
    uint64_t rows;         /* live rows of the space when it was searched */
    uint64_t rows_matched; /* rows the filter allows; equal to rows without one */
    uint64_t rows_scored;  /* distances computed exactly by scanning */
    uint64_t sequence;     /* the last write the search saw */
    double elapsed_ms;
    const char *device; /* "gpu" when one compared rows of the segments; else "cpu": static text */
} cairn_search_info;

/*
 * The k nearest patterns, best first; fewer only when fewer match. Patterns at equal distances stand in insertion order; which of
 * several equals takes the last place is not promised.
 * *out_results is released by cairn_results_free.
 * INVALID_ARGUMENT, INVALID_VECTOR, ZERO_VECTOR, DIM_MISMATCH, MODEL_MISMATCH, INVALID_FILTER, INVALID_UTF8,
 * UNSUPPORTED, TIMEOUT, EMBEDDER, NO_COLLECTION, NO_MEMORY, IO.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_search(cairn_collection *collection, const cairn_query *query,
                                                   cairn_results **out_results, cairn_error *err);

CAIRN_API size_t cairn_results_count(const cairn_results *results);
CAIRN_API const cairn_hit *cairn_results_at(const cairn_results *results, size_t i); /* NULL past the end */
CAIRN_API void cairn_results_info(const cairn_results *results, cairn_search_info *out_info);
CAIRN_API void cairn_results_free(cairn_results *results);

#ifdef __cplusplus
}
#endif
#endif
