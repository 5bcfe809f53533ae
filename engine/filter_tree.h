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
    CRN_FILTER_FILLED,   /* there is something but null and [] at the path */
    CRN_FILTER_OTHER,    /* a value at the path, not null, is not among the values */
    CRN_FILTER_ELEMENT,  /* an object at the path matches the only child */
    CRN_FILTER_MIN,      /* `minimum` of its children at least */
    CRN_FILTER_IDS,      /* the row's id is among `ids` */
    CRN_FILTER_VECTOR,   /* the row has a vector in the space `path.text` */
    CRN_FILTER_SLICE,    /* the row's id falls into slice `minimum` of `slices` */
    /* filter_special.h, on one value at the path */
    CRN_FILTER_RANGE,
    CRN_FILTER_TIME,
    CRN_FILTER_COUNT, /* on all that is there */
    CRN_FILTER_PREFIX,
    CRN_FILTER_SUBSTRING,
    CRN_FILTER_WORDS,
    CRN_FILTER_BOX,
    CRN_FILTER_RADIUS,
    CRN_FILTER_POLYGON,
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

struct crn_filter_special;

/* An id as rows have it. */
struct crn_filter_id {
    cairn_id_type type;
    const char *text; /* canonical */
    size_t len;
    uint64_t u64;
};

struct crn_filter_node {
    enum crn_filter_kind kind;
    struct crn_filter_node *next;  /* the next child of the same parent */
    struct crn_filter_node *first; /* AND, OR, NOT: the first child */
    struct crn_filter_path path;   /* the conditions */
    enum crn_compare compare;      /* COMPARE */
    struct crn_value *values;      /* IN: in the order of crn_filter_value_order, without repetitions */
    size_t value_count;
    struct crn_filter_special *special;
    struct crn_filter_id *ids; /* IDS: in the order of crn_filter_id_order */
    size_t id_count;
    uint64_t minimum, slices;
};

struct crn_filter {
    struct crn_filter_node *root;
    struct crn_filter_block *blocks; /* the memory of all of the above */
    bool asks_vectors;               /* there is a VECTOR in it */
};

/* Cleared memory that lives as long as the filter; NULL when there is none. */
void *crn_filter_take(struct crn_filter *filter, size_t size);
cairn_status crn_filter_take_text(struct crn_filter *filter, const char *text, size_t len,
                                  const char **out_text, cairn_error *err);

/* A total order of ids: by kind, then numbers by value, texts by bytes. */
int crn_filter_id_order(const struct crn_filter_id *a, const struct crn_filter_id *b);

bool crn_filter_compares(const struct crn_value *value, enum crn_compare compare,
                         const struct crn_value *operand);

/* filter_rowwise.c: conditions on the row itself, "$ids", "$has_vector", "$slice", "$min". *out_known: the name is one of them. */
cairn_status crn_filter_ids_parse(struct crn_filter *filter, struct crn_json operand,
                                  struct crn_filter_node *node, cairn_error *err);
cairn_status crn_filter_slice_parse(struct crn_json operand, struct crn_filter_node *node, cairn_error *err);
bool crn_filter_ids_match(const struct crn_filter_node *node, const struct crn_record *record);
bool crn_filter_slice_matches(const struct crn_filter_node *node, const struct crn_record *record);

/* A JSON scalar as a value; its string stays in the document. */
struct crn_value crn_filter_value(struct crn_json json);

/* A total order: null, false, true, numbers by their exact values, strings by bytes. */
int crn_filter_value_order(const struct crn_value *a, const struct crn_value *b);

#endif
