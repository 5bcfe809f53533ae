/* Planning an optimization: reading the rows, putting them in order, deciding what is pruned. */
#include "engine/memory_plan.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_BYTES 72u /* a row's numbers */

struct reading {
    struct crn_plan *plan;
    const struct crn_plan_limits *limits;
    cairn_error *err;
};

static uint64_t group_of(const struct crn_record *record)
{
    const char *names[] = {record->domain, record->agent, record->type};
    struct crn_hash hash;

    crn_hash_init(&hash, 0);
    for (size_t i = 0; i < 3; i++)
        crn_hash_update(&hash, names[i], strlen(names[i]) + 1); /* the NUL parts them */
    return crn_hash_final(&hash);
}

static cairn_status add_row(void *ctx, const struct crn_record *record)
{
    struct reading *reading = ctx;
    struct crn_plan *plan = reading->plan;
    const struct crn_plan_limits *limits = reading->limits;

    if (record->expires_at_ms != 0 && record->expires_at_ms <= limits->now_ms) return CAIRN_OK;
    if (limits->domain != NULL && strcmp(limits->domain, record->domain) != 0) return CAIRN_OK;
    if (plan->count == plan->capacity) {
        const size_t capacity = plan->capacity > 0 ? plan->capacity * 2 : 1024;
        void *grown = crn_mem_realloc_array(plan->rows, capacity, sizeof *plan->rows);
        if (grown == NULL) return crn_error_no_memory(reading->err, capacity * sizeof *plan->rows);
        plan->rows = grown;
        plan->capacity = capacity;
    }
    plan->rows[plan->count++] = (struct crn_plan_row){
        .local = record->local,
        .group = group_of(record),
        .version = record->version,
        .confidence = record->confidence,
        .usage = record->usage_count,
        .created_ms = record->created_at_ms,
    };
    return CAIRN_OK;
}

/* The survivor of a merge is the most trusted, then the most used, then the oldest. */
static int order_rows(const void *left, const void *right)
{
    const struct crn_plan_row *a = left, *b = right;

    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->confidence != b->confidence) return a->confidence > b->confidence ? -1 : 1;
    if (a->usage != b->usage) return a->usage > b->usage ? -1 : 1;
    if (a->created_ms != b->created_ms) return a->created_ms < b->created_ms ? -1 : 1;
    return a->local < b->local ? -1 : a->local > b->local;
}

static bool may_go(const struct crn_plan_row *row, const struct crn_plan_limits *limits)
{
    return row->confidence < limits->min_confidence && row->usage < limits->min_usage &&
           row->created_ms < limits->oldest_ms;
}

/*
 * A survivor is pruned only when all that it stands for would be: its use is the sum of theirs, its age that
 * of the youngest. Then they are pruned one by one and there is nothing left to merge.
 */
static void find_pruned(struct crn_plan *plan, const struct crn_plan_limits *limits)
{
    size_t kept = 0, end;

    for (size_t i = 0; i < plan->count; i++)
        plan->rows[i].pruned = !plan->rows[i].merged && may_go(&plan->rows[i], limits);
    for (size_t first = 0; first < plan->merge_count; first = end) {
        struct crn_plan_row *survivor = &plan->rows[plan->merges[first].survivor];
        struct crn_plan_row together = *survivor;

        for (end = first;
             end < plan->merge_count && plan->merges[end].survivor == plan->merges[first].survivor; end++) {
            const struct crn_plan_row *merged = &plan->rows[plan->merges[end].merged];
            if (__builtin_add_overflow(together.usage, merged->usage, &together.usage))
                together.usage = INT64_MAX;
            if (merged->created_ms > together.created_ms) together.created_ms = merged->created_ms;
        }
        survivor->pruned = may_go(&together, limits);
        for (size_t i = first; i < end; i++) {
            struct crn_plan_row *merged = &plan->rows[plan->merges[i].merged];
            merged->pruned = survivor->pruned;
            merged->merged = !survivor->pruned;
            if (!survivor->pruned) plan->merges[kept++] = plan->merges[i];
        }
    }
    plan->merge_count = kept;
    for (size_t i = 0; i < plan->count; i++) plan->pruned_count += plan->rows[i].pruned;
}

static size_t size_of(const struct crn_record *record)
{
    size_t size =
        FIELDS_BYTES + record->id_len + strlen(record->domain) + strlen(record->agent) + strlen(record->type);

    if (record->text != NULL) size += strlen(record->text);
    if (record->payload != NULL) size += strlen(record->payload);
    for (uint32_t i = 0; i < record->vector_count; i++) size += record->vectors[i].size;
    return size;
}

static cairn_status measure_rows(struct crn_plan *plan, struct crn_reader *reader,
                                 const struct crn_catalog *catalog, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct crn_buf memory;

    crn_buf_init(&memory, SIZE_MAX / 2);
    for (size_t i = 0; status == CAIRN_OK && i < plan->count; i++) {
        struct crn_plan_row *row = &plan->rows[i];
        struct crn_record record;

        if (!row->merged && !row->pruned) continue;
        crn_buf_clear(&memory);
        status = crn_read_record(reader, catalog, row->local, true, &memory, &record, err);
        if (status == CAIRN_OK) row->bytes = size_of(&record);
    }
    crn_buf_release(&memory);
    return status;
}

cairn_status crn_plan_make(struct crn_plan *plan, struct crn_reader *reader,
                           const struct crn_catalog *catalog, const struct crn_plan_limits *limits,
                           cairn_error *err)
{
    struct reading reading = {.plan = plan, .limits = limits, .err = err};

    *plan = (struct crn_plan){0};
    cairn_status status = crn_read_scan(reader, catalog, 1, 0, add_row, &reading, err);
    if (status == CAIRN_OK && plan->count > 0) {
        qsort(plan->rows, plan->count, sizeof *plan->rows, order_rows);
        status = crn_plan_find_merges(plan, reader, &catalog->spaces[0], limits->merge_similarity, err);
    }
    if (status == CAIRN_OK) {
        find_pruned(plan, limits);
        status = measure_rows(plan, reader, catalog, err);
    }
    if (status != CAIRN_OK) crn_plan_release(plan);
    return status;
}

void crn_plan_release(struct crn_plan *plan)
{
    crn_mem_free(plan->rows);
    crn_mem_free(plan->merges);
    *plan = (struct crn_plan){0};
}
