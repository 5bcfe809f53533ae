/* The two protocols need no library: environment variables, inherited descriptors and one datagram. */
#include "server/systemd.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

static cairn_status check_socket(int fd, cairn_error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int type = 0;
    socklen_t type_size = sizeof type;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_STREAM ||
        (address.ss_family != AF_INET && address.ss_family != AF_INET6)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "descriptor %d, given by LISTEN_FDS, is no TCP socket", fd);
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return CAIRN_OK;
}

cairn_status crn_systemd_sockets(int *out, size_t max, size_t *out_count, cairn_error *err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    *out_count = 0;
    if (pid == NULL || count == NULL || strtoll(pid, NULL, 10) != getpid()) return CAIRN_OK;
    const unsigned long sockets = strtoul(count, NULL, 10);
    if (sockets > max)
        return crn_error_set(err, CAIRN_LIMIT, "LISTEN_FDS=%s: at most %zu sockets are taken", count, max);
    for (unsigned long i = 0; i < sockets; i++) {
        CRN_TRY(check_socket(FIRST_FD + (int)i, err));
        out[i] = FIRST_FD + (int)i;
    }
    *out_count = sockets;
    return CAIRN_OK;
}

void crn_systemd_socket_host(int fd, char *out, size_t size)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) return;
    const void *from = address.ss_family == AF_INET
                           ? (const void *)&((struct sockaddr_in *)&address)->sin_addr
                           : (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr;
    if (inet_ntop(address.ss_family, from, out, (socklen_t)size) == NULL) out[0] = '\0';
}

void crn_systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@') to.sun_path[0] = '\0'; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}
