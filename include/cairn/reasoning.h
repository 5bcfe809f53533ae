/*
 * cairn/reasoning.h: what agents do with their memory: retrieve with reasoning, keep what
 * proves useful, forget what does not, and store whole trajectories.
 */
#ifndef CAIRN_REASONING_H
#define CAIRN_REASONING_H

#include <cairn/search.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_MMR_K_MAX 4096u /* patterns that MMR chooses */

/*
 * retrieveWithReasoning. The candidates are the max(4k, 64) nearest patterns in scope: of a search by the
 * space's metric, which may use its index; or, when another metric is asked for, of an exact comparison with
 * every row in scope, read from the store as it was written (slower: it reads them all).
 *
 * They are ranked ("classic") by 0.65 similarity + 0.15 e^(-age_days/45) + 0.20 confidence, the age counted
 * from created_at. With hybrid weights: vector_weight * similarity + metadata_weight * metadata score, which
 * is the share of the filter's conditions (each counted alone, so that those under $or differ), the recency
 * e^(-age_days/45) and the confidence that the pattern fulfils, each one part of the whole. Then, when asked,
 * MMR (Carbonell and Goldstein, SIGIR 1998) picks k of them one by one: first the best ranked, then whichever
 * has the greatest lambda * score - (1 - lambda) * (greatest cosine of its vector with one picked before).
 */
typedef struct cairn_retrieve_options {
    size_t size;
    const float *vector; /* [dim]; or NULL with `text` and an attached embedder */
    uint32_t dim;
    const char *text;
    uint32_t k; /* 0 = 10 */
    const char *domain;
    const char *agent;
    const char *filter;
    double min_confidence;
    cairn_metric metric;  /* 0 = the space's; another one compares with every row in scope */
    double vector_weight; /* hybrid weights; both 0 = the classic ranking */
    double metadata_weight;
    bool use_mmr;
    double mmr_lambda; /* 1 = pure relevance, 0 = pure diversity; with use_mmr k is at most CAIRN_MMR_K_MAX */
    bool synthesize_context;
    bool optimize_memory; /* run cairn_memory_optimize first, with its defaults */
    bool no_touch;        /* do not count use */
    int64_t now_ms;       /* for ages and expiry; 0 = the clock */
} cairn_retrieve_options;

typedef struct cairn_memory {
    const cairn_pattern *pattern;
    double similarity; /* the search's score, as cairn_metric defines it */
    double score;      /* what it was ranked by */
} cairn_memory;

/* What an optimization did, measured. */
typedef struct cairn_memory_report {
    uint64_t patterns_before;
    uint64_t patterns_consolidated; /* merged into a survivor */
    uint64_t patterns_pruned;
    int64_t space_saved_bytes; /* bytes of rows and vectors no longer held */
    double search_before_ms;   /* median of the same sample of searches before ... */
    double search_after_ms;    /* ... and after; both 0 when nothing was done */
} cairn_memory_report;

typedef struct cairn_reasoning cairn_reasoning;

/*
 * `k` memories whenever k patterns are in scope, best first (in the order MMR picked them); fewer only when
 * fewer are. *out_reasoning is released by cairn_reasoning_free. The statuses of cairn_search and
 * cairn_memory_optimize.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_retrieve(cairn_collection *collection,
                                                     const cairn_retrieve_options *options,
                                                     cairn_reasoning **out_reasoning, cairn_error *err);
CAIRN_API size_t cairn_reasoning_count(const cairn_reasoning *reasoning);
CAIRN_API const cairn_memory *cairn_reasoning_at(const cairn_reasoning *reasoning, size_t i);
/* The synthesized context as one JSON object {query, similarPatterns, synthesizedContext {themes, graph
 * {nodes, edges}, confidence, recommendations}}, and as a narrative; NULL when not asked for. Live until
 * free. */
CAIRN_API const char *cairn_reasoning_context(const cairn_reasoning *reasoning);
CAIRN_API const char *cairn_reasoning_narrative(const cairn_reasoning *reasoning);
/* NULL unless optimize_memory was asked for. */
CAIRN_API const cairn_memory_report *cairn_reasoning_report(const cairn_reasoning *reasoning);
CAIRN_API void cairn_reasoning_free(cairn_reasoning *reasoning);

/*
 * Merges near-duplicates and prunes what nobody uses. Merged are patterns of the same domain, agent and type
 * whose vectors of the default space have a cosine of at least merge_similarity with the survivor: the
 * pattern with the highest confidence, then the most use, then the oldest. It keeps what it says and adds
 * their use and success counts to its own. Pruned is what is below the confidence AND below the usage AND
 * older than the age, by created_at. Either all of it happens, or nothing does; patterns that change
 * meanwhile are let alone. Every pair of such patterns is compared: the time grows with the square of their
 * number.
 */
typedef struct cairn_memory_options {
    size_t size;
    const char *domain;      /* NULL = all */
    double merge_similarity; /* cosine; 0 = 0.95; above 1 = no merging */
    double min_confidence;   /* 0 = 0.3 */
    int64_t min_usage;       /* 0 = 2 */
    double max_age_days;     /* 0 = 30 */
    bool no_prune;
    bool dry_run;   /* count only; the times stay 0 */
    int64_t now_ms; /* for ages and expiry; 0 = the clock */
} cairn_memory_options;

/* `options` may be NULL, and so may `out_report`. INVALID_ARGUMENT, INVALID_OPTION, READ_ONLY, NO_COLLECTION,
 * ... */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_memory_optimize(cairn_collection *collection,
                                                            const cairn_memory_options *options,
                                                            cairn_memory_report *out_report,
                                                            cairn_error *err);

/* One trajectory: what an agent saw, did and got, step by step. */
typedef struct cairn_trajectory {
    size_t size;
    const char *id;     /* 1..CAIRN_ID_MAX bytes; NULL = generate */
    const char *domain; /* NULL = "" */
    const char *agent;
    const float *states; /* [steps][state_dim], f32, row-major; at most CAIRN_PAYLOAD_MAX bytes */
    uint32_t steps;      /* 1.. */
    uint32_t state_dim;
    const char *actions;   /* JSON array, one entry a step */
    const double *rewards; /* [steps] */
    const char *metadata;  /* JSON object or NULL */
    int64_t created_at_ms; /* 0 = now */
} cairn_trajectory;

/* Stores a trajectory. `out_id` (may be NULL) gets the generated id, "" when one was given. EXISTS when that
 * is taken, INVALID_ARGUMENT, INVALID_VECTOR, INVALID_JSON, INVALID_ID, INVALID_UTF8, LIMIT, READ_ONLY,
 * ... */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_trajectory_insert(cairn_collection *collection,
                                                              const cairn_trajectory *trajectory,
                                                              char out_id[40], cairn_error *err);

typedef struct cairn_trajectories cairn_trajectories;
/* By id (none is there: an empty list), or (id NULL) the newest `limit` of a domain and agent (NULL =
 * any). */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_trajectory_get(cairn_collection *collection, const char *id,
                                                           const char *domain, const char *agent,
                                                           size_t limit,
                                                           cairn_trajectories **out_trajectories,
                                                           cairn_error *err);
CAIRN_API size_t cairn_trajectories_count(const cairn_trajectories *trajectories);
CAIRN_API const cairn_trajectory *cairn_trajectories_at(const cairn_trajectories *trajectories, size_t i);
CAIRN_API void cairn_trajectories_free(cairn_trajectories *trajectories);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_trajectory_delete(cairn_collection *collection, const char *id,
                                                              bool *out_deleted, cairn_error *err);

#ifdef __cplusplus
}
#endif
#endif
