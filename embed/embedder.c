/* What the embedders share: the check of a text, and the end of an embedder. */
#include "embed/embedder.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>

cairn_status crn_embedder_text_check(const char *const *texts, size_t index, size_t *out_len,
                                     cairn_error *err)
{
    const char *text = texts[index];
    if (text == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "text %zu is NULL", index);

    size_t len = strnlen(text, (size_t)CAIRN_TEXT_MAX + 1);
    if (len > CAIRN_TEXT_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "text %zu is longer than %u bytes", index, CAIRN_TEXT_MAX);
    }
    size_t valid = crn_utf8_valid(text, len);
    if (valid < len) {
        return crn_error_set(err, CAIRN_INVALID_UTF8, "text %zu is not valid UTF-8 at byte %zu (0x%02x)",
                             index, valid, (unsigned char)text[valid]);
    }
    *out_len = len;
    return CAIRN_OK;
}

void cairn_embedder_free(cairn_embedder *embedder)
{
    if (embedder == NULL) return;
    if (embedder->free != NULL) embedder->free(embedder->ctx);
    crn_mem_free(embedder);
}
