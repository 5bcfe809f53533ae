/*
 * What every approximate index offers. An index covers positions 0..n-1 of one immutable segment and knows nothing of SQLite,
 * ids, payloads or deletes: it gets vectors, and a bitmap of the positions that may be returned. It is built once into a derived
 * file and opened from it. Distances are quant's raw ones: smaller is nearer (minus dot product, squared L2, L1).
 */
#ifndef CRN_ENGINE_INDEX_H
#define CRN_ENGINE_INDEX_H

#include "base/topk.h"
#include "quant/kernels.h"
#include "storage/derived.h"

struct crn_index;
struct
    crn_index_filter; /* what an index has made of a bitmap of positions, to be kept while the same one is asked with */

struct crn_index_rows {
    const float
        *vectors; /* [count][dim], mapped or in memory, alive as long as the index; normalised for cosine */
    size_t count;
    uint32_t dim;
    enum crn_op op;            /* DOT, L2 or L1 */
    bool copy;                 /* the index shall copy what it searches into memory of its own */
    const struct crn_log *log; /* NULL: silence */
    struct crn_derived
        *file; /* where the vectors lie and are verified before use; NULL: they are verified, or in memory */
};

struct crn_index_query {
    const float *vector; /* [dim] */
    size_t k;
    const uint64_t *allow; /* bit p set: position p may be returned; NULL: all */
    size_t allowed;        /* number of set bits; count when allow is NULL */
    uint32_t ef, nprobe;   /* 0: what gives the recall */
    double recall;         /* 0: the index's default */
    const struct crn_index_filter
        *filter; /* what filter_create made of `allow`; NULL: the index makes it again where it needs it */
    bool
        limited; /* k rows elsewhere are nearer than limit, a raw distance: fewer than k may be returned, and only nearer ones matter */
    float limit;
    bool processor_only; /* no GPU is asked */
    bool *on_card;       /* set to true where a GPU compared the rows; NULL: nobody asks */
    bool *
        declined; /* set to true where the index cannot answer, and the caller is to scan also when the query is limited */
};

#define CRN_INDEX_EFFORTS_MAX 16u

/* The recall that each effort (ef or nprobe) gave when the index was built, k = 10. */
struct crn_index_recalls {
    uint32_t count; /* 0: nothing was measured */
    uint32_t efforts[CRN_INDEX_EFFORTS_MAX];
    float recalls[CRN_INDEX_EFFORTS_MAX];
};

struct crn_index_ops {
    const char *name; /* "faiss", "gpu", "graph", "ivf" */
    bool
        filters; /* chooses by itself between its own way and comparing the allowed rows: asked also when few are */
    bool
        opens_at_once; /* opening reads little, and what is searched is verified on the way: the vectors too */
    /* Is the spec (what follows the colon, may be "") one this index can build for these rows? INVALID_OPTION with the reason. */
    cairn_status (*check)(const char *spec, uint32_t dim, enum crn_op op, cairn_error *err);
    /* Builds and writes its sections. `cancelled` is asked now and then (may be NULL): CANCELLED when it says true. */
    cairn_status (*build)(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                          bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                          cairn_error *err);
    /* Opens what was built; verifies each byte it trusts. CORRUPT: the caller drops the file and builds anew. `rows` is
     * copied; its vectors are borrowed. */
    cairn_status (*open)(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                         struct crn_index **out_index, cairn_error *err);
    /* CORRUPT: what it read does not match its checksum. Pushes up to k allowed positions into `top` (labels = positions). May return fewer than k where allowed >= k: the caller
     * then scans, unless the query is limited and the index did not decline. Shared: any threads at once. */
    cairn_status (*search)(const struct crn_index *index, const struct crn_index_query *query,
                           struct crn_topk *top, cairn_error *err);
    /* NULL where there is nothing to be made. Its result (NULL: no memory) lives as long as it is wanted, the index closed or not. */
    struct crn_index_filter *(*filter_create)(const struct crn_index *index, const uint64_t *allow);
    void (*filter_free)(struct crn_index_filter *filter);
    void (*close)(struct crn_index *index);
    size_t (*memory_bytes)(const struct crn_index *index); /* heap, without the mapped file */
    void (*recalls)(const struct crn_index *index,
                    struct crn_index_recalls *out); /* NULL: it measures nothing */
};

/* "faiss:HNSW32" -> the faiss backend, and *out_spec = "HNSW32". NULL for "flat" and for unknown names. */
const struct crn_index_ops *crn_index_find(const char *name_and_spec, const char **out_spec);

/* The backends there are, one by one; NULL past the last. */
const struct crn_index_ops *crn_index_backend_at(size_t i);

extern const struct crn_index_ops crn_index_faiss;
extern const struct crn_index_ops crn_index_gpu;
extern const struct crn_index_ops crn_index_graph;
extern const struct crn_index_ops crn_index_ivf;

#endif
