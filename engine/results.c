#include "engine/results.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/id.h"

#include <string.h>

#define U64_TEXT_MAX 21u /* 20 digits and the NUL */

static size_t text_size(const struct crn_results_hit *hit)
{
    if (hit->id == NULL) return strlen(hit->pattern->id) + 1;
    return hit->id[0] == CAIRN_ID_U64 ? U64_TEXT_MAX : strlen(hit->id + 1) + 1;
}

/* Writes the id's text to `at` and returns what follows it. */
static char *set_id(const struct crn_results_hit *hit, char *at, cairn_id *out_id)
{
    char text[CAIRN_ID_MAX + 1];

    if (hit->id == NULL) {
        *out_id =
            (cairn_id){.type = hit->pattern->id_type, .text = hit->pattern->id, .u64 = hit->pattern->id_u64};
    } else {
        crn_id_decode(hit->id, text, out_id);
    }
    const size_t len = strlen(out_id->text) + 1;
    memcpy(at, out_id->text, len);
    out_id->text = at;
    return at + len;
}

cairn_results *crn_results_create(const struct crn_results_hit *hits, size_t count, cairn_error *err)
{
    size_t text_bytes = 0;

    for (size_t i = 0; i < count; i++) text_bytes += text_size(&hits[i]);
    const size_t size = sizeof(cairn_results) + count * (sizeof(cairn_hit) + sizeof(uint32_t)) + text_bytes;
    cairn_results *results = crn_mem_alloc(size);
    if (results == NULL) {
        crn_error_no_memory(err, size);
        return NULL;
    }
    memset(results, 0, sizeof *results);
    results->count = count;
    results->hits = (cairn_hit *)(results + 1);
    results->locals = (uint32_t *)(results->hits + count);
    char *at = (char *)(results->locals + count);
    for (size_t i = 0; i < count; i++) {
        cairn_hit *hit = &results->hits[i];
        at = set_id(&hits[i], at, &hit->id);
        hit->score = hits[i].score;
        hit->distance = hits[i].distance;
        hit->pattern = NULL;
        results->locals[i] = hits[i].local;
    }
    return results;
}

size_t cairn_results_count(const cairn_results *results)
{
    return results == NULL ? 0 : results->count;
}

const cairn_hit *cairn_results_at(const cairn_results *results, size_t i)
{
    return results == NULL || i >= results->count ? NULL : &results->hits[i];
}

uint32_t crn_results_local(const cairn_results *results, size_t i)
{
    return i < results->count ? results->locals[i] : 0;
}

void cairn_results_info(const cairn_results *results, cairn_search_info *out_info)
{
    if (results == NULL || out_info == NULL) return;
    *out_info = results->info;
    out_info->size = sizeof *out_info;
}

void cairn_results_free(cairn_results *results)
{
    if (results == NULL) return;
    cairn_patterns_free(results->patterns);
    crn_mem_free(results);
}
