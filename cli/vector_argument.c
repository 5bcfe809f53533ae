/* Vectors from the command line. */
#include "cli/vector_argument.h"

#include "base/error.h"
#include "base/json.h"
#include "cli/input.h"
#include "cli/record.h"

#include <string.h>

static cairn_status parse(const char *text, size_t len, struct crn_arena *arena, cairn_vector *out,
                          cairn_error *err)
{
    struct crn_json root;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    cairn_status status = crn_json_parse(parser, text, len, &root, err);
    if (status == CAIRN_OK) status = crn_cli_record_vector(arena, root, out, err);
    crn_json_parser_free(parser);
    return status;
}

cairn_status crn_cli_vector_argument(const char *argument, struct crn_arena *arena, cairn_vector *out,
                                     cairn_error *err)
{
    struct crn_cli_input input;

    *out = (cairn_vector){0};
    if (argument[0] != '@' && strcmp(argument, "-") != 0) {
        cairn_status status = parse(argument, strlen(argument), arena, out, err);
        return status == CAIRN_OK ? CAIRN_OK : crn_error_context(err, status, "--vector");
    }

    const char *path = argument[0] == '@' ? argument + 1 : argument;
    cairn_status status = crn_cli_input_open(&input, path, err);
    if (status == CAIRN_OK) status = crn_cli_input_all(&input, err);
    if (status == CAIRN_OK)
        status = parse(crn_cli_input_at(&input), crn_cli_input_available(&input), arena, out, err);
    crn_cli_input_close(&input);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_context(err, status, "--vector %s", argument);
}
