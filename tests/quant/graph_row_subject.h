/* What the checks of graph rows work on. Internal to graph_row_checks.c and graph_row_query_checks.c. */
#ifndef CRN_TESTS_QUANT_GRAPH_ROW_SUBJECT_H
#define CRN_TESTS_QUANT_GRAPH_ROW_SUBJECT_H

#include "base/rng.h"
#include "tests/quant/graph_row_form.h"
#include "tests/quant/guarded.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define REGION_BYTES 16384u
#define TOLD_MAX 10
#define OUT_MAX (CRN_GRAPH_DEGREE + 16u) /* what crn_row_neighbours may write */
#define CANARY 0x5ca1ab1eu
#define POOL_MAX 200u
#define HALF_ULP 0x1p-24 /* half of a float's last place, relative */

struct checks {
    const struct graph_row_form *form;
    struct crn_rng rng;
    bool quiet;
    unsigned failures;
    struct guarded query, c, x, keys;
};

/* A row under test with what was put into it. */
struct subject {
    struct crn_graph_layout layout;
    struct crn_graph_query query;
    const char *kind;
    bool at_end;
    uint8_t *c, *x;
    uint8_t neighbours[CRN_GRAPH_DEGREE]
                      [1 + REGION_BYTES / 2]; /* the rows that slots were set from; first byte: whether any */
    uint32_t ids[CRN_GRAPH_DEGREE];
};

__attribute__((format(printf, 2, 3))) static inline void fail(struct checks *checks, const char *format, ...)
{
    va_list arguments;

    if (checks->failures++ >= TOLD_MAX || checks->quiet) return;
    fprintf(stderr, "%s: ", checks->form->kernels->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static inline void *put(const struct guarded *region, size_t bytes, bool at_end)
{
    return at_end ? region->end - bytes : region->begin;
}

static inline float read_float(const uint8_t *at)
{
    float value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline float read_half(const uint8_t *at)
{
    _Float16 half;

    memcpy(&half, at, sizeof half);
    return (float)half;
}

static inline struct crn_graph_head head_of(const struct crn_graph_layout *layout, const uint8_t *row)
{
    struct crn_graph_head head;

    memcpy(&head, row + layout->head, sizeof head);
    return head;
}

static inline double decoded(const struct crn_graph_layout *layout, const uint8_t *row, uint32_t j)
{
    return ((double)row[j] - 128) * (double)read_float(row + layout->head);
}

/* The planes and tables of subject->query against its rotated vector. */
void check_graph_query(struct checks *checks, const struct subject *subject);

/* The records of signs of subject->c and subject->x, and estimates from them. */
void check_graph_signs(struct checks *checks, const struct subject *subject);

#endif
