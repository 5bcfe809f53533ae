#include "server/serve_light.h"

#include "server/http_parser.h"

#include <string.h>

#define BODY_BYTES_MAX 65536u
#define REST_BYTES_MAX 64u
#define K_MAX 100u

static bool text_is(struct crn_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.data, word, text.length) == 0;
}

/* collections/NAME/points/{query,search}, and cairn/v1/collections/NAME/search. */
static bool is_search(const struct crn_request *request)
{
    const struct crn_text *segments = request->segments;

    if (request->method != CRN_POST) return false;
    if (request->segment_count == 4) {
        return text_is(segments[0], "collections") && text_is(segments[2], "points") &&
               (text_is(segments[3], "query") || text_is(segments[3], "search"));
    }
    return request->segment_count == 5 && text_is(segments[0], "cairn") && text_is(segments[1], "v1") &&
           text_is(segments[2], "collections") && text_is(segments[4], "search");
}

static bool is_small_number(const char *text, size_t length)
{
    unsigned number = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || length > 3) return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    return length > 0 && number <= K_MAX;
}

/* Bare floats, and in the URL k or nothing. */
static bool is_bare(const struct crn_request *request)
{
    const struct crn_text *type = crn_http_header(request, "content-type");

    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct crn_field *field = &request->parameters[i];
        if (!text_is(field->name, "k") || !is_small_number(field->value.data, field->value.length))
            return false;
    }
    return type != NULL &&
           (text_is(*type, "application/octet-stream") || text_is(*type, "application/x-npy"));
}

/* The body without blanks, and without what stands between brackets or in the string of vector_b64. 0: it is too long. */
static size_t copy_rest(struct crn_text body, char rest[REST_BYTES_MAX])
{
    static const char base64[] = "\"vector_b64\":\"";
    const size_t base64_len = sizeof base64 - 1;
    size_t count = 0;

    for (size_t at = 0; at < body.length; at++) {
        const char c = body.data[at];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
        if (count == REST_BYTES_MAX) return 0;
        rest[count++] = c;
        const bool string = count >= base64_len && memcmp(rest + count - base64_len, base64, base64_len) == 0;
        if (c != '[' && !string) continue;
        const char *end = memchr(body.data + at + 1, string ? '"' : ']', body.length - at - 1);
        if (end == NULL) return 0;
        at = (size_t)(end - body.data) - 1; /* the end itself is copied */
    }
    return count;
}

/* {"vector":[],"k":10} and its like, in any order, each member once or not at all. */
static bool is_plain(const char *rest, size_t length)
{
    static const char *const vectors[] = {"\"vector\":[]", "\"vector_b64\":\"\"", "\"query\":[]"};
    static const char *const counts[] = {"\"k\":", "\"limit\":"};
    const char *at = rest + 1, *end = rest + length - 1;

    if (length < 2 || rest[0] != '{' || *end != '}') return false;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const size_t member = (size_t)((comma != NULL ? comma : end) - at);
        bool known = false;
        for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
            known |= member == strlen(vectors[i]) && memcmp(at, vectors[i], member) == 0;
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const size_t head = strlen(counts[i]);
            known |= member > head && memcmp(at, counts[i], head) == 0 &&
                     is_small_number(at + head, member - head);
        }
        if (!known) return false;
        at += member + 1;
    }
    return true;
}

bool crn_serve_is_light(const struct crn_request *request)
{
    char rest[REST_BYTES_MAX];

    if (!is_search(request) || request->body.length > BODY_BYTES_MAX) return false;
    if (is_bare(request)) return true;
    return request->parameter_count == 0 && is_plain(rest, copy_rest(request->body, rest));
}
