/* Objects that live as long as a snapshot or a transaction: whoever reads in it borrows them. */
#ifndef CRN_STORAGE_KEPT_H
#define CRN_STORAGE_KEPT_H

#include <cairn/status.h>
#include <stdint.h>

struct crn_kept_object {
    void *object;
    void (*release)(void *object);
};

/* All zero is empty. */
struct crn_kept {
    struct crn_kept_object *objects;
    uint32_t count, capacity;
};

/* Takes one reference to the object, also when it fails; an object that is kept already is kept once. */
cairn_status crn_kept_add(struct crn_kept *kept, void *object, void (*release)(void *object),
                          cairn_error *err);
void crn_kept_clear(struct crn_kept *kept);   /* releases the objects; the room stays for the next ones */
void crn_kept_release(struct crn_kept *kept); /* the room too */

#endif
