/*
 * What a filter is once it is parsed: a tree of AND, OR and NOT over conditions on one path each. Operators
 * that are the opposite of another ($ne, $nin, $nor, $exists false) are a NOT around it, so that those who
 * read the tree meet few kinds. Only the files filter_*.c look inside.
 */
#ifndef CRN_ENGINE_FILTER_TREE_H
#define CRN_ENGINE_FILTER_TREE_H

#include "engine/filter.h"

enum crn_filter_kind {
    CRN_FILTER_AND,      /* all of its children; true without any */
    CRN_FILTER_OR,       /* one of its children at least */
    CRN_FILTER_NOT,      /* its only child does not match */
    CRN_FILTER_COMPARE,  /* a value at the path compares so with values[0] */
    CRN_FILTER_IN,       /* a value at the path is among the values */
    CRN_FILTER_CONTAINS, /* an array at the path holds values[0], or a string there holds it as a part */
    CRN_FILTER_EXISTS,   /* there is something at the path */
};

struct crn_filter_key {
    const char *text; /* unescaped */
    size_t len;
};

struct crn_filter_path {
    const char *text; /* as written: the name payload indexes go by */
    struct crn_filter_key *keys;
    size_t key_count; /* at least 1 */
};

struct crn_filter_node {
    enum crn_filter_kind kind;
    struct crn_filter_node *next;  /* the next child of the same parent */
    struct crn_filter_node *first; /* AND, OR, NOT: the first child */
    struct crn_filter_path path;   /* the conditions */
    enum crn_compare compare;      /* COMPARE */
    struct crn_value *values;      /* IN: in the order of crn_filter_value_order, without repetitions */
    size_t value_count;
};

struct crn_filter {
    struct crn_filter_node *root;
    struct crn_filter_block *blocks; /* the memory of all of the above */
};

/* A JSON scalar as a value; its string stays in the document. */
struct crn_value crn_filter_value(struct crn_json json);

/* A total order: null, false, true, numbers by their exact values, strings by bytes. */
int crn_filter_value_order(const struct crn_value *a, const struct crn_value *b);

#endif
