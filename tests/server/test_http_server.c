/* The server over real sockets: keep-alive, pipelining, limits of time and number, clients that leave, the
 * orderly end. */
#include "tests/server/world.h"

#include <errno.h>
#include <sys/resource.h>

static struct world world;

static void start_default(void)
{
    world_prepare(&world);
    world_start(&world);
}

static void requests_are_answered_and_connections_kept(void **state)
{
    struct crn_buf body;

    (void)state;
    start_default();
    crn_buf_init(&body, 1u << 20);
    int fd = dial(&world);
    for (int i = 0; i < 3; i++) {
        say(fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_int_equal(hear_answer(fd, false, &body), 200);
        assert_string_equal(body.data, "2 hello");
    }
    say(fd, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(hear_answer(fd, true, NULL), 200);
    say(fd, GET("/loop"));
    assert_int_equal(hear(fd), 200);
    say(fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(hear(fd), 200);
    assert_true(hear_end(fd));
    close(fd);
    fd = dial(&world);
    say(fd, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    crn_buf_clear(&body);
    assert_int_equal(hear_head(fd, &body), 200);
    assert_non_null(strstr(body.data, "connection: keep-alive\r\n"));
    assert_int_equal(recv(fd, (char[2]){0}, 2, MSG_WAITALL), 2);
    say(fd, "GET /x HTTP/1.0\r\n\r\n");
    assert_int_equal(hear(fd), 200);
    assert_true(hear_end(fd));
    close(fd);
    crn_buf_release(&body);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.finished), 8);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    enum { COUNT = 2000 };
    struct crn_buf all, body;
    char expected[32];

    (void)state;
    start_default();
    crn_buf_init(&all, 1u << 24);
    crn_buf_init(&body, 1u << 20);
    for (int i = 0; i < COUNT; i++) {
        char number[32];
        snprintf(number, sizeof number, "%d", i);
        crn_buf_printf(&all, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
                       i % 3 == 0 ? "/loop" : "/x", strlen(number), number);
    }
    crn_buf_puts(&all, "nonsense\r\n\r\n" GET("/x"));
    int fd = dial(&world);
    say_n(fd, all.data, all.len);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(hear_answer(fd, false, &body), 200);
        snprintf(expected, sizeof expected, "2 %d", i);
        assert_string_equal(body.data, expected);
    }
    assert_int_equal(hear(fd), 400);
    assert_true(hear_end(fd));
    close(fd);
    crn_buf_release(&all);
    crn_buf_release(&body);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.handled), COUNT);
}

static void large_answers_and_bodies_pass(void **state)
{
    const size_t size = 20u << 20;
    struct crn_buf body;
    char *data = malloc(size);

    (void)state;
    start_default();
    crn_buf_init(&body, 2 * size);
    memset(data, 'q', size);
    int fd = dial(&world);
    say(fd, GET("/size/20000000"));
    rest_ms(20); /* so that the socket is full and the server has to wait */
    assert_int_equal(hear_answer(fd, false, &body), 200);
    assert_int_equal(body.len, 20000000);
    char head[200];
    snprintf(head, sizeof head,
             "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\nExpect: 100-continue\r\n\r\n", size);
    say(fd, head);
    assert_int_equal(hear(fd), 100);
    say_n(fd, data, size);
    assert_int_equal(hear_answer(fd, false, &body), 200);
    assert_int_equal(body.len, size + 2);
    assert_memory_equal(body.data + 2, data, size);
    close(fd);
    free(data);
    crn_buf_release(&body);
    world_stop(&world);
}

static void a_huge_body_is_refused_by_its_length(void **state)
{
    (void)state;
    start_default();
    int fd = dial(&world);
    say(fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
    assert_int_equal(hear(fd), 413);
    assert_true(hear_end(fd));
    close(fd);
    fd = dial(&world);
    say(fd, "POST /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin");
    assert_int_equal(hear(fd), 403);
    assert_true(hear_end(fd));
    close(fd);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.started), 0);
}

static void many_headers_bad_bytes_and_bad_text_are_refused(void **state)
{
    struct crn_buf text;

    (void)state;
    start_default();
    crn_buf_init(&text, 1u << 24);
    crn_buf_puts(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100000; i++) crn_buf_printf(&text, "x-%d: y\r\n", i);
    int fd = dial(&world);
    say_n(fd, text.data, text.len);
    assert_int_equal(hear(fd), 431);
    close(fd);
    crn_buf_release(&text);
    static const struct {
        const char *bytes;
        int status;
    } cases[] = {{"\x16\x03\x01\x02\x01", 400},
                 {GET("/%ff"), 400},
                 {"GET / HTTP/3.0\r\n\r\n", 505},
                 {"BREW / HTTP/1.1\r\n", 501}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fd = dial(&world);
        say(fd, cases[i].bytes);
        assert_int_equal(hear(fd), cases[i].status);
        assert_true(hear_end(fd));
        close(fd);
    }
    world_stop(&world);
}

static void slow_clients_are_closed(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.head_timeout_ms = 100;
    world.options.body_timeout_ms = 100;
    world.options.idle_timeout_ms = 100;
    world_start(&world);
    int slow_head = dial(&world), slow_body = dial(&world), silent = dial(&world);
    say(slow_body, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    say(slow_head, "GET / HTTP/1.1\r\n");
    /* drips all the while */
    for (int i = 0; i < 1000 && recv(slow_head, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0; i++) {
        say(slow_head, "x: y\r\n");
        say(slow_body, "z");
        rest_ms(5);
    }
    assert_int_equal(hear(slow_head), 408);
    assert_true(hear_end(slow_head));
    assert_int_equal(hear(slow_body), 408);
    assert_true(hear_end(slow_body));
    assert_int_equal(hear(silent), 0);
    close(slow_head);
    close(slow_body);
    close(silent);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.started), 0);
}

static void a_client_that_does_not_read_is_closed(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.write_timeout_ms = 100;
    world_start(&world);
    int fd = dial(&world);
    say(fd, GET("/size/50000000"));
    WAIT_FOR(atomic_load(&world.last_status) == 499);
    close(fd);
    world_stop(&world);
}

static void a_client_that_leaves_cancels(void **state)
{
    (void)state;
    world_prepare(&world);
    atomic_store(&world.hold, true);
    world_start(&world);
    int fd = dial(&world);
    say(fd, GET("/wait"));
    WAIT_FOR(atomic_load(&world.started) == 1);
    close(fd);
    WAIT_FOR(atomic_load(&world.cancelled) == 1);
    fd = dial(&world);
    say(fd, GET("/wait"));
    WAIT_FOR(atomic_load(&world.started) == 2);
    const struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    WAIT_FOR(atomic_load(&world.cancelled) == 2);
    WAIT_FOR(atomic_load(&world.finished) == 2);
    world_stop(&world);
}

static void half_closed_sockets_get_their_answers(void **state)
{
    (void)state;
    start_default();
    int fd = dial(&world);
    say(fd, GET("/x") GET("/loop") GET("/x") "GET /par");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 3; i++) assert_int_equal(hear(fd), 200);
    assert_true(hear_end(fd));
    close(fd);
    fd = dial(&world);
    shutdown(fd, SHUT_WR);
    assert_true(hear_end(fd));
    close(fd);
    world_stop(&world);
}

static void a_deadline_cancels_and_is_answered(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.request_timeout_ms = 100;
    atomic_store(&world.hold, true);
    world_start(&world);
    int polite = dial(&world), rude = dial(&world);
    say(polite, GET("/wait"));
    say(rude, "GET /stubborn HTTP/1.1\r\nHost: a\r\nx-request-id: rude-1\r\n\r\n");
    assert_int_equal(hear(polite), 200); /* the handler saw it, and had the time to answer */
    assert_int_equal(atomic_load(&world.cancelled), 1);
    struct crn_buf head;
    crn_buf_init(&head, 4096);
    assert_int_equal(hear_head(rude, &head), 504);
    assert_non_null(strstr(head.data, "x-request-id: rude-1\r\n"));
    assert_true(hear_end(rude));
    crn_buf_release(&head);
    atomic_store(&world.hold, false);
    close(polite);
    close(rude);
    world_stop(&world);
}

static void a_full_queue_answers_503(void **state)
{
    enum { WORKERS = 2, QUEUE = 3 };
    int fds[WORKERS + QUEUE];
    struct crn_buf body;

    (void)state;
    world_prepare(&world);
    world.options.queue_max = QUEUE;
    atomic_store(&world.hold, true);
    world_start(&world);
    for (int i = 0; i < WORKERS + QUEUE; i++) {
        fds[i] = dial(&world);
        say(fds[i], GET("/wait"));
        if (i < WORKERS)
            WAIT_FOR(atomic_load(&world.started) == i + 1);
        else
            WAIT_FOR(crn_http_server_gauges(world.server).waiting == (size_t)(i + 1 - WORKERS));
    }
    int fd = dial(&world);
    crn_buf_init(&body, 1000);
    say(fd, GET("/x"));
    assert_int_equal(hear_answer(fd, false, &body), 503);
    assert_string_equal(body.data, "{\"status\":{\"error\":\"too many requests are waiting\"},\"time\":0.0}");
    say(fd, GET("/loop")); /* the connection is as good as before */
    assert_int_equal(hear(fd), 200);
    atomic_store(&world.hold, false);
    for (int i = 0; i < WORKERS + QUEUE; i++) {
        assert_int_equal(hear(fds[i]), 200);
        close(fds[i]);
    }
    close(fd);
    crn_buf_release(&body);
    world_stop(&world);
}

static void stopping_finishes_what_was_begun(void **state)
{
    enum { BEGUN = 6 };
    int fds[BEGUN];

    (void)state;
    world_prepare(&world);
    atomic_store(&world.hold, true);
    world_start(&world);
    int idle = dial(&world), half = dial(&world);
    say(idle, GET("/x"));
    assert_int_equal(hear(idle), 200);
    say(half, "GET /x HTTP/1.1\r\n");
    for (int i = 0; i < BEGUN; i++) {
        fds[i] = dial(&world);
        say(fds[i], GET("/wait"));
    }
    WAIT_FOR(crn_http_server_gauges(world.server).in_flight == BEGUN);
    crn_http_server_stop(world.server);
    assert_true(hear_end(idle));
    atomic_store(&world.hold, false);
    say(half, "Host: a\r\n\r\n");
    assert_int_equal(hear(half), 200);
    for (int i = 0; i < BEGUN; i++) {
        assert_int_equal(hear(fds[i]), 200);
        assert_true(hear_end(fds[i]));
        close(fds[i]);
    }
    close(idle);
    close(half);
    world_join(&world);
    assert_int_equal(atomic_load(&world.cancelled), 0);
}

static void stopping_has_a_limit(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.shutdown_timeout_ms = 50;
    atomic_store(&world.hold, true);
    world_start(&world);
    int fd = dial(&world);
    say(fd, GET("/wait"));
    WAIT_FOR(atomic_load(&world.started) == 1);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.cancelled), 1);
    assert_true(hear_end(fd));
    close(fd);
}

static void connections_have_a_limit(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.connections_max = 2;
    world_start(&world);
    int first = dial(&world), second = dial(&world);
    say(first, GET("/x"));
    say(second, GET("/x"));
    assert_int_equal(hear(first), 200);
    assert_int_equal(hear(second), 200);
    int third = dial(&world);
    assert_int_equal(hear(third), 503);
    close(third);
    close(first);
    WAIT_FOR(crn_http_server_gauges(world.server).connections == 1);
    third = dial(&world);
    say(third, GET("/x"));
    assert_int_equal(hear(third), 200);
    close(second);
    close(third);
    world_stop(&world);
}

static void a_thousand_connections_are_served(void **state)
{
    enum { COUNT = 1000, ROUNDS = 3 };
    static int fds[COUNT];
    struct rlimit files;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 2 * COUNT + 100) {
        print_message("skipped: only %lu files may be open\n", (unsigned long)files.rlim_max);
        skip();
    }
    start_default();
    for (int i = 0; i < COUNT; i++) fds[i] = dial(&world);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) say(fds[i], GET("/x"));
        for (int i = 0; i < COUNT; i++) {
            const int status = hear(fds[i]);
            assert_true(status == 200 || status == 503);
        }
    }
    for (int i = 0; i < COUNT; i++) close(fds[i]);
    world_stop(&world);
    assert_int_equal(atomic_load(&world.finished), COUNT * ROUNDS);
}

static void bytes_behind_a_waiting_request_are_bounded(void **state)
{
    struct crn_buf text;

    (void)state;
    world_prepare(&world);
    atomic_store(&world.hold, true);
    world_start(&world);
    crn_buf_init(&text, 1u << 26);
    crn_buf_puts(&text, GET("/wait") "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n");
    for (int i = 0; i < 30000000 / 16; i++) crn_buf_puts(&text, "0123456789abcdef");
    int fd = dial(&world);
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    size_t sent = 0;
    for (int quiet = 0; quiet < 200;) { /* until the socket has taken nothing for a while */
        const ssize_t wrote = send(fd, text.data + sent, text.len - sent, MSG_NOSIGNAL);
        if (wrote > 0) sent += (size_t)wrote;
        quiet = wrote > 0 ? 0 : quiet + 1;
        if (wrote <= 0) rest_ms(1);
    }
    assert_true(sent < text.len); /* most is with the client, or in the system's own buffers */
    fcntl(fd, F_SETFL, flags);
    atomic_store(&world.hold, false);
    assert_int_equal(hear(fd), 200);
    say_n(fd, text.data + sent, text.len - sent);
    assert_int_equal(hear(fd), 200);
    close(fd);
    crn_buf_release(&text);
    world_stop(&world);
}

static void an_address_that_is_taken_is_named(void **state)
{
    struct crn_http_server *server;
    cairn_error err;

    (void)state;
    start_default();
    struct crn_http_server_options options = world.options;
    options.port = crn_http_server_port(world.server);
    assert_int_equal(crn_http_server_open(&options, &server, &err), CAIRN_IO);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_non_null(strstr(err.message, "address already in use"));
    options.host = "nowhere";
    assert_int_equal(crn_http_server_open(&options, &server, &err), CAIRN_IO);
    assert_non_null(strstr(err.message, "nowhere"));
    world_stop(&world);
}

static void both_families_are_served(void **state)
{
    (void)state;
    world_prepare(&world);
    world.options.host = "::1";
    cairn_error err;
    if (crn_http_server_open(&world.options, &world.server, &err) != CAIRN_OK) {
        print_message("skipped: no IPv6 here: %s\n", err.message);
        skip();
    }
    pthread_create(&world.thread, NULL, world_run, &world);
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(crn_http_server_port(world.server)),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    say(fd, GET("/x"));
    assert_int_equal(hear(fd), 200);
    close(fd);
    world_stop(&world);
}

static void files_are_sent_in_chunks(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 20000000};
    struct crn_buf body;
    char request[200];

    (void)state;
    crn_buf_init(&body, SIZE_MAX / 2);
    world_prepare(&world);
    world_start(&world);
    int fd = dial(&world);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        /* pipelined: what follows a file is answered behind it */
        snprintf(request, sizeof request,
                 "GET /file/%zu HTTP/1.1\r\nHost: a\r\n\r\nHEAD /file/%zu HTTP/1.1\r\nHost: a\r\n\r\n",
                 sizes[s], sizes[s]);
        say(fd, request);
        assert_int_equal(hear_answer(fd, false, &body), 200);
        assert_int_equal(body.len, sizes[s]);
        for (size_t i = 0; i < body.len; i++) {
            if ((unsigned char)body.data[i] != byte_of_file(i))
                fail_msg("byte %zu of %zu is another", i, sizes[s]);
        }
        assert_int_equal(hear_answer(fd, true, NULL), 200);
    }
    say(fd, GET("/file/70000/short"));
    assert_int_equal(hear(fd), 0); /* less came than was promised: the connection ends */
    close(fd);
    fd = dial(&world);
    say(fd, GET("/file/50000000"));
    assert_int_equal(hear_head(fd, &body), 200);
    const int finished = atomic_load(&world.finished);
    close(fd); /* it leaves in the middle */
    WAIT_FOR(atomic_load(&world.finished) > finished);
    assert_int_equal(atomic_load(&world.last_status), 499);
    world_stop(&world);
    crn_buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_and_connections_kept),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(large_answers_and_bodies_pass),
        cmocka_unit_test(a_huge_body_is_refused_by_its_length),
        cmocka_unit_test(many_headers_bad_bytes_and_bad_text_are_refused),
        cmocka_unit_test(slow_clients_are_closed),
        cmocka_unit_test(a_client_that_does_not_read_is_closed),
        cmocka_unit_test(a_client_that_leaves_cancels),
        cmocka_unit_test(half_closed_sockets_get_their_answers),
        cmocka_unit_test(a_deadline_cancels_and_is_answered),
        cmocka_unit_test(a_full_queue_answers_503),
        cmocka_unit_test(stopping_finishes_what_was_begun),
        cmocka_unit_test(stopping_has_a_limit),
        cmocka_unit_test(connections_have_a_limit),
        cmocka_unit_test(a_thousand_connections_are_served),
        cmocka_unit_test(bytes_behind_a_waiting_request_are_bounded),
        cmocka_unit_test(an_address_that_is_taken_is_named),
        cmocka_unit_test(both_families_are_served),
        cmocka_unit_test(files_are_sent_in_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
