/* What drawing and measuring a collection have in common: a dense space's settings, and some of its rows. */
#include "server/v1_internal.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_ROWS 256u
#define BLOCK_ROWS 8u /* rows read one after the other; between two blocks rows are left out */
#define CURSOR_MAX UINT32_MAX

/* ---- the space ---- */

bool crn_v1_find_space(struct crn_v1_call *call, cairn_collection *collection, const char *name,
                       struct crn_json_parser *parser, struct crn_json *out)
{
    struct crn_json stats, spaces, value;
    struct crn_json_iter it;
    const char *key;
    size_t length;
    char *text = NULL;
    cairn_error err = {0};

    if (!crn_v1_ok(call, cairn_collection_stats(collection, &text, &err), &err)) return false;
    const cairn_status parsed = crn_json_parse(parser, text, strlen(text), &stats, &err);
    cairn_free(text);
    if (!crn_v1_ok(call, parsed, &err)) return false;
    if (!crn_json_get(stats, "spaces", &spaces))
        return crn_v1_refuse(call, CAIRN_INTERNAL, "the statistics have no spaces");
    for (crn_json_iter_init(&it, spaces); crn_json_iter_next(&it, out, &key, &length);) {
        if (!crn_json_get(*out, "name", &value) || strcmp(crn_json_string(value, &length), name) != 0)
            continue;
        if (crn_json_get(*out, "kind", &value) && strcmp(crn_json_string(value, &length), "dense") == 0)
            return true;
        return crn_v1_refuse(call, CAIRN_UNSUPPORTED, "the space '%.100s' is %s, not dense", name,
                             crn_json_string(value, &length));
    }
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "there is no space '%.100s'", name);
}

uint64_t crn_v1_space_u64(struct crn_json space, const char *member)
{
    struct crn_json value;

    return crn_json_get(space, member, &value) ? crn_json_u64(value) : 0;
}

const char *crn_v1_space_text(struct crn_json space, const char *member)
{
    struct crn_json value;
    size_t length;

    return crn_json_get(space, member, &value) ? crn_json_string(value, &length) : "";
}

const float *crn_v1_vector_of(const cairn_pattern *pattern, const char *space, uint32_t dim)
{
    if (space[0] == '\0' && pattern->vector != NULL) return pattern->dim == dim ? pattern->vector : NULL;
    for (uint32_t i = 0; i < pattern->vector_count; i++) {
        const cairn_vector *vector = &pattern->vectors[i];
        if (vector->indices != NULL || vector->rows > 0 || vector->dim != dim) continue;
        if (strcmp(vector->space != NULL ? vector->space : "", space) == 0) return vector->values;
    }
    return NULL;
}

/* ---- some of the rows ---- */

struct sample {
    struct crn_v1_call *call;
    cairn_collection *collection;
    const cairn_scope *scope;
    crn_v1_visit visit;
    void *ctx;
    size_t left; /* rows still wanted */
};

/* Up to `limit` rows from the cursor on, which is moved behind them; 0 at the end. */
static bool read_rows(struct sample *sample, uint64_t *cursor, size_t limit)
{
    cairn_patterns *patterns = NULL;
    bool done = true;
    cairn_error err = {0};

    if (limit > sample->left) limit = sample->left;
    if (!crn_v1_wanted(sample->call, NULL, 0, 0))
        return crn_v1_refuse(sample->call, CAIRN_CANCELLED, "nobody waits for the answer");
    if (!crn_v1_ok(sample->call,
                   cairn_scroll(sample->collection, sample->scope, cursor, limit, true, &patterns, &err),
                   &err))
        return false;
    for (size_t i = 0; done && i < cairn_patterns_count(patterns); i++) {
        const cairn_pattern *pattern = cairn_patterns_at(patterns, i);
        if (pattern->id == NULL) continue;
        sample->left--;
        done = sample->visit(sample->ctx, pattern);
    }
    cairn_patterns_free(patterns);
    return done;
}

/* Whether a row is at the cursor or behind it. */
static bool has_rows(struct crn_v1_call *call, cairn_collection *collection, uint64_t cursor, bool *out)
{
    cairn_patterns *patterns = NULL;
    cairn_error err = {0};

    if (!crn_v1_ok(call, cairn_scroll(collection, NULL, &cursor, 1, false, &patterns, &err), &err))
        return false;
    *out = cairn_patterns_count(patterns) > 0;
    cairn_patterns_free(patterns);
    return true;
}

/* The last cursor behind which there is a row: doubling, then halving. */
static bool find_end(struct crn_v1_call *call, cairn_collection *collection, uint64_t *out)
{
    uint64_t low = 1, high = 2;
    bool found = true;

    while (found && high <= CURSOR_MAX) {
        if (!has_rows(call, collection, high, &found)) return false;
        if (found) {
            low = high;
            high *= 2;
        }
    }
    if (high > CURSOR_MAX) high = (uint64_t)CURSOR_MAX + 1;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (!has_rows(call, collection, middle, &found)) return false;
        if (found)
            low = middle;
        else
            high = middle;
    }
    *out = low;
    return true;
}

bool crn_v1_sample(struct crn_v1_call *call, cairn_collection *collection, const cairn_scope *scope,
                   size_t wanted, crn_v1_visit visit, void *ctx, uint64_t *out_matching)
{
    struct sample sample = {call, collection, scope, visit, ctx, wanted};
    uint64_t cursor = 0, end;
    cairn_error err = {0};

    if (!crn_v1_ok(call, cairn_count(collection, scope, out_matching, &err), &err)) return false;
    if (*out_matching <= wanted) {
        do {
            if (!read_rows(&sample, &cursor, PAGE_ROWS)) return false;
        } while (cursor != 0 && sample.left > 0);
        return true;
    }
    if (!find_end(call, collection, &end)) return false;
    const uint64_t blocks = (wanted + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (uint64_t i = 0; i < blocks && sample.left > 0; i++) {
        const uint64_t begin = 1 + end * i / blocks;
        if (begin > cursor) cursor = begin;
        if (!read_rows(&sample, &cursor, BLOCK_ROWS)) return false;
        if (cursor == 0) break;
    }
    return true;
}
