/*
 * The synthesized context of a retrieval: what its patterns have in common, how they hang together, how far
 * they are to be trusted and which of them worked before. Everything is computed from the patterns; nothing
 * is invented.
 */
#ifndef CRN_ENGINE_CONTEXT_H
#define CRN_ENGINE_CONTEXT_H

#include "base/buf.h"
#include "engine/themes.h"

#define CRN_CONTEXT_PATTERNS_MAX 100u /* the best ones; those beyond are not looked at */
#define CRN_CONTEXT_RECOMMENDED_MAX 3u
#define CRN_CONTEXT_LABEL_BYTES 128u

struct crn_context_edge { /* two patterns that are near each other: positions, from < to */
    size_t from, to;
    double cosine;
};

struct crn_context {
    const cairn_retrieve_options *options;
    const cairn_memory *memories; /* [count], best first, with vectors */
    size_t count;
    char (*labels)[CRN_CONTEXT_LABEL_BYTES]; /* [count]: a line that tells what the pattern is about */
    struct crn_themes themes;
    struct crn_context_edge *edges; /* by position */
    size_t edge_count;
    double confidence;                               /* 0..1 */
    size_t recommended[CRN_CONTEXT_RECOMMENDED_MAX]; /* positions, the best first */
    size_t recommended_count;
};

/* Looks at memories[0..count), which stay the caller's. Released by crn_context_release. */
cairn_status crn_context_init(struct crn_context *context, const cairn_retrieve_options *options,
                              const cairn_memory *memories, size_t count, cairn_error *err);
void crn_context_release(struct crn_context *context);

/* Appends it as the JSON object of cairn_reasoning_context. */
cairn_status crn_context_write(const struct crn_context *context, struct crn_buf *buf);

/* Appends it as a short paragraph. */
cairn_status crn_context_narrate(const struct crn_context *context, struct crn_buf *buf);

/* The share of a pattern's uses that were successes; 0 without uses. */
double crn_context_success_rate(const cairn_pattern *pattern);

#endif
