/* Conditions on a value that are more than a comparison: ranges, times, words, places, numbers of values. Only the files filter_*.c. */
#ifndef CRN_ENGINE_FILTER_SPECIAL_H
#define CRN_ENGINE_FILTER_SPECIAL_H

#include "engine/filter_tree.h"

/* Reads the operand of an operator of that kind. INVALID_FILTER. */
cairn_status crn_filter_special_parse(struct crn_filter *filter, enum crn_filter_kind kind, const char *name,
                                      const char *path, struct crn_json operand,
                                      struct crn_filter_special **out, cairn_error *err);

/* Does one value, never an array, fulfil it? For COUNT: does what stands at the path, array or not? */
bool crn_filter_special_matches(enum crn_filter_kind kind, const struct crn_filter_special *special,
                                struct crn_json value);

/* COUNT: is none at all enough? */
bool crn_filter_special_zero(const struct crn_filter_special *special);

/* The bounds of a RANGE, for payload indexes: *out_count of them, at most 4. */
void crn_filter_special_bounds(const struct crn_filter_special *special, const struct crn_value **out_values,
                               const enum crn_compare **out_compares, size_t *out_count);

#endif
