/* A query as it is run: what the query, legacy, groups and batch endpoints have in common. */
#ifndef CRN_SERVER_QDRANT_QUERY_H
#define CRN_SERVER_QDRANT_QUERY_H

#include "server/qdrant_internal.h"

enum crn_qd_query_kind {
    QD_QUERY_ALL,     /* none: points in the order of their ids */
    QD_QUERY_NEAREST, /* to `target` */
    QD_QUERY_BEST,    /* recommend: the nearest example decides */
    QD_QUERY_SUM,     /* recommend: all examples are added up */
    QD_QUERY_DISCOVER,
    QD_QUERY_CONTEXT,
    QD_QUERY_ORDER,
    QD_QUERY_SAMPLE,
    QD_QUERY_RRF,
    QD_QUERY_DBSF,
    QD_QUERY_FORMULA,
};

#define QD_PREFETCH_DEPTH_MAX 8

struct crn_qd_query {
    enum crn_qd_query_kind kind;
    const struct crn_qd_vector *using; /* NULL where no vectors are compared */
    struct crn_qd_query_vector target;
    struct crn_qd_query_vector *positive, *negative; /* examples, or pairs of a context */
    size_t positive_count, negative_count;
    bool mmr;
    double diversity;
    uint64_t candidates;
    double rrf_k;
    const double *weights; /* [prefetch_count] or NULL */
    struct crn_qd_order order;
    struct crn_json formula, defaults; /* of the body; defaults {0}: none */
    const char *filter;                /* points given as examples left out */
    uint64_t limit, offset;
    bool has_threshold;
    double threshold;
    uint64_t ef;
    bool exact;
    double oversampling;
    struct crn_qd_query *prefetch;
    size_t prefetch_count;
};

struct crn_qd_hit {
    cairn_id id;
    double score;
    const struct crn_qd_ordered *ordered; /* NULL unless ordered by a value */
};
struct crn_qd_hits {
    struct crn_qd_hit *list; /* best first, in the call's memory */
    size_t count;
};

/* ---- qdrant_query_read.c ---- */

enum crn_qd_style { QD_STYLE_QUERY, QD_STYLE_SEARCH, QD_STYLE_RECOMMEND, QD_STYLE_DISCOVER };
bool crn_qd_read_query(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body,
                       enum crn_qd_style style, unsigned depth, struct crn_qd_query *out);

/* ---- qdrant_query.c ---- */

bool crn_qd_run_query(struct crn_qd_call *call, struct crn_qd_collection *collection,
                      const struct crn_qd_query *query, struct crn_qd_hits *out);
/* [ {id, version, score, …}, … ] from hit `begin` on, up to `limit`. */
bool crn_qd_write_hits(struct crn_qd_call *call, struct crn_qd_collection *collection,
                       const struct crn_qd_hits *hits, const struct crn_qd_show *show);
bool crn_qd_read_hits_show(struct crn_qd_call *call, struct crn_json body, struct crn_qd_show *out);

/* ---- qdrant_score.c ---- */

/* Scores each point that passes the filter: for what no index of vectors answers. */
bool crn_qd_scan(struct crn_qd_call *call, struct crn_qd_collection *collection,
                 const struct crn_qd_query *query, const char *filter, size_t k, struct crn_qd_hits *out);
/* Larger is nearer. */
double crn_qd_similarity(const struct crn_qd_vector *vector, const struct crn_qd_query_vector *a,
                         const struct crn_qd_query_vector *b);
/* As it is shown: the distance itself where distances are compared. */
double crn_qd_shown_score(const struct crn_qd_vector *vector, double similarity);
bool crn_qd_weigh_by_idf(struct crn_qd_call *call, struct crn_qd_collection *collection,
                         const struct crn_qd_vector *vector, struct crn_qd_query_vector *query);
bool crn_qd_sample(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                   size_t k, struct crn_qd_hits *out);

/* ---- qdrant_formula.c ---- */

/* The sources' points, scored anew by the query's formula. */
bool crn_qd_apply_formula(struct crn_qd_call *call, struct crn_qd_collection *collection,
                          const struct crn_qd_query *query, const struct crn_qd_hits *sources,
                          struct crn_qd_hits *out);

/* ---- qdrant_fusion.c ---- */

bool crn_qd_fuse(struct crn_qd_call *call, const struct crn_qd_query *query,
                 const struct crn_qd_hits *sources, struct crn_qd_hits *out);
/* Every point of the sources once. */
bool crn_qd_union(struct crn_qd_call *call, const struct crn_qd_hits *sources, size_t count,
                  struct crn_qd_hits *out);
void crn_qd_sort_hits(struct crn_qd_hits *hits, bool ascending);
bool crn_qd_diversify(struct crn_qd_call *call, struct crn_qd_collection *collection,
                      const struct crn_qd_query *query, struct crn_qd_hits *hits);

#endif
