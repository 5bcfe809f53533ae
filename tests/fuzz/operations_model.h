/*
 * The naive truth beside the collection of fuzz_operations.c: what rows there are, and how the input's bytes become ids,
 * patterns and scopes. It knows the rules of writing and of filters by itself, and calls nothing of Cairn.
 */
#ifndef CRN_TESTS_FUZZ_OPERATIONS_MODEL_H
#define CRN_TESTS_FUZZ_OPERATIONS_MODEL_H

#include <cairn/cairn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS 12u
#define DIM_MAX 4u
#define BATCH_MAX 4u

static const char *const domains[] = {"", "build", "test"};
static const char *const words[] = {"stone", "river", "wood"};

struct row { /* of the model */
    bool present;
    uint64_t version;
    uint64_t order; /* of first insertion */
    bool has_vector;
    float vector[DIM_MAX];
    uint8_t domain, number, word;
};

struct run {
    const uint8_t *data;
    size_t size, at;
    char folder[200], path[220];
    cairn_open_options options;
    cairn_collection_options settings;
    cairn_db *dbs[2];
    cairn_collection *handles[2];
    cairn_collection *notes; /* the handle of this step */
    struct row rows[IDS];
    uint64_t inserted;
};

static inline uint8_t take(struct run *run)
{
    return run->at < run->size ? run->data[run->at++] : 0;
}

static inline unsigned take_below(struct run *run, unsigned bound)
{
    return take(run) % bound;
}

/* ---- rows ---- */

/* Numbers, strings and UUIDs by turns; their texts need `text`. */
static inline cairn_id id_of(unsigned n, char text[40])
{
    switch (n % 3) {
    case 0:
        return (cairn_id){CAIRN_ID_U64, NULL, n};
    case 1:
        snprintf(text, 40, "%u", n - 1);
        return (cairn_id){CAIRN_ID_STRING, text, 0};
    default:
        snprintf(text, 40, "00000000-0000-7000-8000-%012u", n);
        return (cairn_id){CAIRN_ID_UUID, text, 0};
    }
}

static inline unsigned number_of(cairn_id_type type, const char *text, uint64_t u64)
{
    if (type == CAIRN_ID_U64) return (unsigned)u64;
    if (type == CAIRN_ID_STRING) return (unsigned)strtoul(text, NULL, 10) + 1;
    return (unsigned)strtoul(text + 24, NULL, 10);
}

static inline void take_vector(struct run *run, float out[DIM_MAX])
{
    for (unsigned i = 0; i < run->settings.dim; i++) out[i] = (float)((int)take_below(run, 9) - 4);
}

static inline bool is_zero(const struct run *run, const float *vector)
{
    for (unsigned i = 0; i < run->settings.dim; i++) {
        if (vector[i] != 0) return false;
    }
    return true;
}

/* One pattern to write, what it gives, and the memory it points into. */
struct draft {
    unsigned n;
    bool expired, gives_vector, gives_domain, gives_number, gives_word;
    struct row row;
    char id[40], payload[40];
    cairn_pattern pattern;
};

static inline void take_draft(struct run *run, struct draft *draft, bool all)
{
    const uint8_t gives = all ? 15 : take(run);

    memset(draft, 0, sizeof *draft);
    draft->n = take_below(run, IDS);
    draft->gives_vector = gives & 1;
    draft->gives_domain = gives & 2;
    draft->gives_number = gives & 4;
    draft->gives_word = gives & 8;
    if (run->settings.lexical && all) draft->gives_vector = take(run) & 1;
    draft->expired = take(run) > 240;
    const cairn_id id = id_of(draft->n, draft->id);
    draft->pattern =
        (cairn_pattern){.size = sizeof draft->pattern, .id_type = id.type, .id = id.text, .id_u64 = id.u64};
    draft->row.has_vector = draft->gives_vector;
    if (draft->gives_vector) {
        take_vector(run, draft->row.vector);
        draft->pattern.vector = draft->row.vector;
    }
    draft->row.domain = (uint8_t)take_below(run, 3);
    if (draft->gives_domain) draft->pattern.domain = domains[draft->row.domain];
    draft->row.number = (uint8_t)take_below(run, 5);
    snprintf(draft->payload, sizeof draft->payload, "{\"n\":%u,\"list\":[%u,7]}", draft->row.number,
             draft->row.number + 1u);
    if (draft->gives_number) draft->pattern.payload = draft->payload;
    draft->row.word = (uint8_t)take_below(run, 3);
    if (draft->gives_word) draft->pattern.text = words[draft->row.word];
    if (draft->expired) draft->pattern.expires_at_ms = 1;
}

/* What writing must answer, from the model alone. */
static inline cairn_status judge(const struct run *run, cairn_write_mode mode, const struct draft *draft)
{
    const struct row *old = &run->rows[draft->n];

    if (mode == CAIRN_INSERT && old->present) return CAIRN_EXISTS;
    if (draft->pattern.if_version == CAIRN_VERSION_NONE && old->present) return CAIRN_CONFLICT;
    if (mode == CAIRN_UPDATE && !old->present) return CAIRN_NOT_FOUND;
    if (draft->pattern.if_version != 0 && draft->pattern.if_version != CAIRN_VERSION_NONE &&
        (!old->present || old->version != draft->pattern.if_version)) {
        return CAIRN_CONFLICT;
    }
    return CAIRN_OK;
}

static inline void apply(struct run *run, cairn_write_mode mode, const struct draft *draft)
{
    struct row *row = &run->rows[draft->n];
    const struct row old = *row;

    *row = draft->row;
    row->present = !draft->expired;
    row->version = old.present ? old.version + 1 : 1;
    row->order = old.present ? old.order : ++run->inserted;
    if (mode != CAIRN_UPDATE) return;
    if (!draft->gives_vector) {
        row->has_vector = old.has_vector;
        memcpy(row->vector, old.vector, sizeof row->vector);
    }
    if (!draft->gives_domain) row->domain = old.domain;
    if (!draft->gives_number) row->number = old.number;
    if (!draft->gives_word) row->word = old.word;
}

/* ---- scopes ---- */

struct scope {
    unsigned domain; /* 3: any */
    unsigned kind, number;
    char filter[60];
    cairn_scope scope;
};

static inline void take_scope(struct run *run, struct scope *out)
{
    static const char *const filters[] = {NULL, "{\"n\": %u}", "{\"n\": {\"$lt\": %u}}", "{\"list\": %u}",
                                          "{\"n\": {\"$ne\": %u}}"};

    memset(out, 0, sizeof *out);
    out->domain = take_below(run, 4);
    out->kind = take_below(run, 5);
    out->number = take_below(run, 9);
    out->scope =
        (cairn_scope){.size = sizeof out->scope, .domain = out->domain < 3 ? domains[out->domain] : NULL};
    if (out->kind == 0) return;
    snprintf(out->filter, sizeof out->filter, filters[out->kind], out->number);
    out->scope.filter = out->filter;
}

static inline bool matches(const struct row *row, const struct scope *scope)
{
    if (!row->present || (scope->domain < 3 && row->domain != scope->domain)) return false;
    switch (scope->kind) {
    case 1:
        return row->number == scope->number;
    case 2:
        return row->number < scope->number;
    case 3:
        return scope->number == 7 || row->number + 1u == scope->number;
    case 4:
        return row->number != scope->number;
    default:
        return true;
    }
}

/* ---- distances ---- */

static inline double distance(const struct run *run, const float *a, const float *b)
{
    double dot = 0, l2 = 0, l1 = 0, na = 0, nb = 0;

    for (unsigned i = 0; i < run->settings.dim; i++) {
        const double x = a[i], y = b[i];
        dot += x * y;
        l2 += (x - y) * (x - y);
        l1 += fabs(x - y);
        na += x * x;
        nb += y * y;
    }
    switch (run->settings.metric) {
    case CAIRN_METRIC_L2:
        return sqrt(l2);
    case CAIRN_METRIC_DOT:
        return -dot;
    case CAIRN_METRIC_MANHATTAN:
        return l1;
    default:
        return 1 - dot / sqrt(na * nb);
    }
}

#endif
