/*
 * Checking a caller's patterns and turning them into rows, before any transaction begins. What passes here can
 * be stored; what cannot is refused with the pattern's number, its id and the offending value.
 */
#ifndef CRN_ENGINE_PREPARE_H
#define CRN_ENGINE_PREPARE_H

#include "base/json.h"
#include "engine/collection.h"
#include "engine/id.h"

struct crn_prepared {
    struct crn_id id;
    bool generated;           /* the id is ours */
    struct crn_record record; /* local 0; strings and vectors borrowed from the caller or owned below */
    struct crn_vector_data *vectors; /* [record.vector_count] */
    char *payload;                   /* compact */
    void **packed; /* [record.vector_count]: sparse and multi vectors in their stored form, or NULL */
    uint32_t fields;
    uint64_t if_version;
    const char *model;   /* stated for the vectors that come, or NULL */
    const char **models; /* [record.vector_count]: what each was stated with */
    bool has_domain, has_agent, has_type, has_text, has_payload; /* for CAIRN_UPDATE */
};

struct crn_prepared_batch {
    struct crn_prepared *rows;
    size_t count;
    float *embedded; /* vectors made by the embedder */
};

cairn_status crn_prepare(cairn_collection *collection, cairn_write_mode mode, const cairn_pattern *patterns,
                         size_t count, struct crn_prepared_batch *out_batch, cairn_error *err);
void crn_prepare_release(struct crn_prepared_batch *batch);

/* Checks a dense vector for a space (dim 0 = not stated): DIM_MISMATCH, INVALID_VECTOR, ZERO_VECTOR. */
cairn_status crn_check_vector(const struct crn_space *space, const float *vector, uint32_t dim,
                              cairn_error *err);

/* Checks a name: UTF-8, at most CAIRN_NAME_MAX bytes, no control characters. NULL passes. */
cairn_status crn_check_name(const char *what, const char *name, cairn_error *err);

/* The text as a vector of the space, [dim], by the host's embedder. EMBEDDER; and those of a vector that a caller brings. */
cairn_status crn_embed_query(const cairn_embedder *embedder, const struct crn_space *space, const char *text,
                             float *out_vector, cairn_error *err);

/* Is the model stated for vectors the space's own? NULL on either side passes. */
cairn_status crn_check_model(const struct crn_space *space, const char *model, cairn_error *err);

/* An options struct's size field: INVALID_OPTION unless it is between the first field and what this library knows. */
cairn_status crn_check_size(const char *what, size_t size, size_t known, cairn_error *err);

#endif
