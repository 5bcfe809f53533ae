/* A context as JSON for programs and as a paragraph for readers. Field names are those of AgentDB's API. */
#include "engine/context.h"

#include <inttypes.h>
#include <string.h>

/* ---- JSON ---- */

static void put_name(struct crn_buf *buf, const char *name)
{
    crn_buf_printf(buf, "\"%s\":", name);
}

static void put_string(struct crn_buf *buf, const char *name, const char *text)
{
    put_name(buf, name);
    crn_buf_json_string(buf, text, strlen(text));
}

static void put_double(struct crn_buf *buf, const char *name, double value)
{
    put_name(buf, name);
    crn_buf_json_double(buf, value);
}

/* A number for ids that are numbers, so that they are told apart from strings of digits. */
static void put_id(struct crn_buf *buf, const char *name, const cairn_pattern *pattern)
{
    if (pattern->id_type != CAIRN_ID_U64) {
        put_string(buf, name, pattern->id);
    } else {
        crn_buf_printf(buf, "\"%s\":%" PRIu64, name, pattern->id_u64);
    }
}

static void put_query(const cairn_retrieve_options *options, struct crn_buf *buf)
{
    crn_buf_printf(buf, "\"query\":{\"k\":%" PRIu32, options->k);
    if (options->text != NULL) {
        crn_buf_putc(buf, ',');
        put_string(buf, "text", options->text);
    }
    if (options->domain != NULL) {
        crn_buf_putc(buf, ',');
        put_string(buf, "domain", options->domain);
    }
    if (options->agent != NULL) {
        crn_buf_putc(buf, ',');
        put_string(buf, "agent", options->agent);
    }
    if (options->filter != NULL) crn_buf_printf(buf, ",\"filters\":%s", options->filter); /* JSON already */
    crn_buf_putc(buf, '}');
}

static void put_similar(const struct crn_context *context, size_t i, struct crn_buf *buf)
{
    const cairn_memory *memory = &context->memories[i];
    const cairn_pattern *pattern = memory->pattern;

    crn_buf_puts(buf, i > 0 ? ",{" : "{");
    put_id(buf, "id", pattern);
    crn_buf_putc(buf, ',');
    put_string(buf, "label", context->labels[i]);
    crn_buf_putc(buf, ',');
    put_string(buf, "domain", pattern->domain);
    crn_buf_putc(buf, ',');
    put_string(buf, "agent", pattern->agent);
    crn_buf_putc(buf, ',');
    put_string(buf, "type", pattern->type);
    crn_buf_putc(buf, ',');
    put_double(buf, "similarity", memory->similarity);
    crn_buf_putc(buf, ',');
    put_double(buf, "score", memory->score);
    crn_buf_putc(buf, ',');
    put_double(buf, "confidence", pattern->confidence);
    crn_buf_printf(buf, ",\"usageCount\":%" PRId64 ",\"successCount\":%" PRId64 "}", pattern->usage_count,
                   pattern->success_count);
}

static void put_graph(const struct crn_context *context, struct crn_buf *buf)
{
    crn_buf_puts(buf, "\"graph\":{\"nodes\":[");
    for (size_t i = 0; i < context->count; i++) {
        crn_buf_puts(buf, i > 0 ? ",{" : "{");
        put_id(buf, "id", context->memories[i].pattern);
        crn_buf_putc(buf, ',');
        put_string(buf, "label", context->labels[i]);
        crn_buf_putc(buf, '}');
    }
    crn_buf_puts(buf, "],\"edges\":[");
    for (size_t i = 0; i < context->edge_count; i++) {
        const struct crn_context_edge *edge = &context->edges[i];
        crn_buf_puts(buf, i > 0 ? ",{" : "{");
        put_id(buf, "source", context->memories[edge->from].pattern);
        crn_buf_putc(buf, ',');
        put_id(buf, "target", context->memories[edge->to].pattern);
        crn_buf_putc(buf, ',');
        put_double(buf, "weight", edge->cosine);
        crn_buf_putc(buf, '}');
    }
    crn_buf_puts(buf, "]}");
}

static void put_recommendations(const struct crn_context *context, struct crn_buf *buf)
{
    crn_buf_puts(buf, "\"recommendations\":[");
    for (size_t i = 0; i < context->recommended_count; i++) {
        const size_t at = context->recommended[i];
        const cairn_pattern *pattern = context->memories[at].pattern;
        crn_buf_puts(buf, i > 0 ? ",{" : "{");
        put_id(buf, "id", pattern);
        crn_buf_putc(buf, ',');
        put_string(buf, "label", context->labels[at]);
        crn_buf_putc(buf, ',');
        put_double(buf, "successRate", crn_context_success_rate(pattern));
        crn_buf_putc(buf, ',');
        put_double(buf, "confidence", pattern->confidence);
        crn_buf_putc(buf, '}');
    }
    crn_buf_putc(buf, ']');
}

cairn_status crn_context_write(const struct crn_context *context, struct crn_buf *buf)
{
    crn_buf_putc(buf, '{');
    put_query(context->options, buf);
    crn_buf_puts(buf, ",\"similarPatterns\":[");
    for (size_t i = 0; i < context->count; i++) put_similar(context, i, buf);
    crn_buf_puts(buf, "],\"synthesizedContext\":{\"themes\":[");
    for (size_t i = 0; i < context->themes.count; i++) {
        if (i > 0) crn_buf_putc(buf, ',');
        crn_buf_json_string(buf, context->themes.terms[i], strlen(context->themes.terms[i]));
    }
    crn_buf_puts(buf, "],");
    put_graph(context, buf);
    crn_buf_putc(buf, ',');
    put_double(buf, "confidence", context->confidence);
    crn_buf_putc(buf, ',');
    put_recommendations(context, buf);
    return crn_buf_puts(buf, "}}");
}

/* ---- narrative ---- */

/* What a pattern is called: its label in quotes, or its id. */
static void say_pattern(const struct crn_context *context, size_t i, struct crn_buf *buf)
{
    const cairn_pattern *pattern = context->memories[i].pattern;

    if (context->labels[i][0] != '\0') {
        crn_buf_printf(buf, "\"%s\"", context->labels[i]);
    } else if (pattern->id_type == CAIRN_ID_U64) {
        crn_buf_printf(buf, "pattern %" PRIu64, pattern->id_u64);
    } else {
        crn_buf_printf(buf, "pattern %s", pattern->id);
    }
}

static void say_found(const struct crn_context *context, struct crn_buf *buf)
{
    const cairn_retrieve_options *options = context->options;

    crn_buf_printf(buf, "%zu pattern%s", context->count, context->count == 1 ? "" : "s");
    if (options->domain != NULL) crn_buf_printf(buf, " of domain \"%s\"", options->domain);
    if (options->agent != NULL) crn_buf_printf(buf, " by agent \"%s\"", options->agent);
    crn_buf_printf(buf, " found, with an average confidence of %.2f. Best match: ", context->confidence);
    say_pattern(context, 0, buf);
    crn_buf_printf(buf, " (similarity %.2f, confidence %.2f).", context->memories[0].similarity,
                   context->memories[0].pattern->confidence);
}

static void say_edges(const struct crn_context *context, struct crn_buf *buf)
{
    const struct crn_context_edge *nearest = context->edges;

    if (context->edge_count == 0) return;
    for (size_t i = 1; i < context->edge_count; i++) {
        if (context->edges[i].cosine > nearest->cosine) nearest = &context->edges[i];
    }
    crn_buf_printf(buf, " %zu pair%s closely related", context->edge_count,
                   context->edge_count == 1 ? " is" : "s are");
    crn_buf_puts(buf, context->edge_count == 1 ? ": " : ", above all ");
    say_pattern(context, nearest->from, buf);
    crn_buf_puts(buf, " and ");
    say_pattern(context, nearest->to, buf);
    crn_buf_printf(buf, " (%.2f).", nearest->cosine);
}

static void say_recommendations(const struct crn_context *context, struct crn_buf *buf)
{
    for (size_t i = 0; i < context->recommended_count; i++) {
        const size_t at = context->recommended[i];
        const cairn_pattern *pattern = context->memories[at].pattern;
        crn_buf_puts(buf, i == 0 ? " Worked before: " : "; ");
        say_pattern(context, at, buf);
        crn_buf_printf(buf, " (%" PRId64 " of %" PRId64 " uses)", pattern->success_count,
                       pattern->usage_count);
    }
    if (context->recommended_count > 0) crn_buf_putc(buf, '.');
}

cairn_status crn_context_narrate(const struct crn_context *context, struct crn_buf *buf)
{
    if (context->count == 0) return crn_buf_puts(buf, "No pattern was found.");
    say_found(context, buf);
    for (size_t i = 0; i < context->themes.count; i++) {
        crn_buf_printf(buf, "%s%s", i == 0 ? " Themes: " : ", ", context->themes.terms[i]);
    }
    if (context->themes.count > 0) crn_buf_putc(buf, '.');
    say_edges(context, buf);
    say_recommendations(context, buf);
    return buf->failed;
}
