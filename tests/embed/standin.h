/* Starts and stops standin_server.py, the stand-in for an embeddings endpoint. */
#ifndef CRN_TESTS_EMBED_STANDIN_H
#define CRN_TESTS_EMBED_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct standin {
    pid_t pid; /* 0 = not running */
    int port;
    int stdin_fd; /* the server ends when this is closed, so also when a test dies */
};

/* Starts the server and waits for its port; with a certificate file (NULL = none) it speaks TLS. False, with
 * a message printed, when it does not start, as without python3. To be called before threads are started. */
bool standin_start(struct standin *standin, const char *certificate);
void standin_stop(struct standin *standin);

/* Writes "http://127.0.0.1:<port>/<path>". */
void standin_url(const struct standin *standin, const char *path, char *out, size_t size);

/* A number the server tells about itself: what is "count/<path>", "largest/<path>" or "connections". */
long standin_ask(const struct standin *standin, const char *what);

#endif
