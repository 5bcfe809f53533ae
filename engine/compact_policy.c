/* Which segments are merged next (compact_policy.h). */
#include "engine/compact_policy.h"

#include <assert.h>

#define RUN 4u        /* segments of like size that are merged together, at least */
#define RUN_MOST 8u   /* at most: others wait meanwhile */
#define PARTS_MAX 16u /* more segments than this are merged two by two as well */
#define LARGE_ROWS \
    500000u /* so many rows are merged only with a full run: it takes long, and small segments become more meanwhile */

#define BUSY_RUN_MOST 16u
#define BUSY_LIKE 4u /* times as large as the largest younger one a segment of like size may be */
#define BRAKE_PARTS 20u

struct limits {
    uint32_t run, run_most; /* segments */
    uint64_t rows_most;
};

/* While rows are written without a pause, up to so many segments. A merge of 300,000 rows of 384 dims takes 6 to 7 s of a processor. */
static const struct {
    uint32_t parts;
    struct limits limits;
} busy_limits[] = {
    {36, {BUSY_RUN_MOST, BUSY_RUN_MOST, 500000}},
    {48, {4, BUSY_RUN_MOST, 1100000}},
    {64, {4, BUSY_RUN_MOST, 4500000}},
    {UINT32_MAX, {2, BUSY_RUN_MOST, UINT64_MAX}},
};

static struct limits limits_of(const struct crn_compact_choice *choice)
{
    const struct limits *busy;
    uint32_t i = 0;

    if (!choice->busy)
        return (struct limits){choice->count > PARTS_MAX ? 2 : RUN, RUN_MOST, choice->rows_most};
    while (choice->count > busy_limits[i].parts) i++;
    busy = &busy_limits[i].limits;
    return (struct limits){busy->run, busy->run_most,
                           busy->rows_most < choice->rows_most ? busy->rows_most : choice->rows_most};
}

static uint64_t dead_of(const struct crn_compact_part *part)
{
    return part->rows - part->live;
}

/* The longest run from a part on whose live rows fit into one segment. */
static struct crn_compact_run run_from(const struct crn_compact_choice *choice, uint32_t begin)
{
    struct crn_compact_run run = {begin, begin};
    uint64_t rows = 0;

    while (run.end < choice->count && rows + choice->parts[run.end].live <= choice->rows_most)
        rows += choice->parts[run.end++].live;
    if (run.end == begin && begin < choice->count)
        run.end++; /* larger than that already: it can only become smaller */
    return run;
}

/* The first run that merging makes smaller: several segments, or one with dead rows. */
static struct crn_compact_run next_of_all(const struct crn_compact_choice *choice)
{
    for (uint32_t begin = choice->begin; begin < choice->count;) {
        const struct crn_compact_run run = run_from(choice, begin);
        uint64_t dead = 0;
        for (uint32_t i = run.begin; i < run.end; i++) dead += dead_of(&choice->parts[i]);
        if (run.end - run.begin > 1 || dead != 0) return run;
        begin = run.end;
    }
    return (struct crn_compact_run){0, 0};
}

struct run_before {
    struct crn_compact_run run;
    uint64_t rows, largest;
    bool more; /* but for the number of segments it would be longer */
};

static bool is_alike(const struct crn_compact_choice *choice, const struct run_before *younger, uint64_t rows)
{
    if (younger->run.begin == younger->run.end) return true;
    return rows <= (choice->busy ? BUSY_LIKE * younger->largest : 2 * younger->rows);
}

/* The longest run before `end` in which no segment is larger than twice the younger ones together, or, while rows are written without a
 * pause, much larger than any of them. */
static struct run_before run_before(const struct crn_compact_choice *choice, const struct limits *limits,
                                    uint32_t end)
{
    struct run_before before = {.run = {end, end}};
    uint64_t live = 0;

    while (before.run.begin > choice->begin) {
        const struct crn_compact_part *part = &choice->parts[before.run.begin - 1];
        live += part->live;
        if (choice->bulk && part->indexed) break;
        if (live > limits->rows_most || !is_alike(choice, &before, part->rows)) break;
        before.more = end - before.run.begin == limits->run_most;
        if (before.more) break;
        before.rows += part->rows;
        if (part->rows > before.largest) before.largest = part->rows;
        before.run.begin--;
    }
    return before;
}

/* Segments of like size are merged, those first where the fewest rows are copied for each segment that is then less, which bounds both
 * the number of segments and how often a row is copied: small ones come first, and of those many at once when merging has fallen
 * behind; while rows are written without a pause the oldest first, so that none stays behind between larger ones. */
static struct crn_compact_run next_of_some(const struct crn_compact_choice *choice)
{
    const struct limits limits = limits_of(choice);
    struct crn_compact_run chosen = {0, 0};
    uint64_t fewest = 0;

    for (uint32_t end = choice->count; end > choice->begin; end--) {
        const struct run_before before = run_before(choice, &limits, end);
        const uint32_t length = before.run.end - before.run.begin;
        if (length < (before.rows > LARGE_ROWS && !choice->busy ? RUN_MOST : limits.run)) continue;
        if (choice->busy && before.more) continue;
        if (chosen.end != 0 && before.rows * (chosen.end - chosen.begin - 1) >= fewest * (length - 1))
            continue;
        chosen = before.run;
        fewest = before.rows;
    }
    return chosen;
}

struct crn_compact_run crn_compact_choose(const struct crn_compact_choice *choice)
{
    uint64_t rows = 0, dead = 0;

    assert(choice->begin <= choice->count);
    if (choice->all) return next_of_all(choice);
    for (uint32_t i = choice->begin; i < choice->count; i++) {
        rows += choice->parts[i].rows;
        dead += dead_of(&choice->parts[i]);
    }
    /* When over a quarter of the rows is dead, all are merged. */
    return dead * 4 > rows && !choice->bulk ? next_of_all(choice) : next_of_some(choice);
}

double crn_compact_brake(uint32_t count)
{
    return count <= CRN_COMPACT_MANY ? 0 : ((double)count - CRN_COMPACT_MANY) / BRAKE_PARTS;
}
