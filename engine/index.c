/* The backends there are, by name. */
#include "engine/index.h"

#include <string.h>

static const struct crn_index_ops *const backends[] = {&crn_index_graph, &crn_index_ivf, &crn_index_faiss,
                                                       &crn_index_gpu};

const struct crn_index_ops *crn_index_find(const char *name_and_spec, const char **out_spec)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        const size_t len = strlen(backends[i]->name);
        if (strncmp(name_and_spec, backends[i]->name, len) != 0) continue;
        if (name_and_spec[len] != ':' && name_and_spec[len] != '\0') continue;
        *out_spec = name_and_spec[len] == ':' ? name_and_spec + len + 1 : "";
        return backends[i];
    }
    return NULL;
}

const struct crn_index_ops *crn_index_backend_at(size_t i)
{
    return i < sizeof backends / sizeof *backends ? backends[i] : NULL;
}
