/* Records of the store as public patterns. */
#include "engine/patterns.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

struct crn_pattern_slot {
    struct crn_buf memory; /* what the pattern's strings point into */
    cairn_vector *vectors; /* [pattern.vector_count] */
    void *values;          /* the vectors' numbers, aligned */
};

struct cairn_patterns {
    size_t count, capacity;
    cairn_pattern *patterns;
    struct crn_pattern_slot *slots;
};

struct cairn_patterns *crn_patterns_create(size_t capacity, cairn_error *err)
{
    struct cairn_patterns *set = crn_mem_calloc(1, sizeof *set);

    if (set != NULL) {
        set->patterns = crn_mem_calloc(capacity, sizeof *set->patterns);
        set->slots = crn_mem_calloc(capacity, sizeof *set->slots);
        set->capacity = capacity;
    }
    if (set == NULL || set->patterns == NULL || set->slots == NULL) {
        cairn_patterns_free(set);
        crn_error_no_memory(err, capacity * sizeof *set->patterns);
        return NULL;
    }
    return set;
}

void cairn_patterns_free(cairn_patterns *patterns)
{
    if (patterns == NULL) return;
    for (size_t i = 0; patterns->slots != NULL && i < patterns->count; i++) {
        crn_buf_release(&patterns->slots[i].memory);
        crn_mem_free(patterns->slots[i].vectors);
        crn_mem_free(patterns->slots[i].values);
    }
    crn_mem_free(patterns->slots);
    crn_mem_free(patterns->patterns);
    crn_mem_free(patterns);
}

void crn_patterns_drop_last(struct cairn_patterns *set)
{
    struct crn_pattern_slot *slot = &set->slots[--set->count];

    crn_buf_release(&slot->memory);
    crn_mem_free(slot->vectors);
    crn_mem_free(slot->values);
    memset(slot, 0, sizeof *slot);
    memset(&set->patterns[set->count], 0, sizeof *set->patterns);
}

size_t cairn_patterns_count(const cairn_patterns *patterns)
{
    return patterns == NULL ? 0 : patterns->count;
}

const cairn_pattern *cairn_patterns_at(const cairn_patterns *patterns, size_t i)
{
    return patterns == NULL || i >= patterns->count ? NULL : &patterns->patterns[i];
}

static const struct crn_space *space_of(const struct crn_catalog *catalog, uint32_t id)
{
    for (uint32_t i = 0; i < catalog->space_count; i++) {
        if (catalog->spaces[i].id == id) return &catalog->spaces[i];
    }
    return NULL;
}

/* Points a public vector at its stored form, which the store has checked against its digest. */
static cairn_status unpack(const struct crn_space *space, const struct crn_vector_data *data,
                           const char *values, cairn_vector *out, cairn_error *err)
{
    uint32_t head = 0;
    size_t expected;

    *out = (cairn_vector){
        .space = space->name, .dim = space->dim, .values = (const float *)(const void *)values};
    if (space->kind == CAIRN_SPACE_DENSE) {
        expected = space->dim * sizeof(float);
    } else {
        if (data->size >= sizeof head) memcpy(&head, values, sizeof head);
        const size_t each =
            space->kind == CAIRN_SPACE_SPARSE ? 2 * sizeof(float) : space->dim * sizeof(float);
        expected = sizeof head + head * each;
    }
    if (data->size != expected) {
        return crn_error_set(err, CAIRN_CORRUPT, "a vector of space '%s' has %zu bytes, not %zu", space->name,
                             data->size, expected);
    }
    if (space->kind == CAIRN_SPACE_SPARSE) {
        out->indices = (const uint32_t *)(const void *)(values + sizeof head);
        out->values = (const float *)(const void *)(out->indices + head);
        out->count = head;
    } else if (space->kind == CAIRN_SPACE_MULTI) {
        out->values = (const float *)(const void *)(values + sizeof head);
        out->rows = head;
    }
    return CAIRN_OK;
}

static cairn_status set_vectors(const struct crn_catalog *catalog, const struct crn_record *record,
                                struct crn_pattern_slot *slot, cairn_pattern *pattern, cairn_error *err)
{
    size_t size = 0;

    if (record->vector_count == 0) return CAIRN_OK;
    for (uint32_t i = 0; i < record->vector_count; i++) size += (record->vectors[i].size + 63) / 64 * 64;
    slot->vectors = crn_mem_calloc(record->vector_count, sizeof *slot->vectors);
    slot->values = crn_mem_aligned(size);
    if (slot->vectors == NULL || slot->values == NULL) return crn_error_no_memory(err, size);
    char *at = slot->values;
    for (uint32_t i = 0; i < record->vector_count; i++) {
        const struct crn_space *space = space_of(catalog, record->vectors[i].space);
        if (space == NULL)
            return crn_error_set(err, CAIRN_CORRUPT,
                                 "a vector belongs to space %u, which is not the collection's",
                                 record->vectors[i].space);
        memcpy(at, record->vectors[i].data, record->vectors[i].size);
        CRN_TRY(unpack(space, &record->vectors[i], at, &slot->vectors[i], err));
        if (space == &catalog->spaces[0] && space->kind == CAIRN_SPACE_DENSE) {
            pattern->vector = slot->vectors[i].values;
            pattern->dim = space->dim;
            pattern->model = space->model;
        }
        at += (record->vectors[i].size + 63) / 64 * 64;
    }
    pattern->vectors = slot->vectors;
    pattern->vector_count = record->vector_count;
    return CAIRN_OK;
}

static void set_fields(const struct crn_record *record, cairn_pattern *pattern)
{
    *pattern = (cairn_pattern){
        .size = sizeof *pattern,
        .id = record->id,
        .id_type = record->id_type,
        .id_u64 = record->id_u64,
        .domain = record->domain,
        .agent = record->agent,
        .type = record->type,
        .text = record->text,
        .payload = record->payload,
        .confidence = record->confidence,
        .usage_count = record->usage_count,
        .success_count = record->success_count,
        .created_at_ms = record->created_at_ms,
        .last_used_ms = record->last_used_ms,
        .expires_at_ms = record->expires_at_ms,
        .fields = CAIRN_FIELD_CONFIDENCE | CAIRN_FIELD_USAGE | CAIRN_FIELD_SUCCESS | CAIRN_FIELD_LAST_USED |
                  CAIRN_FIELD_EXPIRES,
        .version = record->version,
    };
}

cairn_status crn_patterns_add(struct cairn_patterns *set, struct crn_reader *reader,
                              const struct crn_catalog *catalog, uint32_t local, int64_t now_ms,
                              bool with_vectors, cairn_error *err)
{
    struct crn_pattern_slot *slot = &set->slots[set->count];
    cairn_pattern *pattern = &set->patterns[set->count];
    struct crn_record record;

    set->count++; /* from here on the set frees what the slot holds */
    crn_buf_init(&slot->memory, SIZE_MAX / 2);
    pattern->size = sizeof *pattern;
    if (local == 0) return CAIRN_OK;
    const cairn_status status =
        crn_read_record(reader, catalog, local, with_vectors, &slot->memory, &record, err);
    if (status == CAIRN_NOT_FOUND) return CAIRN_OK;
    if (status != CAIRN_OK) return status;
    if (record.expires_at_ms != 0 && record.expires_at_ms <= now_ms) return CAIRN_OK;
    set_fields(&record, pattern);
    return with_vectors ? set_vectors(catalog, &record, slot, pattern, err) : CAIRN_OK;
}
