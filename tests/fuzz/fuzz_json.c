/* Any bytes into the JSON parser. What parses is written, parses again, and is written the same; its strings
 * are valid UTF-8. */
#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
    if (!condition) abort();
}

/* Walks everything by way of the iterator, as a reader of filters and payloads does. */
static void walk(struct crn_json value)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key, *text;
    size_t key_len, len, count = 0;

    text = crn_json_string(value, &len);
    require(crn_utf8_valid(text, len) == len && text[len] == '\0');
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &member, &key, &key_len); count++) {
        require((key != NULL) == (crn_json_type(value) == CRN_JSON_OBJECT));
        if (key != NULL) {
            struct crn_json found;
            require(crn_utf8_valid(key, key_len) == key_len);
            require(crn_json_get_n(value, key, key_len, &found) && found.index <= member.index);
        }
        walk(member);
    }
    require(crn_json_size(value) == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_buf first, second;
    struct crn_json root;
    cairn_error err;

    crn_buf_init(&first, 64 * size + 1024);
    crn_buf_init(&second, 64 * size + 1024);
    require(parser != NULL);
    cairn_status status = crn_json_parse(parser, (const char *)data, size, &root, &err);
    if (status == CAIRN_OK) {
        walk(root);
        require(crn_json_write(root, &first) == CAIRN_OK);
        require(crn_json_parse(parser, first.data, first.len, &root, NULL) == CAIRN_OK);
        require(crn_json_write(root, &second) == CAIRN_OK);
        require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    } else {
        require(err.status == status && strlen(err.message) < sizeof err.message);
    }
    crn_buf_release(&first);
    crn_buf_release(&second);
    crn_json_parser_free(parser);
    return 0;
}
