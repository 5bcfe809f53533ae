/*
 * HTTP requests, one at a time a thread, over libcurl, which nothing else includes.
 *
 * It is: http and https, connections kept for the next request, certificates verified against the system's
 * trust store, a limit on time and on size. It follows no redirects, retries nothing, keeps no cookies and
 * reads no .netrc. Proxies are those of the environment (http_proxy, https_proxy, no_proxy), as curl has it.
 *
 * Messages name the URL without its user, password and query, and never a header's value.
 */
#ifndef CRN_NET_HTTP_CLIENT_H
#define CRN_NET_HTTP_CLIENT_H

#include "base/buf.h"

#include <cairn/status.h>
#include <stddef.h>
#include <stdint.h>

struct crn_http_client; /* *shared*: any threads at once */

cairn_status crn_http_client_create(struct crn_http_client **out_client, cairn_error *err);
void crn_http_client_free(struct crn_http_client *client); /* NULL accepted; nobody may be using it */

struct crn_http_header {
    const char *name;
    const char *value; /* not empty */
};

struct crn_http_request {
    const char *method; /* any but HEAD */
    const char *url;
    const struct crn_http_header *headers; /* [header_count] */
    size_t header_count;
    const void *body; /* NULL = none */
    size_t body_len;
    uint32_t timeout_ms; /* of the whole exchange, connecting included; > 0 */
    size_t response_max_bytes;
};

struct crn_http_response {
    int status;             /* as in 200 */
    uint32_t retry_after_s; /* the Retry-After header, from now; 0 = none */
    struct crn_buf body;
};

/*
 * Sends the request and waits for the whole answer. Any HTTP status is OK here. *out_response is released by
 * crn_http_response_release after OK; after a failure there is nothing to release.
 * INVALID_ARGUMENT, TIMEOUT, LIMIT (the answer is larger than allowed), IO (no connection, a broken one, a
 * certificate that does not verify), NO_MEMORY.
 */
cairn_status crn_http_send(struct crn_http_client *client, const struct crn_http_request *request,
                           struct crn_http_response *out_response, cairn_error *err);
void crn_http_response_release(struct crn_http_response *response);

/* INVALID_ARGUMENT when the URL is not a full http or https one. */
cairn_status crn_http_url_check(const char *url, cairn_error *err);

/* The URL as messages show it: without credentials and query, cut where it does not fit. */
void crn_http_url_print(const char *url, char *out, size_t size);

#endif
