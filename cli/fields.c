/* The fields of a pattern from the command line. */
#include "cli/fields.h"

#include "base/clock.h"
#include "base/error.h"
#include "cli/vector_argument.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOT_GIVEN UINT64_MAX

static const char *domain, *agent, *type, *text, *payload, *vector, *space, *model;
static const char *created_at, *last_used, *expires_at;
static double confidence = NAN; /* not given */
static uint64_t usage_count = NOT_GIVEN;
static uint64_t success_count = NOT_GIVEN;

static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("text", "TEXT", text, "what the pattern says"),
    CRN_CLI_OPTION_TEXT("vector", "JSON|@FILE|-", vector,
                        "its vector: [0.1,0.2]; from a file; from standard input"),
    CRN_CLI_OPTION_TEXT("space", "NAME", space, "the space of the vector (default: the unnamed one)"),
    CRN_CLI_OPTION_TEXT("model", "NAME", model, "what made the vector"),
    CRN_CLI_OPTION_TEXT("payload", "JSON", payload, "a JSON object kept with it"),
    CRN_CLI_OPTION_TEXT("domain", "NAME", domain, "what it is filed under"),
    CRN_CLI_OPTION_TEXT("agent", "NAME", agent, "whose it is"),
    CRN_CLI_OPTION_TEXT("type", "NAME", type, "pattern (the default), or any word"),
    CRN_CLI_OPTION_NUMBER("confidence", "C", confidence, "0 to 1 (default: 0.5)"),
    CRN_CLI_OPTION_COUNT("usage-count", "N", 0, INT64_MAX, usage_count, "how often it was used"),
    CRN_CLI_OPTION_COUNT("success-count", "N", 0, INT64_MAX, success_count, "how often with success"),
    CRN_CLI_OPTION_TEXT("created-at", "TIME", created_at,
                        "ms since 1970, or 2024-05-01T10:00:00Z (default: now)"),
    CRN_CLI_OPTION_TEXT("last-used", "TIME", last_used, "when it was last used"),
    CRN_CLI_OPTION_TEXT("expires-at", "TIME", expires_at, "when it goes away; 0: never"),
    {0},
};
const struct crn_cli_group crn_cli_fields_group = {"Fields", options};

static cairn_status read_time(const char *name, const char *value, int64_t *out, cairn_error *err)
{
    char *end;

    if (crn_clock_parse(value, strlen(value), out)) return CAIRN_OK;
    *out = strtoll(value, &end, 10);
    if (value[0] >= '0' && value[0] <= '9' && *end == '\0') return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                         "--%s wants ms since 1970 or 2024-05-01T10:00:00Z, not '%s'", name, value);
}

static cairn_status set_times(cairn_pattern *out, cairn_error *err)
{
    if (created_at != NULL) CRN_TRY(read_time("created-at", created_at, &out->created_at_ms, err));
    if (last_used != NULL) {
        CRN_TRY(read_time("last-used", last_used, &out->last_used_ms, err));
        out->fields |= CAIRN_FIELD_LAST_USED;
    }
    if (expires_at != NULL) {
        CRN_TRY(read_time("expires-at", expires_at, &out->expires_at_ms, err));
        out->fields |= CAIRN_FIELD_EXPIRES;
    }
    return CAIRN_OK;
}

static void set_counts(cairn_pattern *out)
{
    if (!isnan(confidence)) {
        out->confidence = confidence;
        out->fields |= CAIRN_FIELD_CONFIDENCE;
    }
    if (usage_count != NOT_GIVEN) {
        out->usage_count = (int64_t)usage_count;
        out->fields |= CAIRN_FIELD_USAGE;
    }
    if (success_count != NOT_GIVEN) {
        out->success_count = (int64_t)success_count;
        out->fields |= CAIRN_FIELD_SUCCESS;
    }
}

static cairn_status set_vector(struct crn_arena *arena, cairn_pattern *out, cairn_error *err)
{
    cairn_vector *parsed = crn_arena_alloc(arena, sizeof *parsed);

    if (parsed == NULL) return crn_error_no_memory(err, sizeof *parsed);
    CRN_TRY(crn_cli_vector_argument(vector, arena, parsed, err));
    if (space == NULL && parsed->indices == NULL && parsed->rows == 0) {
        out->vector = parsed->values;
        out->dim = parsed->dim;
    } else {
        parsed->space = space;
        out->vectors = parsed;
        out->vector_count = 1;
    }
    return CAIRN_OK;
}

cairn_status crn_cli_fields(struct crn_arena *arena, cairn_pattern *out, cairn_error *err)
{
    *out = (cairn_pattern){.size = sizeof *out,
                           .domain = domain,
                           .agent = agent,
                           .type = type,
                           .text = text,
                           .payload = payload,
                           .model = model};
    set_counts(out);
    CRN_TRY(set_times(out, err));
    return vector != NULL ? set_vector(arena, out, err) : CAIRN_OK;
}
