#include "server/http_light.h"

#include "base/hash.h"
#include "server/http_connection.h"

static uint32_t hash_path(const struct crn_http_exchange *exchange)
{
    return (uint32_t)crn_hash64(exchange->message.path.data, exchange->message.path.length, 0);
}

bool crn_http_light_stays(struct crn_http_server *server, const struct crn_http_connection *connection,
                          const struct crn_http_exchange *exchange)
{
    struct crn_http_light *light = &server->light;

    if (light->asker != connection) light->asked_in_a_row = 0;
    light->asker = connection;
    if (light->asked_in_a_row < CRN_HTTP_LIGHT_ALONE) light->asked_in_a_row++;
    if (light->asked_in_a_row < CRN_HTTP_LIGHT_ALONE || server->at_workers > 0) return false;
    if (exchange->route.is_light == NULL || !exchange->route.is_light(&exchange->message.request))
        return false;
    const uint32_t path = hash_path(exchange), place = path % CRN_HTTP_LIGHT_PATHS;
    return light->short_ones[place].path == path && light->short_ones[place].in_a_row >= CRN_HTTP_LIGHT_SHORT;
}

void crn_http_light_answered(struct crn_http_server *server, const struct crn_http_exchange *exchange)
{
    struct crn_http_light *light = &server->light;

    if (exchange->route.is_light == NULL) return;
    const uint32_t path = hash_path(exchange), place = path % CRN_HTTP_LIGHT_PATHS;
    uint32_t *in_a_row = &light->short_ones[place].in_a_row;
    if (light->short_ones[place].path != path || exchange->duration_ns >= CRN_HTTP_LIGHT_LONG_NS)
        *in_a_row = 0;
    else if (exchange->duration_ns > CRN_HTTP_LIGHT_NS)
        *in_a_row /= 2;
    else if (*in_a_row < CRN_HTTP_LIGHT_CREDIT)
        ++*in_a_row;
    light->short_ones[place].path = path;
}
