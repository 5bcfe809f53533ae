/* A flag raised by SIGINT and SIGTERM. */
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool crn_cli_interrupted(void)
{
    return interrupted != 0;
}

void crn_cli_signals_install(void)
{
    struct sigaction ask = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* SA_RESETHAND: the second signal kills. No SA_RESTART: a read that waits for input returns. */
    ask.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&ask.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGINT, &ask, NULL);
    sigaction(SIGTERM, &ask, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}
