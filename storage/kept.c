#include "storage/kept.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>

cairn_status crn_kept_add(struct crn_kept *kept, void *object, void (*release)(void *object),
                          cairn_error *err)
{
    bool known = false;

    for (uint32_t i = 0; i < kept->count; i++) known |= kept->objects[i].object == object;
    if (!known && kept->count == kept->capacity) {
        const uint32_t capacity = kept->capacity * 2 + 4;
        struct crn_kept_object *grown = crn_mem_realloc_array(kept->objects, capacity, sizeof *grown);
        if (grown == NULL) {
            release(object);
            return crn_error_no_memory(err, capacity * sizeof *grown);
        }
        kept->objects = grown;
        kept->capacity = capacity;
    }
    if (known)
        release(object);
    else
        kept->objects[kept->count++] = (struct crn_kept_object){object, release};
    return CAIRN_OK;
}

void crn_kept_clear(struct crn_kept *kept)
{
    while (kept->count > 0) {
        const struct crn_kept_object *last = &kept->objects[--kept->count];
        last->release(last->object);
    }
}

void crn_kept_release(struct crn_kept *kept)
{
    crn_kept_clear(kept);
    crn_mem_free(kept->objects);
    *kept = (struct crn_kept){0};
}
