#include "server/dashboard.h"

#include "base/hash.h"
#include "server/http_exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* server/CMakeLists.txt names the files too, so that a change of one builds this anew. */
#define FILES(X)                                                     \
    X(index, "index.html", "text/html; charset=utf-8")               \
    X(style, "style.css", "text/css; charset=utf-8")                 \
    X(icon, "icon.svg", "image/svg+xml")                             \
    X(theme, "theme.js", "text/javascript; charset=utf-8")           \
    X(app, "app.js", "text/javascript; charset=utf-8")               \
    X(api, "api.js", "text/javascript; charset=utf-8")               \
    X(dom, "dom.js", "text/javascript; charset=utf-8")               \
    X(chart, "chart.js", "text/javascript; charset=utf-8")           \
    X(overview, "overview.js", "text/javascript; charset=utf-8")     \
    X(collection, "collection.js", "text/javascript; charset=utf-8") \
    X(search, "search.js", "text/javascript; charset=utf-8")         \
    X(recall, "recall.js", "text/javascript; charset=utf-8")         \
    X(map, "map.js", "text/javascript; charset=utf-8")               \
    X(plane, "plane.js", "text/javascript; charset=utf-8")

#define INCLUDE(id, name, type)                           \
    __asm__(".section .rodata\n"                          \
            ".global crn_dashboard_" #id "_begin\n"       \
            ".global crn_dashboard_" #id "_end\n"         \
            "crn_dashboard_" #id "_begin:\n"              \
            ".incbin \"" CRN_DASHBOARD_FOLDER name "\"\n" \
            "crn_dashboard_" #id "_end:\n"                \
            ".previous\n");                               \
    extern const char crn_dashboard_##id##_begin[], crn_dashboard_##id##_end[];
FILES(INCLUDE)
#undef INCLUDE

struct file {
    const char *name, *type, *begin, *end;
};

#define ENTRY(id, name, type) {name, type, crn_dashboard_##id##_begin, crn_dashboard_##id##_end},
static const struct file files[] = {FILES(ENTRY)};
#undef ENTRY

/* /dashboard is index.html; below it is a file, by its one name. NULL: there is none. */
static const struct file *find(const struct crn_request *request)
{
    if (request->segment_count == 1) return &files[0];
    if (request->segment_count != 2) return NULL;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct crn_text *name = &request->segments[1];
        if (strlen(files[i].name) == name->length && memcmp(files[i].name, name->data, name->length) == 0)
            return &files[i];
    }
    return NULL;
}

/* If-None-Match (RFC 9110, 13.1.2): a list of tags, weak ones counting as strong ones, or `*`. */
static bool client_has(const struct crn_request *request, const char *tag)
{
    const size_t length = strlen(tag);

    for (size_t i = 0; i < request->header_count; i++) {
        const struct crn_field *header = &request->headers[i];
        if (header->name.length != 13 || memcmp(header->name.data, "if-none-match", 13) != 0) continue;
        if (header->value.length == 1 && header->value.data[0] == '*') return true;
        for (size_t at = 0; at + length <= header->value.length; at++) {
            if (memcmp(header->value.data + at, tag, length) == 0) return true;
        }
    }
    return false;
}

void crn_dashboard_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    const struct file *file = find(request);
    char tag[24];

    (void)ctx;
    crn_http_answer_header(answer, "x-content-type-options", "nosniff");
    crn_http_answer_header(
        answer, "content-security-policy",
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'");
    crn_http_answer_header(answer, "referrer-policy", "no-referrer");
    if (file == NULL) {
        answer->status = 404;
        answer->content_type = "text/plain";
        crn_buf_puts(&answer->body, "Not found: the dashboard is at /dashboard");
        return;
    }
    snprintf(tag, sizeof tag, "\"%016" PRIx64 "\"",
             crn_hash64(file->begin, (size_t)(file->end - file->begin), 0));
    crn_http_answer_header(answer, "etag", tag);
    crn_http_answer_header(answer, "cache-control",
                           "no-cache"); /* keep it, but ask: the next version has the same names */
    if (client_has(request, tag)) {
        answer->status = 304;
        return;
    }
    answer->content_type = file->type;
    crn_buf_append(&answer->body, file->begin, (size_t)(file->end - file->begin));
}
