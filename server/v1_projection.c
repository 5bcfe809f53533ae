/* POST .../projection: some rows of a space as points of a plane, by their two principal components. */
#include "server/v1_internal.h"

#include "server/pca.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define POINTS_DEFAULT 1000u
#define POINTS_MAX 5000u
#define VECTORS_BYTES_MAX (64u << 20)
#define LABEL_BYTES_MAX 200u /* longer texts are no labels */

struct projection {
    struct crn_v1_call *call;
    const char *space;
    const char *label; /* NULL: none */
    uint32_t dim;
    bool normalize;
    float *vectors; /* [count][dim] */
    uint32_t count;
    struct crn_buf ids, labels; /* members of the arrays */
    struct crn_json_parser *parser;
};

/* ---- labels: a column's name, or payload.PATH ---- */

static bool check_label(struct crn_v1_call *call, const char *label)
{
    static const char *const columns[] = {"domain", "agent", "type", "confidence"};

    if (label == NULL || (strncmp(label, "payload.", 8) == 0 && label[8] != '\0')) return true;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        if (strcmp(label, columns[i]) == 0) return true;
    }
    return crn_v1_refuse(
        call, CAIRN_INVALID_ARGUMENT,
        "label has no value '%.60s'; one is 'domain', 'agent', 'type', 'confidence' or 'payload.PATH'",
        label);
}

/* Of an array the first element counts; of an object nothing. */
static void put_scalar(struct crn_buf *out, struct crn_json value)
{
    struct crn_json_iter it;
    const char *key;
    size_t length = 0;

    if (crn_json_type(value) == CRN_JSON_ARRAY) {
        crn_json_iter_init(&it, value);
        if (!crn_json_iter_next(&it, &value, &key, &length)) length = SIZE_MAX;
    }
    const enum crn_json_type type = crn_json_type(value);
    if (type == CRN_JSON_STRING) crn_json_string(value, &length);
    const bool usable = length <= LABEL_BYTES_MAX && type != CRN_JSON_ARRAY && type != CRN_JSON_OBJECT;
    if (usable)
        crn_json_write(value, out);
    else
        crn_buf_puts(out, "null");
}

static void put_payload(struct projection *projection, const char *payload)
{
    struct crn_json value;
    const char *at = projection->label + 8;

    bool found = payload != NULL &&
                 crn_json_parse(projection->parser, payload, strlen(payload), &value, NULL) == CAIRN_OK;
    while (found && *at != '\0') {
        const size_t length = strcspn(at, ".");
        found = crn_json_get_n(value, at, length, &value);
        at += length + (at[length] == '.');
    }
    if (found)
        put_scalar(&projection->labels, value);
    else
        crn_buf_puts(&projection->labels, "null");
}

static void put_label(struct projection *projection, const cairn_pattern *pattern)
{
    struct crn_buf *out = &projection->labels;
    const char *label = projection->label;

    if (strcmp(label, "domain") == 0)
        crn_v1_put_text(out, pattern->domain);
    else if (strcmp(label, "agent") == 0)
        crn_v1_put_text(out, pattern->agent);
    else if (strcmp(label, "type") == 0)
        crn_v1_put_text(out, pattern->type);
    else if (strcmp(label, "confidence") == 0)
        crn_buf_json_double(out, pattern->confidence);
    else
        put_payload(projection, pattern->payload);
}

/* ---- rows ---- */

static bool add_row(void *ctx, const cairn_pattern *pattern)
{
    struct projection *projection = ctx;
    const float *vector = crn_v1_vector_of(pattern, projection->space, projection->dim);
    const cairn_id id = crn_v1_id_of(pattern);
    float *row = projection->vectors + (size_t)projection->count * projection->dim;
    double norm2 = 0;

    if (vector == NULL) return true;
    for (uint32_t j = 0; j < projection->dim; j++) norm2 += (double)vector[j] * vector[j];
    const double scale = projection->normalize && norm2 > 0 ? 1 / sqrt(norm2) : 1;
    for (uint32_t j = 0; j < projection->dim; j++) row[j] = (float)(vector[j] * scale);
    if (projection->count++ > 0) {
        crn_buf_putc(&projection->ids, ',');
        if (projection->label != NULL) crn_buf_putc(&projection->labels, ',');
    }
    crn_v1_put_id(&projection->ids, &id);
    if (projection->label != NULL) put_label(projection, pattern);
    return true;
}

/* ---- the answer ---- */

static void put_axis(struct crn_buf *out, const char *name, const float *plane, uint32_t count)
{
    crn_buf_printf(out, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        crn_buf_json_float(out, plane[2 * i]);
    }
    crn_buf_putc(out, ']');
}

static void put_answer(struct projection *projection, uint64_t matching, const float *plane,
                       const double shares[2])
{
    struct crn_buf *out = projection->call->out;

    crn_buf_puts(out, "{\"space\":");
    crn_v1_put_text(out, projection->space);
    crn_buf_printf(out, ",\"method\":\"pca\",\"matching\":%" PRIu64 ",\"points\":%" PRIu32 ",\"explained\":[",
                   matching, projection->count);
    crn_buf_json_double(out, shares[0]);
    crn_buf_putc(out, ',');
    crn_buf_json_double(out, shares[1]);
    crn_buf_puts(out, "],\"ids\":[");
    crn_buf_append(out, projection->ids.data, projection->ids.len);
    crn_buf_putc(out, ']');
    put_axis(out, "x", plane, projection->count);
    put_axis(out, "y", plane + 1, projection->count);
    crn_buf_puts(out, ",\"label\":");
    crn_v1_put_text(out, projection->label);
    crn_buf_puts(out, ",\"labels\":[");
    crn_buf_append(out, projection->labels.data, projection->labels.len);
    crn_buf_puts(out, "]}");
}

static bool is_wanted(void *ctx)
{
    return crn_v1_wanted(ctx, NULL, 0, 0);
}

static bool project(struct projection *projection, cairn_collection *collection, const cairn_scope *scope,
                    uint32_t limit)
{
    struct crn_v1_call *call = projection->call;
    struct crn_json space;
    uint64_t matching;
    double shares[2];
    bool no_memory;

    if (!crn_v1_find_space(call, collection, projection->space, projection->parser, &space)) return false;
    projection->dim = (uint32_t)crn_v1_space_u64(space, "dim");
    projection->normalize = strcmp(crn_v1_space_text(space, "metric"), "cosine") == 0;
    const uint32_t fit = VECTORS_BYTES_MAX / (projection->dim * (uint32_t)sizeof(float));
    if (limit > fit) limit = fit;
    projection->vectors = crn_v1_take(call, (size_t)limit * projection->dim, sizeof(float));
    if (projection->vectors == NULL ||
        !crn_v1_sample(call, collection, scope, limit, add_row, projection, &matching))
        return false;
    float *plane = crn_v1_take(call, 2 * ((size_t)projection->count + 1), sizeof *plane);
    if (plane == NULL) return false;
    if (!crn_pca_plane(projection->vectors, projection->count, projection->dim, is_wanted, call, plane,
                       shares, &no_memory)) {
        return no_memory ? crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for a projection")
                         : crn_v1_refuse(call, CAIRN_CANCELLED, "nobody waits for the answer");
    }
    if (projection->ids.failed != CAIRN_OK || projection->labels.failed != CAIRN_OK) {
        return crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for a projection");
    }
    put_answer(projection, matching, plane, shares);
    return true;
}

bool crn_v1_collection_projection(struct crn_v1_call *call)
{
    static const char *const names[] = {"space", "limit", "label", V1_SCOPE_NAMES, NULL};
    cairn_collection *collection = crn_v1_lease(call);
    struct projection projection = {.call = call, .space = ""};
    uint32_t limit = POINTS_DEFAULT;
    cairn_scope scope;

    if (collection == NULL || !crn_v1_only(call, call->body, names) ||
        !crn_v1_get_text(call, call->body, "space", &projection.space) ||
        !crn_v1_get_u32(call, call->body, "limit", 1, POINTS_MAX, &limit) ||
        !crn_v1_get_text(call, call->body, "label", &projection.label) ||
        !check_label(call, projection.label) || !crn_v1_get_scope(call, call->body, &scope)) {
        return false;
    }
    projection.parser = crn_json_parser_create();
    if (projection.parser == NULL) return crn_v1_refuse(call, CAIRN_NO_MEMORY, "no memory for a parser");
    crn_buf_init(&projection.ids, SIZE_MAX / 2);
    crn_buf_init(&projection.labels, SIZE_MAX / 2);
    const bool done = project(&projection, collection, &scope, limit);
    crn_buf_release(&projection.ids);
    crn_buf_release(&projection.labels);
    crn_json_parser_free(projection.parser);
    return done;
}
