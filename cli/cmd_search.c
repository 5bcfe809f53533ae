/* cairn search: nearest patterns by vector, by text, or by both. */
#include "base/arena.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/record.h"
#include "cli/scope.h"
#include "cli/show.h"
#include "cli/store.h"
#include "cli/vector_argument.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *db_path, *text, *vector, *space, *model;
static uint64_t k = 10;
static uint64_t ef, nprobe, timeout_ms;
static unsigned mode, fusion, device;
static double lexical_weight, oversampling, recall;
static double min_score = NAN; /* not given */
static bool exact, json, info, with_vectors;

static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option query_options[] = {
    CRN_CLI_OPTION_TEXT("text", "TEXT", text, "find patterns for this text"),
    CRN_CLI_OPTION_TEXT("vector", "JSON|@FILE|-", vector, "find patterns near this vector: [0.1,0.2]"),
    CRN_CLI_OPTION_COUNT("k", "N", 1, CAIRN_K_MAX, k, "how many (default: 10)", .letter = 'k'),
    CRN_CLI_OPTION_CHOICE("mode", "auto|vector|lexical|hybrid", mode, "by what (default: by what is given)"),
    CRN_CLI_OPTION_CHOICE("fusion", "rrf|weighted", fusion,
                          "how hybrid joins its two rankings (default: rrf)"),
    CRN_CLI_OPTION_NUMBER("lexical-weight", "W", lexical_weight,
                          "share of the texts in weighted fusion (default: 0.5)"),
    CRN_CLI_OPTION_NUMBER("min-score", "S", min_score, "only with this score or more"),
    CRN_CLI_OPTION_TEXT("space", "NAME", space, "the vector space (default: the unnamed one)"),
    CRN_CLI_OPTION_TEXT("model", "NAME", model,
                        "what made the vector; another model than the space's is an error"),
    {0},
};
static const struct crn_cli_option effort_options[] = {
    CRN_CLI_OPTION_FLAG("exact", exact, "compare with every pattern, at full precision"),
    CRN_CLI_OPTION_COUNT("ef", "N", 1, UINT32_MAX, ef, "candidates a graph index keeps"),
    CRN_CLI_OPTION_NUMBER("recall", "X", recall,
                          "share of the true results wanted of a graph index, instead of --ef"),
    CRN_CLI_OPTION_COUNT("nprobe", "N", 1, UINT32_MAX, nprobe, "lists an inverted-file index visits"),
    CRN_CLI_OPTION_NUMBER("oversampling", "X", oversampling,
                          "candidates rescored for each of k, with quantization"),
    CRN_CLI_OPTION_CHOICE("device", "cpu|gpu", device,
                          "what compares vectors (default: what the index says)"),
    CRN_CLI_OPTION_COUNT("timeout-ms", "N", 1, UINT32_MAX, timeout_ms, "give up after this time"),
    {0},
};
static const struct crn_cli_option output_options[] = {
    CRN_CLI_OPTION_FLAG("json", json, "print a JSON object a hit"),
    CRN_CLI_OPTION_FLAG("info", info, "with --json: a last object that tells how it was found"),
    CRN_CLI_OPTION_FLAG("vectors", with_vectors, "with --json: the vectors as well"),
    {0},
};
static const struct crn_cli_group query_group = {"Query", query_options};
static const struct crn_cli_group effort_group = {"Effort", effort_options};
static const struct crn_cli_group output_group = {"Output", output_options};

static cairn_status make_query(struct crn_arena *arena, cairn_query *query, cairn_error *err)
{
    cairn_scope scope = crn_cli_scope();
    cairn_vector parsed = {0};

    if (vector != NULL) CRN_TRY(crn_cli_vector_argument(vector, arena, &parsed, err));
    if (parsed.rows > 0)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--vector holds several vectors; give one");
    *query = (cairn_query){
        .size = sizeof *query,
        .vector = parsed.values,
        .dim = parsed.indices != NULL ? parsed.count : parsed.dim,
        .indices = parsed.indices,
        .space = space,
        .model = model,
        .text = text,
        .k = (uint32_t)k,
        .mode = mode > 0 ? (cairn_search_mode)(mode - 1) : CAIRN_SEARCH_AUTO,
        .fusion = fusion > 0 ? (cairn_fusion)(fusion - 1) : CAIRN_FUSION_RRF,
        .lexical_weight = lexical_weight,
        .domain = scope.domain,
        .agent = scope.agent,
        .type = scope.type,
        .filter = scope.filter,
        .min_confidence = scope.min_confidence,
        .min_score = isnan(min_score) ? 0 : min_score,
        .has_min_score = !isnan(min_score),
        .exact = exact,
        .ef = (uint32_t)ef,
        .nprobe = (uint32_t)nprobe,
        .recall = recall,
        .oversampling = oversampling,
        .timeout_ms = (uint32_t)timeout_ms,
        .with_pattern = true,
        .with_vectors = json && with_vectors,
        .device = (cairn_device)device, /* 0: not given */
    };
    return CAIRN_OK;
}

static cairn_status print_json(const cairn_results *results, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        crn_buf_printf(&buf, "{\"rank\":%zu,\"score\":", i + 1);
        crn_buf_json_float(&buf, hit->score);
        crn_buf_puts(&buf, ",\"distance\":");
        crn_buf_json_float(&buf, hit->distance);
        crn_cli_record_write_members(&buf, hit->pattern, true);
        if (crn_buf_putc(&buf, '}') != CAIRN_OK || !crn_cli_output_line(&buf)) break;
    }
    if (info && buf.failed == CAIRN_OK) {
        cairn_search_info about = {.size = sizeof about};
        cairn_results_info(results, &about);
        printf("{\"info\":{\"plan\":\"%s\",\"rows\":%llu,\"rows_matched\":%llu,\"rows_scored\":%llu,"
               "\"sequence\":%llu,\"elapsed_ms\":%.3f,\"device\":\"%s\"}}\n",
               about.plan, (unsigned long long)about.rows, (unsigned long long)about.rows_matched,
               (unsigned long long)about.rows_scored, (unsigned long long)about.sequence, about.elapsed_ms,
               about.device);
    }
    cairn_status failed = buf.failed;
    crn_buf_release(&buf);
    return failed == CAIRN_OK ? CAIRN_OK : crn_error_set(err, failed, "no memory to print a hit");
}

static void print_footer(const cairn_results *results)
{
    cairn_search_info about = {.size = sizeof about};
    struct crn_cli_number number;

    cairn_results_info(results, &about);
    printf("%s%zu hit%s", crn_cli_style(CRN_CLI_FAINT), cairn_results_count(results),
           cairn_results_count(results) == 1 ? "" : "s");
    printf(" in %s", crn_cli_duration(about.elapsed_ms / 1e3, &number));
    printf(", plan %s%s, %s rows", about.plan, strcmp(about.device, "gpu") == 0 ? " on the GPU" : "",
           crn_cli_count(about.rows, &number));
    if (about.rows_matched < about.rows)
        printf(", %s match the filter", crn_cli_count(about.rows_matched, &number));
    printf("%s\n", crn_cli_style(CRN_CLI_PLAIN));
}

static cairn_status print_table(const cairn_results *results, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "#", .right = true},
                                                    {.title = "score", .right = true, .style = CRN_CLI_GREEN},
                                                    {.title = "id", .style = CRN_CLI_BOLD},
                                                    {.title = "domain"},
                                                    {.title = "text", .grows = true}};
    struct crn_cli_table table;
    char number[24];

    crn_cli_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        crn_cli_table_cell(&table, "%zu", i + 1);
        crn_cli_table_cell(&table, "%.4f", (double)hit->score);
        crn_cli_table_text(&table, crn_cli_show_id(hit->pattern, number));
        crn_cli_table_text(&table, hit->pattern->domain);
        crn_cli_table_text(&table, crn_cli_show_text(hit->pattern));
    }
    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    if (status == CAIRN_OK) print_footer(results);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_arena arena = {0};
    cairn_results *results = NULL;
    cairn_query query;
    cairn_error err;

    if (text == NULL && vector == NULL)
        return crn_cli_usage("nothing to search for; give --text TEXT or --vector JSON");

    cairn_status status = make_query(&arena, &query, &err);
    if (status == CAIRN_OK) status = crn_cli_store_open(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK) status = cairn_search(store.collection, &query, &results, &err);
    if (status == CAIRN_OK) status = json ? print_json(results, &err) : print_table(results, &err);
    cairn_results_free(results);
    crn_cli_store_close(&store);
    crn_arena_release(&arena);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_search = {
    .name = "search",
    .summary = "Finds the nearest patterns by vector, by text, or by both",
    .detail = "A text is compared as a vector when the built-in embedder made the collection's vectors or\n"
              "--embed names what did, and by its words when the collection has a lexical index; --mode\n"
              "hybrid joins the two. Finding nothing is no failure. Filters: docs/FILTERS.md.",
    .examples = "cairn search memory.cairn --text \"speed up the build\" --k 5\n"
                "cairn search memory.cairn --text ccache --mode hybrid --filter '{\"size\":{\"$lt\":1000}}'\n"
                "cairn search memory.cairn --vector @query.json --exact --json",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&query_group, &crn_cli_scope_group, &effort_group, &output_group,
                             &crn_cli_collection_group, &crn_cli_embed_group),
    .run = run,
};
