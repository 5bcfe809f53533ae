/* cairn retrieve: memories with reasoning. */
#include "base/arena.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/memory_report.h"
#include "cli/output.h"
#include "cli/record.h"
#include "cli/scope.h"
#include "cli/show.h"
#include "cli/store.h"
#include "cli/vector_argument.h"

#include <math.h>
#include <stdio.h>

static const char *db_path, *text, *vector;
static uint64_t k = 10;
static unsigned metric;
static double vector_weight, metadata_weight;
static double mmr = NAN; /* not given */
static bool context, optimize, no_touch, json;

static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("text", "TEXT", text, "what the memories should help with"),
    CRN_CLI_OPTION_TEXT("vector", "JSON|@FILE|-", vector, "the same as a vector: [0.1,0.2]"),
    CRN_CLI_OPTION_COUNT("k", "N", 1, CAIRN_K_MAX, k, "how many (default: 10)", .letter = 'k'),
    CRN_CLI_OPTION_CHOICE("metric", "cosine|l2|dot|manhattan", metric,
                          "rank by this one (default: the collection's)"),
    CRN_CLI_OPTION_NUMBER("vector-weight", "W", vector_weight, "hybrid ranking: the share of similarity"),
    CRN_CLI_OPTION_NUMBER("metadata-weight", "W", metadata_weight,
                          "hybrid ranking: the share of filter, age, confidence"),
    CRN_CLI_OPTION_NUMBER("mmr", "LAMBDA", mmr, "choose various ones: 1 is pure relevance, 0 pure diversity"),
    CRN_CLI_OPTION_FLAG("context", context, "tell what the memories have in common"),
    CRN_CLI_OPTION_FLAG("optimize", optimize, "merge and prune memories first, as `cairn prune` does"),
    CRN_CLI_OPTION_FLAG("no-touch", no_touch, "do not count this as use"),
    CRN_CLI_OPTION_FLAG("json", json, "print one JSON object"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status retrieve(cairn_collection *collection, const cairn_vector *parsed, cairn_reasoning **out,
                             cairn_error *err)
{
    cairn_scope scope = crn_cli_scope();

    return cairn_retrieve(
        collection,
        CAIRN_OPTIONS(cairn_retrieve_options, .vector = parsed->values, .dim = parsed->dim, .text = text,
                      .k = (uint32_t)k, .domain = scope.domain, .agent = scope.agent, .filter = scope.filter,
                      .min_confidence = scope.min_confidence, .metric = (cairn_metric)metric,
                      .vector_weight = vector_weight, .metadata_weight = metadata_weight,
                      .use_mmr = !isnan(mmr), .mmr_lambda = isnan(mmr) ? 0 : mmr,
                      .synthesize_context = context, .optimize_memory = optimize, .no_touch = no_touch),
        out, err);
}

static cairn_status print_json(const cairn_reasoning *reasoning, cairn_error *err)
{
    const char *synthesized = cairn_reasoning_context(reasoning);
    const cairn_memory_report *report = cairn_reasoning_report(reasoning);
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    crn_buf_puts(&buf, "{\"memories\":[");
    for (size_t i = 0; i < cairn_reasoning_count(reasoning); i++) {
        const cairn_memory *memory = cairn_reasoning_at(reasoning, i);
        crn_buf_puts(&buf, i > 0 ? ",{\"similarity\":" : "{\"similarity\":");
        crn_buf_json_double(&buf, memory->similarity);
        crn_buf_puts(&buf, ",\"score\":");
        crn_buf_json_double(&buf, memory->score);
        crn_cli_record_write_members(&buf, memory->pattern, true);
        crn_buf_putc(&buf, '}');
    }
    crn_buf_putc(&buf, ']');
    if (synthesized != NULL) {
        crn_buf_puts(&buf, ",\"context\":");
        crn_cli_record_write_json(&buf, synthesized);
    }
    if (report != NULL) {
        crn_buf_puts(&buf, ",\"optimizations\":");
        crn_cli_memory_report_write(&buf, report);
    }
    cairn_status status = crn_buf_putc(&buf, '}');
    if (status == CAIRN_OK) crn_cli_output_line(&buf);
    crn_buf_release(&buf);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "no memory to print the answer");
}

static cairn_status print_table(const cairn_reasoning *reasoning, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "#", .right = true},
                                                    {.title = "score", .right = true, .style = CRN_CLI_GREEN},
                                                    {.title = "similarity", .right = true},
                                                    {.title = "id", .style = CRN_CLI_BOLD},
                                                    {.title = "domain"},
                                                    {.title = "text", .grows = true}};
    struct crn_cli_table table;
    char number[24];

    crn_cli_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < cairn_reasoning_count(reasoning); i++) {
        const cairn_memory *memory = cairn_reasoning_at(reasoning, i);
        crn_cli_table_cell(&table, "%zu", i + 1);
        crn_cli_table_cell(&table, "%.4f", memory->score);
        crn_cli_table_cell(&table, "%.4f", memory->similarity);
        crn_cli_table_text(&table, crn_cli_show_id(memory->pattern, number));
        crn_cli_table_text(&table, memory->pattern->domain);
        crn_cli_table_text(&table, crn_cli_show_text(memory->pattern));
    }
    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);

    const char *narrative = cairn_reasoning_narrative(reasoning);
    if (narrative != NULL) {
        putchar('\n');
        crn_cli_output_text(narrative);
        putchar('\n');
    }
    if (cairn_reasoning_report(reasoning) != NULL) {
        putchar('\n');
        crn_cli_memory_report_print(cairn_reasoning_report(reasoning), false);
    }
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_arena arena = {0};
    cairn_reasoning *reasoning = NULL;
    cairn_vector parsed = {0};
    cairn_status status = CAIRN_OK;
    cairn_error err;

    if (text == NULL && vector == NULL)
        return crn_cli_usage("nothing to retrieve for; give --text TEXT or --vector JSON");

    if (vector != NULL) status = crn_cli_vector_argument(vector, &arena, &parsed, &err);
    if (status == CAIRN_OK && (parsed.indices != NULL || parsed.rows > 0)) {
        status = crn_error_set(&err, CAIRN_INVALID_ARGUMENT, "--vector is not one dense vector");
    }
    if (status == CAIRN_OK)
        status = crn_cli_store_open(&store, db_path, no_touch ? CRN_CLI_READ : CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) status = retrieve(store.collection, &parsed, &reasoning, &err);
    if (status == CAIRN_OK) status = json ? print_json(reasoning, &err) : print_table(reasoning, &err);
    cairn_reasoning_free(reasoning);
    crn_cli_store_close(&store);
    crn_arena_release(&arena);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_retrieve = {
    .name = "retrieve",
    .summary = "Retrieves memories by similarity, age and confidence, and counts their use",
    .detail = "Ranked by 0.65 similarity + 0.15 e^(-days/45) + 0.20 confidence, or by the hybrid weights\n"
              "when one is given.",
    .examples = "cairn retrieve memory.cairn --text \"the build is slow\" --domain build --k 5\n"
                "cairn retrieve memory.cairn --text \"the build is slow\" --mmr 0.5 --context",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_scope_group, &crn_cli_collection_group, &crn_cli_embed_group),
    .run = run,
};
