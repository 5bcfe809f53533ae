/* What systemd and its like agree on with a service: sockets handed over, and word when it is ready
 * (sd_listen_fds(3), sd_notify(3)). */
#ifndef CRN_SERVER_SYSTEMD_H
#define CRN_SERVER_SYSTEMD_H

#include <cairn/status.h>
#include <stddef.h>

/* Listening TCP sockets that were handed to this process, by LISTEN_PID and LISTEN_FDS; none is no error. */
cairn_status crn_systemd_sockets(int *out, size_t max, size_t *out_count, cairn_error *err);

/* The address that a socket is bound to, as text; "" when it cannot be told. */
void crn_systemd_socket_host(int fd, char *out, size_t size);

/* Sends a state such as "READY=1" to NOTIFY_SOCKET; without one, or when nobody hears it, nothing happens. */
void crn_systemd_notify(const char *state);

#endif
