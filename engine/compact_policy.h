/*
 * Which segments are merged next. Pure: it knows numbers of rows alone, and the same ones give the same answer.
 *
 * Each segment costs every search some microseconds, and each merge copies its rows and inserts them into a graph anew. When nobody writes,
 * sizes are kept geometric by runs of four segments and more, and there are few. While somebody writes without a pause, processors are scarce,
 * and rows are copied as seldom as can be: only runs of sixteen are merged, which takes a row through one merge for each sixteenfold of
 * its segment where runs of four take it through two; and only such as take so short that small segments do not pile up meanwhile.
 * What more segments there are, the shorter and the larger may runs be.
 */
#ifndef CRN_ENGINE_COMPACT_POLICY_H
#define CRN_ENGINE_COMPACT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct crn_compact_part {
    uint64_t rows, live;
    bool indexed;
};

struct crn_compact_choice {
    const struct crn_compact_part *parts; /* [count] oldest first */
    uint32_t count;
    uint32_t begin;     /* parts before it stay as they are */
    uint32_t rows_most; /* live rows that a segment may have */
    bool all;           /* everything that can be: on request */
    bool bulk;          /* rows are loaded in bulk: segments that have an index stay as they are */
    bool busy;          /* rows are being written without a pause */
};

/* Parts begin..end-1; none when they are equal. */
struct crn_compact_run {
    uint32_t begin, end;
};

struct crn_compact_run crn_compact_choose(const struct crn_compact_choice *choice);

#define CRN_COMPACT_MANY 40u /* segments of one space, from which on writers are slowed down */

/* How much, when merging has fallen behind so far: 0: not; 1: as much as for a tail of three times its limit. */
double crn_compact_brake(uint32_t count);

#endif
