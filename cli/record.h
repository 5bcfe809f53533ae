/*
 * One record as JSON, in and out: the form of import, export, add, get and scroll (docs/CLI.md).
 *
 * In: {"id", "id_type", "domain", "agent", "type", "model", "text", "payload", "vector", "vectors",
 * "confidence", "usage_count", "success_count", "created_at", "last_used", "expires_at"}, all optional; or
 * AgentDB's form with "pattern_data" {embedding, pattern, ...}, an object or a string that holds one, in
 * place of vector, text and payload. "version" is read over. Other members join the payload.
 */
#ifndef CRN_CLI_RECORD_H
#define CRN_CLI_RECORD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#include <cairn/pattern.h>
#include <stdbool.h>
#include <stddef.h>

/* What turns JSON into patterns; exclusive. */
struct crn_cli_records {
    struct crn_json_parser *parser;
    struct crn_json_parser *inner; /* of pattern_data given as a string */
    struct crn_buf payload, extra; /* scratch */
};

cairn_status crn_cli_records_init(struct crn_cli_records *records, cairn_error *err);
void crn_cli_records_release(struct crn_cli_records *records);

/* Reads one record from JSON text; what *out points to lives in `arena`. INVALID_JSON, INVALID_UTF8,
 * INVALID_ARGUMENT (a member of the wrong type), LIMIT, NO_MEMORY. */
cairn_status crn_cli_record_parse(struct crn_cli_records *records, struct crn_arena *arena, const char *json,
                                  size_t len, cairn_pattern *out, cairn_error *err);
/* The same for a parsed object of records->parser. */
cairn_status crn_cli_record_read(struct crn_cli_records *records, struct crn_arena *arena,
                                 struct crn_json object, cairn_pattern *out, cairn_error *err);

/* A dense, sparse or multi vector from its JSON form: [..], {"indices":[..],"values":[..]}, [[..],..]. */
cairn_status crn_cli_record_vector(struct crn_arena *arena, struct crn_json value, cairn_vector *out,
                                   cairn_error *err);

/* Appends the record as one JSON object on one line. The version is for reading only: an export leaves it
 * out. */
cairn_status crn_cli_record_write(struct crn_buf *buf, const cairn_pattern *pattern, bool with_version);
/* The same without the braces, for objects that carry more. */
cairn_status crn_cli_record_write_members(struct crn_buf *buf, const cairn_pattern *pattern,
                                          bool with_version);

/* Appends stored JSON as it is, but for line breaks between its members, which become spaces, to keep to
 * one line: inside a JSON string there are none. */
cairn_status crn_cli_record_write_json(struct crn_buf *buf, const char *json);

cairn_status crn_cli_record_write_id(struct crn_buf *buf, const cairn_pattern *pattern);

#endif
