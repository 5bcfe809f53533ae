/* The strict parser: a table of good and bad requests, and that no cut of the bytes changes what is read. */
#include "tests/base/support.h"
#include "tests/server/parse.h"

#include "base/mem.h"

#define H "Host: a\r\n"

static const struct {
    const char *bytes, *read;
} good[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", "0 host:a body= keep\n"},
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "0 host:a body= keep\n"},
    {"GET / HTTP/1.0\r\n\r\n", "0 body= close\n"},
    {"GET / HTTP/1.0\r\nConnection: x , Keep-Alive\r\n\r\n", "0 connection:x , Keep-Alive body= keep\n"},
    {"GET / HTTP/1.1\r\n" H "Connection: CLOSE\r\n\r\n", "0 host:a connection:CLOSE body= close\n"},
    {"DELETE /collections//a%20b%2Fc/ HTTP/1.1\r\n" H "\r\n", "5/collections/a b/c host:a body= keep\n"},
    {"PUT /c?wait=true&&a%3Db=%C3%A9+x&flag HTTP/1.1\r\n" H "\r\n",
     "3/c?wait=true?a=b=\xC3\xA9 x?flag= host:a body= keep\n"},
    {"GET http://example.org:80/x?y=1 HTTP/1.1\r\n" H "\r\n", "0/x?y=1 host:a body= keep\n"},
    {"GET https://example.org HTTP/1.1\r\n" H "\r\n", "0 host:a body= keep\n"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "0 host: body= keep\n"},
    {"GET / HTTP/1.1\r\nHost: [::1]:6333\r\n\r\n", "0 host:[::1]:6333 body= keep\n"},
    {"GET / HTTP/1.1\r\nHost: my_host-1.%C3%BC.example:\r\n\r\n",
     "0 host:my_host-1.%C3%BC.example: body= keep\n"},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "6 host:a body= keep\n"},
    {"PATCH /x HTTP/1.1\r\nhOST:\t a \t\r\nX-Y:\r\n\r\n", "4/x host:a x-y: body= keep\n"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET /y HTTP/1.1\r\n" H "\r\n",
     "2/x host:a content-length:5 body=hello keep\n0/y host:a body= keep\n"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n\r\nHEAD /y HTTP/1.1\r\n" H "\r\n",
     "2/x host:a content-length:0 body= keep\n1/y host:a body= keep\n"},
    {"POST /x HTTP/1.1\r\n" H
     "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
     "2/x host:a transfer-encoding:CHUNKED body=abc0123456789 keep\n"},
    {"POST /x HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\n\r\n0\r\nDigest: x\r\nMore: y\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
     "2/x host:a transfer-encoding:chunked body= keep\n0 host:a body= keep\n"},
    {"POST /x HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nz",
     "2/x host:a expect:100-Continue content-length:1 body=z keep\n"},
    {"GET / HTTP/1.1\r\nHo", "more\n"},
    {"GET", "more\n"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab", "more\n"},
    {"\r\n", ""},
};

static const struct {
    unsigned status;
    const char *bytes;
} bad[] = {
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H H "\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: b\xC3\xBC"
          "cher.example\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: \xFF\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: %4\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: [a%b]\r\n\r\n"},
    {400, "GET http://u:p@example.org/ HTTP/1.1\r\n" H "\r\n"},
    {400, "GET http:///x HTTP/1.1\r\n" H "\r\n"},
    {400, "GET http://[x/ HTTP/1.1\r\n" H "\r\n"},
    {400, "GET / HTTP/1.1\n" H "\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X: a\r\n folded\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tfolded\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "nothing\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X: a\x01"
          "b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X: a\x7F"
          "b\r\n\r\n"},
    {400, "GET / HTTP/1.1 \r\n"},
    {400, "GET  / HTTP/1.1\r\n"},
    {400, " GET / HTTP/1.1\r\n"},
    {400, "GET /\r\n"},
    {400, "GET / http/1.1\r\n"},
    {400, "GET / HTTP/1.1x\r\n"},
    {400, "G\"T / HTTP/1.1\r\n"},
    {400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"},
    {400, "\x16\x03\x01\x02"},
    {400, "GET x HTTP/1.1\r\n" H "\r\n"},
    {400, "GET * HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /a/../b HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /a/%2e%2E/b HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /./b HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /%zz HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /%4 HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /%00 HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /%ff HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /?a=%ED%A0%80 HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /\xC3\xA9 HTTP/1.1\r\n" H "\r\n"},
    {400, "GET /#x HTTP/1.1\r\n" H "\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n"},
    {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nab"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Content-Length: 1073741824\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999999\r\n\r\n"},
    {417, "POST / HTTP/1.1\r\n" H "Expect: fast\r\n\r\n"},
    {501, "CONNECT a:1 HTTP/1.1\r\n"},
    {501, "get / HTTP/1.1\r\n"},
    {501, "BREW /pot HTTP/1.1\r\n"},
    {505, "GET / HTTP/2.0\r\n"},
    {505, "GET / HTTP/1.2\r\n"},
    {414, "GET /1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7 HTTP/1.1\r\n" H "\r\n"},
};

static void good_requests_are_read(void **state)
{
    struct crn_buf out;

    (void)state;
    crn_buf_init(&out, 1u << 20);
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        crn_buf_clear(&out);
        parse_all(&crn_http_limits_default, good[i].bytes, strlen(good[i].bytes), NULL, &out);
        assert_string_equal(out.data != NULL ? out.data : "", good[i].read);
    }
    crn_buf_release(&out);
}

static unsigned status_of(const struct crn_http_limits *limits, const char *bytes, size_t len)
{
    struct crn_buf out;
    unsigned status = 0;

    crn_buf_init(&out, 1u << 20);
    parse_all(limits, bytes, len, NULL, &out);
    const char *refused = out.len > 0 ? strstr(out.data, "refused ") : NULL;
    if (refused != NULL) status = (unsigned)strtoul(refused + 8, NULL, 10);
    crn_buf_release(&out);
    return status;
}

static void bad_requests_are_refused_with_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const unsigned status = status_of(&crn_http_limits_default, bad[i].bytes, strlen(bad[i].bytes));
        if (status != bad[i].status) print_error("in %s", bad[i].bytes);
        assert_int_equal(status, bad[i].status);
    }
    assert_int_equal(status_of(&crn_http_limits_default, "GET /\0x HTTP/1.1\r\n" H "\r\n", 30), 400);
}

/* A request of which one part has a given size: exactly the limit passes, one more does not. */
static unsigned status_with(size_t target_len, size_t header_len, size_t header_count, size_t body_len,
                            bool chunked)
{
    const struct crn_http_limits limits = {
        .request_line_bytes = 100, .header_bytes = 500, .header_count = 10, .body_bytes = 50};
    struct crn_buf text;

    crn_buf_init(&text, 1u << 20);
    crn_buf_puts(&text, "POST /");
    for (size_t i = 1; i < target_len; i++) crn_buf_putc(&text, 'x');
    crn_buf_puts(&text, " HTTP/1.1\r\n" H);
    for (size_t i = 2; i < header_count; i++) crn_buf_puts(&text, "x:\r\n");
    const size_t begin = text.len;
    crn_buf_printf(&text, chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: %zu\r\n", body_len);
    if (header_len > 0) {
        crn_buf_puts(&text, "y:");
        while (text.len - begin + strlen(H) + 2 < header_len) crn_buf_putc(&text, 'z');
        crn_buf_puts(&text, "\r\n");
    }
    crn_buf_puts(&text, "\r\n");
    if (chunked) crn_buf_printf(&text, "%zx\r\n", body_len);
    for (size_t i = 0; i < body_len; i++) crn_buf_putc(&text, 'b');
    if (chunked) crn_buf_puts(&text, "\r\n0\r\n\r\n");
    const unsigned status = status_of(&limits, text.data, text.len);
    crn_buf_release(&text);
    return status;
}

static void limits_are_exact(void **state)
{
    (void)state;
    assert_int_equal(status_with(84, 0, 2, 1, false), 0); /* "POST " and " HTTP/1.1\r\n" are 16 bytes */
    assert_int_equal(status_with(85, 0, 2, 1, false), 414);
    assert_int_equal(status_with(1, 498, 2, 1, false), 0); /* and the empty line */
    assert_int_equal(status_with(1, 499, 2, 1, false), 431);
    assert_int_equal(status_with(1, 0, 10, 1, false), 0);
    assert_int_equal(status_with(1, 0, 11, 1, false), 431);
    assert_int_equal(status_with(1, 0, 2, 50, false), 0);
    assert_int_equal(status_with(1, 0, 2, 51, false), 413);
    assert_int_equal(status_with(1, 0, 2, 50, true), 0);
    assert_int_equal(status_with(1, 0, 2, 51, true), 413);
}

static void endless_trailers_and_extensions_are_refused(void **state)
{
    const char *begin = "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n";
    const char *const endless[] = {"0\r\n", "1;"};
    struct crn_buf text;

    (void)state;
    crn_buf_init(&text, 1u << 20);
    for (size_t i = 0; i < 2; i++) {
        crn_buf_clear(&text);
        crn_buf_printf(&text, "%s%s", begin, endless[i]);
        for (int j = 0; j < 40000; j++) crn_buf_putc(&text, 'x');
        assert_int_equal(status_of(&crn_http_limits_default, text.data, text.len), 431);
    }
    crn_buf_release(&text);
}

/* Some requests of the tables, one behind the other, with a few bytes changed. */
static void mix(struct crn_rng *rng, struct crn_buf *out)
{
    static const char bytes[] = "\r\n\0 :/%?&=;,0159afFx\x7F\xC3\xFF";
    const uint64_t count = 1 + crn_rng_below(rng, 4);

    crn_buf_clear(out);
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t pick = crn_rng_below(rng, COUNT_OF(good) + COUNT_OF(bad) / 4);
        crn_buf_puts(out,
                     pick < COUNT_OF(good) ? good[pick].bytes : bad[crn_rng_below(rng, COUNT_OF(bad))].bytes);
    }
    for (uint64_t changes = crn_rng_below(rng, 4); changes > 0 && out->len > 0; changes--) {
        out->data[crn_rng_below(rng, out->len)] = bytes[crn_rng_below(rng, sizeof bytes - 1)];
    }
}

static void any_cut_gives_the_same_requests(void **state)
{
    const struct crn_http_limits small = {
        .request_line_bytes = 60, .header_bytes = 70, .header_count = 3, .body_bytes = 8};
    struct crn_rng rng = test_rng();
    struct crn_buf bytes, whole, cut;

    (void)state;
    crn_buf_init(&bytes, 1u << 20);
    crn_buf_init(&whole, 1u << 20);
    crn_buf_init(&cut, 1u << 20);
    for (int i = 0; i < 20000; i++) {
        const struct crn_http_limits *limits = i % 2 == 0 ? &crn_http_limits_default : &small;
        mix(&rng, &bytes);
        crn_buf_clear(&whole);
        crn_buf_clear(&cut);
        parse_all(limits, bytes.data, bytes.len, NULL, &whole);
        parse_all(limits, bytes.data, bytes.len, &rng, &cut);
        assert_int_equal(whole.len, cut.len);
        if (whole.len > 0) assert_memory_equal(whole.data, cut.data, whole.len);
    }
    crn_buf_release(&bytes);
    crn_buf_release(&whole);
    crn_buf_release(&cut);
}

static void every_failing_allocation_is_refused(void **state)
{
    const char *bytes =
        "POST /x?y=z HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    unsigned status = 500;

    (void)state;
    for (uint64_t nth = 1; status == 500; nth++) {
        struct crn_http_message message;
        struct crn_http_parser parser;
        enum crn_http_event event = CRN_HTTP_MORE;
        assert_in_range(nth, 1, 20);
        crn_http_message_init(&message, &crn_http_limits_default);
        crn_http_parser_init(&parser, &crn_http_limits_default);
        crn_mem_fail_at(nth, false);
        for (size_t at = 0, used; event != CRN_HTTP_REFUSED && event != CRN_HTTP_REQUEST_READ; at += used) {
            event = crn_http_parser_feed(&parser, &message, bytes + at, strlen(bytes) - at, &used);
        }
        crn_mem_fail_at(0, false);
        status = parser.status;
        if (event == CRN_HTTP_REQUEST_READ) assert_true(nth > 1);
        crn_http_message_release(&message);
    }
    assert_int_equal(status, 0);
}

static void headers_are_found_by_name(void **state)
{
    const char *bytes = "GET / HTTP/1.1\r\n" H "Api-Key: one\r\napi-key: two\r\n\r\n";
    struct crn_http_message message;
    struct crn_http_parser parser;
    size_t used;

    (void)state;
    crn_http_message_init(&message, &crn_http_limits_default);
    crn_http_parser_init(&parser, &crn_http_limits_default);
    assert_int_equal(crn_http_parser_feed(&parser, &message, bytes, strlen(bytes), &used),
                     CRN_HTTP_HEAD_READ);
    const struct crn_text *value = crn_http_header(&message.request, "api-key");
    assert_non_null(value);
    assert_true(crn_http_text_is(*value, "ONE"));
    assert_null(crn_http_header(&message.request, "api"));
    assert_int_equal(crn_http_parser_feed(&parser, &message, "", 0, &used), CRN_HTTP_REQUEST_READ);
    crn_http_message_release(&message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests_are_read),
        cmocka_unit_test(bad_requests_are_refused_with_their_status),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(endless_trailers_and_extensions_are_refused),
        cmocka_unit_test(any_cut_gives_the_same_requests),
        cmocka_unit_test(every_failing_allocation_is_refused),
        cmocka_unit_test(headers_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
