/* JSON parsers, made once and used again: they keep their memory. Shared. */
#ifndef CRN_SERVER_PARSERS_H
#define CRN_SERVER_PARSERS_H

#include "base/json.h"

#include <pthread.h>

#define CRN_PARSERS_KEPT 16u

struct crn_parsers {
    pthread_mutex_t mutex; /* guards the others */
    struct crn_json_parser *idle[CRN_PARSERS_KEPT];
    size_t count;
};

void crn_parsers_init(struct crn_parsers *parsers);
void crn_parsers_release(struct crn_parsers *parsers);
struct crn_json_parser *crn_parsers_borrow(struct crn_parsers *parsers); /* NULL: no memory */
void crn_parsers_give_back(struct crn_parsers *parsers, struct crn_json_parser *parser);

#endif
