/* The target of a request: its path and query, percent-decoded. */
#ifndef CRN_SERVER_HTTP_TARGET_H
#define CRN_SERVER_HTTP_TARGET_H

#include "server/http_parser.h"

/*
 * Fills path, segments and parameters of the message from message->target, decoding into `room`, which has
 * the target's length and outlives the message. 0, or the status of the refusal with *out_reason. `+` in a
 * query is a blank. Refused: raw bytes above 0x7E, `#`, bad escapes, what decodes to NUL or is no UTF-8,
 * segments `.` and `..`.
 */
unsigned crn_http_target_read(struct crn_http_message *message, char *room, const char **out_reason);

/* Is it a name or an address, perhaps with a port, as Host and an absolute target have it (RFC 9110 7.2, RFC 3986 3.2.2)? Nothing at all
 * is one; user names and commas are refused. */
bool crn_http_is_host(struct crn_text text);

#endif
