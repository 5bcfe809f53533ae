/*
 * The words that several patterns share. Terms are runs of letters and digits in texts and payload strings,
 * lower-cased, without common words and numbers. A term weighs more the better the patterns rank that hold it
 * and the oftener they do: its n-th occurrence in the pattern at rank r (from 0) adds 1/(n * (r + 1)).
 * Deterministic.
 */
#ifndef CRN_ENGINE_THEMES_H
#define CRN_ENGINE_THEMES_H

#include <cairn/reasoning.h>

#define CRN_THEMES_MAX 8u
#define CRN_THEME_BYTES 48u /* of a term, the closing NUL included; longer runs are no words */

struct crn_themes {
    size_t count;
    char terms[CRN_THEMES_MAX][CRN_THEME_BYTES]; /* the weightiest first */
};

/* The themes of patterns in the order of their rank. Terms of a single pattern count only where no others
 * are. */
cairn_status crn_themes_find(const cairn_memory *memories, size_t count, struct crn_themes *out_themes,
                             cairn_error *err);

#endif
