/*
 * What an optimization of a memory is about to do: which patterns are merged into which, and which are
 * pruned. Made from a snapshot (memory_plan.c, memory_merge.c), carried out in one transaction that looks at
 * each row again (memory_apply.c).
 */
#ifndef CRN_ENGINE_MEMORY_PLAN_H
#define CRN_ENGINE_MEMORY_PLAN_H

#include "engine/collection.h"

struct crn_plan_row {
    uint32_t local;
    uint64_t group; /* a hash of domain, agent and type */
    uint64_t version;
    double confidence;
    int64_t usage;
    int64_t created_ms;
    size_t bytes; /* of row and vectors; filled for rows that will go */
    bool merged;  /* into another */
    bool pruned;
};

struct crn_plan_merge { /* positions in rows; a survivor's merges stand together */
    size_t survivor, merged;
};

struct crn_plan {
    struct crn_plan_row *rows; /* by group; in a group the survivors of merges before what they absorb */
    size_t count, capacity;
    struct crn_plan_merge *merges;
    size_t merge_count, merge_capacity;
    uint64_t pruned_count;
};

/* Options with every default filled in. */
struct crn_plan_limits {
    const char *domain;
    double merge_similarity;
    double min_confidence;
    int64_t min_usage;
    int64_t oldest_ms; /* what was created before it is old enough to be pruned; INT64_MIN: no pruning */
    int64_t now_ms;
};

/* Plans over the reader's snapshot. Released by crn_plan_release. */
cairn_status crn_plan_make(struct crn_plan *plan, struct crn_reader *reader,
                           const struct crn_catalog *catalog, const struct crn_plan_limits *limits,
                           cairn_error *err);
void crn_plan_release(struct crn_plan *plan);

/* Finds the merges. The rows must be in order. */
cairn_status crn_plan_find_merges(struct crn_plan *plan, struct crn_reader *reader,
                                  const struct crn_space *space, double similarity, cairn_error *err);

/* What was done. */
struct crn_plan_done {
    uint64_t merged, pruned;
    uint64_t bytes;
};

/* One transaction. A row that has changed since the plan was made stays as it is. */
cairn_status crn_plan_apply(const struct crn_plan *plan, cairn_collection *collection,
                            const struct crn_plan_limits *limits, struct crn_plan_done *out_done,
                            cairn_error *err);

#endif
