/* The stand-in server as a child process. */
#include "tests/embed/standin.h"

#include "net/http_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_MS 30000

static void run_server(int stdin_fd, int stdout_fd, const char *certificate)
{
    dup2(stdin_fd, STDIN_FILENO);
    dup2(stdout_fd, STDOUT_FILENO);
    execlp("python3", "python3", STANDIN_SERVER, certificate, (char *)NULL);
    _exit(127);
}

/* The port, as the server prints it; 0 when it ends or stays silent. */
static int read_port(int fd)
{
    char line[16] = "";
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    while (len < sizeof line - 1 && strchr(line, '\n') == NULL) {
        if (poll(&ready, 1, START_TIMEOUT_MS) <= 0) break;
        ssize_t got = read(fd, line + len, sizeof line - 1 - len);
        if (got <= 0) break;
        len += (size_t)got;
    }
    return (int)strtol(line, NULL, 10);
}

bool standin_start(struct standin *standin, const char *certificate)
{
    int to_server[2], from_server[2];

    *standin = (struct standin){0};
    setenv("no_proxy", "127.0.0.1", 1); /* the machine's proxy is not for us */
    if (pipe2(to_server, O_CLOEXEC) != 0 || pipe2(from_server, O_CLOEXEC) != 0) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) run_server(to_server[0], from_server[1], certificate);
    close(to_server[0]);
    close(from_server[1]);
    standin->stdin_fd = to_server[1];
    standin->pid = pid > 0 ? pid : 0;
    standin->port = read_port(from_server[0]);
    close(from_server[0]);
    if (standin->port > 0) return true;

    printf("standin_server.py does not start: is python3 installed?\n");
    standin_stop(standin);
    return false;
}

void standin_stop(struct standin *standin)
{
    if (standin->pid == 0) return;
    close(standin->stdin_fd);
    waitpid(standin->pid, NULL, 0);
    standin->pid = 0;
}

void standin_url(const struct standin *standin, const char *path, char *out, size_t size)
{
    snprintf(out, size, "http://127.0.0.1:%d/%s", standin->port, path);
}

long standin_ask(const struct standin *standin, const char *what)
{
    char url[200];
    struct crn_http_client *client;
    struct crn_http_response response;
    long answer = -1;

    standin_url(standin, what, url, sizeof url);
    const struct crn_http_request request = {
        .method = "GET", .url = url, .timeout_ms = 20000, .response_max_bytes = 1000};
    if (crn_http_client_create(&client, NULL) != CAIRN_OK) return -1;
    if (crn_http_send(client, &request, &response, NULL) == CAIRN_OK) {
        if (response.body.len > 0) answer = strtol(response.body.data, NULL, 10);
        crn_http_response_release(&response);
    }
    crn_http_client_free(client);
    return answer;
}
