/* Patterns by ids as text. */
#include "cli/lookup.h"

#include "base/error.h"
#include "base/mem.h"
#include "cli/exit.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 3 /* ids that one text may mean */

static bool is_u64(const char *text, uint64_t *out)
{
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0') return false;
    if (text[0] == '0' && text[1] != '\0') return false; /* "007" is no number's text */
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static bool is_uuid(const char *text)
{
    size_t digits = 0;

    for (; *text != '\0'; text++) {
        if (isxdigit((unsigned char)*text))
            digits++;
        else if (*text != '-')
            return false;
    }
    return digits == 32;
}

/* Writes the ids that `text` may mean, the first choice first. */
static size_t meanings(const char *text, cairn_id out[KINDS])
{
    size_t count = 0;
    uint64_t number;

    out[count++] = (cairn_id){.type = CAIRN_ID_STRING, .text = text};
    if (is_u64(text, &number)) out[count++] = (cairn_id){.type = CAIRN_ID_U64, .u64 = number};
    if (is_uuid(text)) out[count++] = (cairn_id){.type = CAIRN_ID_UUID, .text = text};
    return count;
}

/* Gives each text the first of its meanings that is there. */
static void pick(struct crn_cli_lookup *lookup, const struct crn_cli_list *list)
{
    cairn_id ids[KINDS];
    size_t at = 0;

    for (size_t i = 0; i < list->count; i++) {
        size_t count = meanings(list->items[i], ids);
        for (size_t m = 0; m < count && lookup->found[i] == NULL; m++) {
            const cairn_pattern *pattern = cairn_patterns_at(lookup->patterns, at + m);
            if (pattern != NULL && (pattern->id != NULL || pattern->id_type == CAIRN_ID_U64))
                lookup->found[i] = pattern;
        }
        if (lookup->found[i] == NULL) lookup->missing++;
        at += count;
    }
}

cairn_status crn_cli_lookup(struct crn_cli_lookup *lookup, cairn_collection *collection,
                            const struct crn_cli_list *list, bool with_vectors, cairn_error *err)
{
    size_t count = 0;

    *lookup = (struct crn_cli_lookup){0};
    lookup->found = crn_mem_calloc(list->count, sizeof(void *));
    if (lookup->found == NULL) return crn_error_no_memory(err, list->count * sizeof(void *));
    cairn_id *ids = crn_mem_array(list->count, KINDS * sizeof *ids);
    if (ids == NULL) return crn_error_no_memory(err, list->count * KINDS * sizeof *ids);

    for (size_t i = 0; i < list->count; i++) count += meanings(list->items[i], ids + count);
    cairn_status status = cairn_get(collection, ids, count, with_vectors, &lookup->patterns, err);
    if (status == CAIRN_OK) pick(lookup, list);
    crn_mem_free(ids);
    return status;
}

void crn_cli_lookup_release(struct crn_cli_lookup *lookup)
{
    cairn_patterns_free(lookup->patterns);
    crn_mem_free(lookup->found);
    *lookup = (struct crn_cli_lookup){0};
}

cairn_id crn_cli_lookup_id(const cairn_pattern *pattern)
{
    return (cairn_id){.type = pattern->id_type, .text = pattern->id, .u64 = pattern->id_u64};
}

int crn_cli_lookup_tell_missing(const struct crn_cli_lookup *lookup, const struct crn_cli_list *ids)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (lookup->found[i] == NULL) crn_cli_note("no pattern with the id '%s'", ids->items[i]);
    }
    return lookup->missing > 0 ? CRN_CLI_EXIT_NOT_FOUND : CRN_CLI_EXIT_OK;
}
