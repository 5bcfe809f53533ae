/* A filter's rows as a plain bitmap over a segment's positions. Internal to engine/. */
#ifndef CRN_ENGINE_FILTER_BITS_H
#define CRN_ENGINE_FILTER_BITS_H

#include <cairn/status.h>
#include <roaring/roaring.h>
#include <stdint.h>

/* Sets bit p of allow[crn_bits_words(count)] where locals[p] is in the filter, and clears the others. locals: [count], ascending.
 * NO_MEMORY. */
cairn_status crn_filter_bits(const roaring_bitmap_t *filter, const uint32_t *locals, uint32_t count,
                             uint64_t *allow, cairn_error *err);

#endif
