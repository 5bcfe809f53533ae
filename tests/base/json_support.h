/* The parser of a JSON test program, and how it parses and compares. */
#ifndef CRN_TESTS_BASE_JSON_SUPPORT_H
#define CRN_TESTS_BASE_JSON_SUPPORT_H

#include "base/buf.h"
#include "base/json.h"
#include "tests/base/support.h"

static struct crn_json_parser *parser;

static inline int create_parser(void **state)
{
    (void)state;
    parser = crn_json_parser_create();
    return parser != NULL ? 0 : -1;
}

static inline int free_parser(void **state)
{
    (void)state;
    crn_json_parser_free(parser);
    return 0;
}

static inline struct crn_json parse(const char *text)
{
    struct crn_json root;
    cairn_error err;

    cairn_status status = crn_json_parse(parser, text, strlen(text), &root, &err);
    if (status != CAIRN_OK) fail_msg("'%s': %s", text, err.message);
    return root;
}

static inline void assert_written(struct crn_json value, const char *wanted)
{
    struct crn_buf buf;

    crn_buf_init(&buf, 1 << 20);
    assert_int_equal(crn_json_write(value, &buf), CAIRN_OK);
    assert_string_equal(buf.data, wanted);
    crn_buf_release(&buf);
}

#endif
