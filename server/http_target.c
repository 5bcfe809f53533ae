/* Splitting happens before decoding, so that an escaped `/`, `&` or `=` is a letter like any other. */
#include "server/http_target.h"

#include "base/utf8.h"

#include <string.h>
#include <strings.h>

struct decoder {
    char *room; /* where the next decoded text goes */
    const char *reason;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool crn_http_is_host(struct crn_text text)
{
    static const char others[] = "-._~!$&'()*+;=";
    const bool bracket = text.length > 0 && text.data[0] == '[';
    size_t i = bracket;

    for (; i < text.length; i++) {
        const char c = text.data[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) continue;
        if (bracket ? c == ':' || c == '.' : c != '\0' && strchr(others, c) != NULL) continue;
        if (bracket || c != '%' || i + 2 >= text.length || hex_value(text.data[i + 1]) < 0 ||
            hex_value(text.data[i + 2]) < 0)
            break;
        i += 2;
    }
    if (bracket && (i == text.length || text.data[i++] != ']')) return false;
    if (i < text.length && text.data[i++] != ':') return false;
    while (i < text.length && text.data[i] >= '0' && text.data[i] <= '9') i++;
    return i == text.length;
}

static bool decode(struct decoder *decoder, const char *text, size_t len, bool plus_is_blank,
                   struct crn_text *out)
{
    char *to = decoder->room;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
            const int low = i + 2 < len ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0) {
                decoder->reason = "the target has a bad percent escape";
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        *to++ = c;
    }
    *out = (struct crn_text){decoder->room, (size_t)(to - decoder->room)};
    if (crn_utf8_valid(out->data, out->length) != out->length) {
        decoder->reason = "the target is not valid UTF-8";
        return false;
    }
    decoder->room = to;
    return true;
}

static bool is_dots(struct crn_text segment)
{
    return (segment.length == 1 && segment.data[0] == '.') ||
           (segment.length == 2 && segment.data[0] == '.' && segment.data[1] == '.');
}

static unsigned read_segments(struct crn_http_message *message, struct decoder *decoder)
{
    const char *at = message->path.data, *end = at + message->path.length;

    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const size_t len = (size_t)((slash != NULL ? slash : end) - at);
        if (len > 0) {
            struct crn_text *segment = &message->segments[message->request.segment_count];
            if (message->request.segment_count == CRN_HTTP_SEGMENTS_MAX) {
                decoder->reason = "the path has too many segments";
                return 414;
            }
            if (!decode(decoder, at, len, false, segment)) return 400;
            if (is_dots(*segment)) {
                decoder->reason = "the path has a segment of dots";
                return 400;
            }
            message->request.segment_count++;
        }
        at += len + (slash != NULL);
    }
    return 0;
}

static unsigned read_parameters(struct crn_http_message *message, struct decoder *decoder, const char *at,
                                const char *end)
{
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        const size_t len = (size_t)((next != NULL ? next : end) - at);
        const char *equals = memchr(at, '=', len);
        const size_t name_len = equals != NULL ? (size_t)(equals - at) : len;
        if (len > 0) {
            struct crn_field *parameter = &message->parameters[message->request.parameter_count];
            if (message->request.parameter_count == CRN_HTTP_PARAMETERS_MAX) {
                decoder->reason = "the query has too many parameters";
                return 414;
            }
            if (!decode(decoder, at, name_len, true, &parameter->name)) return 400;
            if (!decode(decoder, equals != NULL ? equals + 1 : at, equals != NULL ? len - name_len - 1 : 0,
                        true, &parameter->value)) {
                return 400;
            }
            message->request.parameter_count++;
        }
        at += len + (next != NULL);
    }
    return 0;
}

/* What is left of "http://host:80/path" without its scheme and authority; that goes to *out_authority. */
static struct crn_text without_authority(struct crn_text target, struct crn_text *out_authority)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < 2; i++) {
        const size_t len = strlen(schemes[i]);
        if (target.length < len || strncasecmp(target.data, schemes[i], len) != 0) continue;
        size_t at = len;
        while (at < target.length && target.data[at] != '/' && target.data[at] != '?') at++;
        *out_authority = (struct crn_text){target.data + len, at - len};
        return (struct crn_text){target.data + at, target.length - at};
    }
    return target;
}

unsigned crn_http_target_read(struct crn_http_message *message, char *room, const char **out_reason)
{
    struct decoder decoder = {.room = room};
    struct crn_text target = message->target;

    for (size_t i = 0; i < target.length; i++) {
        const unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c > 0x7E || c == '#') {
            *out_reason = "the target has a character that must be escaped";
            return 400;
        }
    }
    const bool asterisk =
        message->request.method == CRN_OPTIONS && target.length == 1 && target.data[0] == '*';
    struct crn_text authority = {0};
    const struct crn_text left =
        asterisk ? (struct crn_text){target.data, 0} : without_authority(target, &authority);
    const bool absolute = left.data != target.data;
    if (absolute && (authority.length == 0 || !crn_http_is_host(authority))) {
        *out_reason = "the target's host is no name or address";
        return 400;
    }
    if (!asterisk && !absolute && (left.length == 0 || left.data[0] != '/')) {
        *out_reason = "the target does not begin with /";
        return 400;
    }
    const char *end = left.data + left.length;
    const char *query = left.length > 0 ? memchr(left.data, '?', left.length) : NULL;
    message->path = (struct crn_text){left.data, (size_t)((query != NULL ? query : end) - left.data)};
    message->request.segment_count = message->request.parameter_count = 0;
    unsigned status = read_segments(message, &decoder);
    if (status == 0 && query != NULL) status = read_parameters(message, &decoder, query + 1, end);
    *out_reason = decoder.reason;
    return status;
}
