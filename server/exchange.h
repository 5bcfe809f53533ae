/*
 * One request and its answer, as those who answer see them: no socket, no loop. http_server.h makes requests of what
 * comes over the wire, calls the handler on a worker thread and sends the answer; a test makes them by hand.
 */
#ifndef CRN_SERVER_EXCHANGE_H
#define CRN_SERVER_EXCHANGE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crn_method { CRN_GET, CRN_HEAD, CRN_POST, CRN_PUT, CRN_PATCH, CRN_DELETE, CRN_OPTIONS };

/* A piece of text that the request owns; not ended by 0. */
struct crn_text {
    const char *data;
    size_t length;
};

struct crn_field {
    struct crn_text name, value;
};

enum crn_role { CRN_ROLE_NONE, CRN_ROLE_READ, CRN_ROLE_WRITE, CRN_ROLE_ADMIN };

/* Who asks. */
struct crn_principal {
    enum crn_role role;
    const char *name;               /* of the key; "" without one */
    const char *const *collections; /* [collection_count] that it may use; NULL: all */
    size_t collection_count;
};

struct crn_request {
    enum crn_method method;
    const struct crn_text
        *segments; /* of the path, percent-decoded; empty ones (`//`, a `/` at the end) left out */
    size_t segment_count;
    const struct crn_field *parameters; /* of the query string, percent-decoded, in their order */
    size_t parameter_count;
    const struct crn_field *headers; /* names in lower case, values trimmed */
    size_t header_count;
    struct crn_text body;
    struct crn_principal principal;
    const char *id;       /* of the request, for logs and the answer */
    uint64_t deadline_ns; /* crn_clock_monotonic time after which nobody waits for the answer; 0: none */
    /* Whether the client has left or the deadline has passed: long work asks now and then. NULL: never. */
    bool (*cancelled)(void *ctx);
    void *cancelled_ctx;
};

#define CRN_ANSWER_HEADERS_MAX 8u

struct crn_answer_header {
    const char *name; /* static */
    char value[120];
};

struct crn_answer {
    unsigned status;          /* 200 unless set */
    const char *content_type; /* static; NULL: application/json */
    struct crn_buf body;
    struct crn_answer_header headers[CRN_ANSWER_HEADERS_MAX];
    size_t header_count;
    bool has_file;       /* the body is this file's bytes, instead of `body` */
    int file;            /* a descriptor, which the server closes */
    uint64_t file_bytes; /* from its beginning */
};

/* Answers every request, on any thread, several at a time. */
typedef void (*crn_handler)(void *ctx, const struct crn_request *request, struct crn_answer *answer);

#endif
