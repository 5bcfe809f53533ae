#include "server/parsers.h"

void crn_parsers_init(struct crn_parsers *parsers)
{
    *parsers = (struct crn_parsers){0};
    pthread_mutex_init(&parsers->mutex, NULL);
}

void crn_parsers_release(struct crn_parsers *parsers)
{
    for (size_t i = 0; i < parsers->count; i++) crn_json_parser_free(parsers->idle[i]);
    pthread_mutex_destroy(&parsers->mutex);
}

struct crn_json_parser *crn_parsers_borrow(struct crn_parsers *parsers)
{
    struct crn_json_parser *parser = NULL;

    pthread_mutex_lock(&parsers->mutex);
    if (parsers->count > 0) parser = parsers->idle[--parsers->count];
    pthread_mutex_unlock(&parsers->mutex);
    return parser != NULL ? parser : crn_json_parser_create();
}

void crn_parsers_give_back(struct crn_parsers *parsers, struct crn_json_parser *parser)
{
    pthread_mutex_lock(&parsers->mutex);
    if (parsers->count < CRN_PARSERS_KEPT) {
        parsers->idle[parsers->count++] = parser;
        parser = NULL;
    }
    pthread_mutex_unlock(&parsers->mutex);
    crn_json_parser_free(parser);
}
